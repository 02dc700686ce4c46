"""Runs of different kinds of machines: the tables say which is which, and a comparison of them warns."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import active_runs
import dataset_runs
import order_runs
import pandas as pd
import pytest
from cluster_machines import machines
from comparison_runs import curves
from torch import device as torch_device

from lowpix.compare.comparable import comparable, mixed_machines
from lowpix.image_study import Options, image_study
from lowpix.networks.device import machine
from lowpix.segmenter import training
from lowpix.storage import UNKNOWN
from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from lowpix.study.settings import _producer

pytestmark = pytest.mark.usefixtures("undrawn")
SCENES: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 2, "max_pixels": 7, "stop": "budget"}
HERE = machine(torch_device("cpu"))
OTHER = "Another CPU, float32"
ANOTHER = """
from lowpix.networks import device, pixel_mlp
device.processor = lambda: "Another CPU"
device.multiplies_bfloat16 = pixel_mlp.multiplies_bfloat16 = lambda _: False
"""


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Makes this process say that it is of another kind; `undo` ends that. Its arithmetic stays."""
    monkeypatch.setattr("lowpix.networks.device.processor", lambda: "Another CPU")
    monkeypatch.setattr("lowpix.networks.device.precision", lambda _: "float32")
    return monkeypatch


def column(out: Path, table: str = "summary.csv", key: str = "image") -> dict[str, str]:
    """The kinds of machines of a study's runs, as anybody reads them."""
    rows = pd.read_csv(out / table, dtype=str)
    return dict(zip(rows[key], rows["machine"], strict=True))


def test_an_image_study_gone_on_with_on_another_machine(
    tmp_path: Path, other: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(**SCENES, acquisition=("margin",), out=tmp_path)
    _producer.cache_clear()
    image_study(replace(options, scene_count=1))
    assert "kinds of machines" not in capsys.readouterr().err
    other.undo()
    _producer.cache_clear()
    image_study(options)
    assert column(tmp_path) == {"scene_000": OTHER, "scene_001": HERE}
    told = f"warning: {tmp_path}: its runs come from different kinds of machines (1 of {OTHER}; 1 of {HERE})"
    assert told in capsys.readouterr().err
    rounds = pd.read_parquet(tmp_path / "curves.parquet")
    assert rounds.groupby("image")["machine"].unique().map(list).to_dict() == {
        "scene_000": [OTHER],
        "scene_001": [HERE],
    }
    produced = tomllib.loads((tmp_path / "study.toml").read_text())["produced"]
    assert [f"{entry['processor']}, {entry['precision']}" for entry in produced] == [OTHER, HERE]


@pytest.mark.slow
def test_workers_of_another_kind_do_runs_and_say_so(tmp_path: Path) -> None:
    """One of two workers is made to say that it is of another kind, and to compute in float32 as that would."""
    import distributed

    (tmp_path / "another.py").write_text(ANOTHER)
    out, options = tmp_path / "out", Options(**SCENES | {"scene_count": 6}, acquisition=("margin",))
    with machines(tmp_path) as made:
        made.join(1, "--no-nanny")
        made.join(1, "--no-nanny", "--preload", str(tmp_path / "another.py"))
        with distributed.Client(made.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        image_study(replace(options, out=out, cluster=made.address))
    found = column(out)
    assert set(found.values()) == {HERE, OTHER}
    mine = [image for image, kind in found.items() if kind == HERE]
    image_study(replace(options, out=tmp_path / "here"))
    here, there = (Study(folder, IMAGES).tables().curves for folder in (tmp_path / "here", out))
    same, alike = (table[table["image"].isin(mine)].drop(columns="seconds") for table in (here, there))
    pd.testing.assert_frame_equal(same, alike, check_exact=True)


def test_a_network_says_on_which_machines_its_epochs_were_trained(
    tmp_path: Path, other: pytest.MonkeyPatch
) -> None:
    """One run goes on elsewhere in the midst of its training, and another one is done here."""
    plain = training._epoch

    def stopped(*arguments: Any) -> dict[str, Any]:
        if arguments[4] == 1:
            raise KeyboardInterrupt
        return plain(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            dataset_runs.study(tmp_path, ("full",))
    other.undo()
    found = dataset_runs.study(tmp_path, ("full", "pseudo"))
    assert column(tmp_path, key="setting") == {"full": f"{OTHER} + {HERE}", "pseudo-8": HERE}
    assert list(found.summary["machine"]) == [f"{OTHER} + {HERE}", HERE]


def test_settings_of_an_active_study_share_a_first_round_of_another_machine(
    tmp_path: Path, other: pytest.MonkeyPatch
) -> None:
    active_runs.study(tmp_path, acquisition=("random",), full=False)
    other.undo()
    tables = active_runs.study(tmp_path, acquisition=("random", "margin"))
    assert column(tmp_path, key="setting") == {
        "unet-random": OTHER,
        "unet-margin": f"{OTHER} + {HERE}",
        "full": HERE,
    }
    assert set(tables.curves["machine"]) == {OTHER, f"{OTHER} + {HERE}"}


def test_an_order_study_gone_on_with_on_another_machine(tmp_path: Path, other: pytest.MonkeyPatch) -> None:
    images = order_runs.studied(tmp_path / "images")
    order_runs.ordered(images, tmp_path / "out", seeds=1, limit=1)
    other.undo()
    order = order_runs.ordered(images, tmp_path / "out", seeds=1).order
    assert order.groupby("image")["machine"].unique().map(list).to_dict() == {
        "scene_000": [OTHER],
        "scene_001": [HERE],
    }


def test_a_study_of_an_earlier_version_says_that_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tables and its runs' files have no such column."""
    options = Options(**SCENES, acquisition=("margin",), out=tmp_path)
    image_study(replace(options, scene_count=1))
    for file in (*tmp_path.glob("runs/*/*/*.parquet"), tmp_path / "curves.parquet"):
        pd.read_parquet(file).drop(columns="machine").to_parquet(file)
    summary = pd.read_csv(tmp_path / "summary.csv", dtype=str).drop(columns="machine")
    summary.to_csv(tmp_path / "summary.csv", index=False)
    for digests in (*tmp_path.glob("runs/*/*/*.sha256"), tmp_path / "lowpix.sha256", tmp_path / "data.csv"):
        digests.unlink()
    image_study(options)
    assert column(tmp_path) == {"scene_000": UNKNOWN, "scene_001": HERE}
    assert "kinds of machines" not in capsys.readouterr().err


def test_pairs_of_different_machines_are_counted() -> None:
    rounds = curves({name: {("a", 0): [0.5, 0.9], ("b", 0): [0.4, 0.9]} for name in ("margin", "random")})
    rounds["accuracy"] += 0.01 * (rounds["setting"] == "random")  # identical settings would become one
    assert mixed_machines(comparable(rounds)) == ""
    rounds["machine"] = HERE
    assert mixed_machines(comparable(rounds)) == ""
    rounds.loc[(rounds["setting"] == "random") & (rounds["image"] == "b"), "machine"] = OTHER
    told = mixed_machines(comparable(rounds))
    assert told.startswith("in 1 of 2 pairs of runs")
    assert HERE in told
    assert OTHER in told
    rounds.loc[rounds["image"] == "b", "machine"] = OTHER  # of one kind by pair
    assert mixed_machines(comparable(rounds)) == ""
