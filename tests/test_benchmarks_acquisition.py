"""That the benchmark of acquisition functions runs, and that their cost is linear and within what is demanded."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.acquisition import TILE, Options, command, draw_tiles
from lowpix.reveal.acquisition import ACQUISITIONS

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
SCORED = {one.name for one in ACQUISITIONS.values() if one.score is not None}


def test_tiles_are_those_of_a_session() -> None:
    (tile,) = draw_tiles(1, 3, 5)
    assert tile.shape == (3, TILE, 5)
    assert tile.dtype == torch.float32
    assert tile.mT.is_contiguous()
    torch.testing.assert_close(tile.sum(-1), torch.ones(3, TILE))


@pytest.mark.slow
def test_a_smoke_run_measures_every_function(tmp_path: Path) -> None:
    out = tmp_path / "made" / "acquisition.csv"
    command(Options(smoke=True, out=out))
    table = pd.read_csv(out)
    assert list(table)[:5] == ["what", "value", "unit", "baseline", "ratio"]
    assert (table["value"] > 0).all()
    names = table["what"].str.extract(r"^(\w+) at (\d+x\d+), (\d+) classes, (\d+) members$")
    assert names.notna().all(axis=None)
    assert set(names[0]) == SCORED - {"entropy"}
    assert set(table["unit"]) == {"ns CPU a pixel and class", "times entropy"}
    assert len(table) == 2 * (len(SCORED) - 1) * 2 * 2 * 2


class Elements(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that torch's operations go over: a measure of cost that no busy machine can disturb."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, function: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.count += max(tensor.numel() for tensor in tensors)
        return result


def elements(name: str, members: int, pixels: int, classes: int) -> float:
    """The elements that the operations of an acquisition function go over, per pixel and class."""
    one, (tile,) = ACQUISITIONS[name], draw_tiles(1, members, classes)
    assert one.score is not None
    p = tile[:, :pixels]
    with Elements() as counted:
        one.score(p, torch.rand(pixels)) if one.noisy else one.score(p)
    return float(counted.count) / (pixels * classes)


@pytest.mark.parametrize("name", sorted(SCORED - {"random"}))
def test_cost_is_linear_in_pixels_classes_and_members(name: str) -> None:
    for members in (4, 16):
        costs = [elements(name, members, pixels, classes) for pixels in (500, 2000) for classes in (11, 44, 150)]
        assert max(costs) < 1.1 * min(costs)
    assert elements(name, 16, 2000, 11) < 4 * elements(name, 4, 2000, 11)


def test_balent_costs_at_most_twenty_entropies() -> None:
    """In operations, and in the time of the committed table: a timing beside other tests is too unsteady."""
    assert elements("balent", 4, 2000, 11) < 40 * elements("entropy", 4, 2000, 11)  # most of them in the cache
    table = pd.read_csv(RESULTS / "acquisition.csv")
    ratios = table[table["what"].str.startswith("balent") & (table["unit"] == "times entropy")]
    few, many = (ratios["what"].str.endswith(f" {members} members") for members in (4, 16))
    assert ratios.loc[few, "value"].max() < 20
    assert ratios.loc[many, "value"].max() < 15
    assert few.sum() == many.sum() == 6
