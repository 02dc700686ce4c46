"""That the benchmark of acquisition functions runs, and that their cost is linear and within what is demanded."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.acquisition import TILE, Options, command, draw_tiles, measure
from lowpix.reveal.acquisition import ACQUISITIONS

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


@pytest.mark.slow
def test_cost_is_linear_and_that_of_balent_is_bounded() -> None:
    """Nanoseconds a pixel and class hardly depend on how many there are, and grow no faster than the members."""
    sizes, functions = ((64, 128), (64, 512)), ("bald", "balent")
    options = Options(sizes=sizes, classes=(11, 44), members=(4, 16), functions=functions, repeats=4)
    rows = list(measure(options))
    for unit in ("ns CPU a pixel and class", "times entropy"):
        assert sum(row.unit == unit for row in rows) == 2 * 2 * 2 * 2
    for name in ("bald", "balent"):
        mine = [row for row in rows if row.what.startswith(f"{name} at") and row.unit != "times entropy"]
        few, many = ([row.value for row in mine if f"{members} members" in row.what] for members in (4, 16))
        assert max(few) < 2 * min(few)
        assert max(many) < 2 * min(many)
        assert max(many) < 2 * 4 * min(few)
    for row in rows:
        if row.what.startswith("balent") and row.unit == "times entropy":
            assert row.value < (15 if "16 members" in row.what else 20), row.what
