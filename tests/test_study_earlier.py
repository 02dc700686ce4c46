"""Studies that earlier versions wrote: they are opened, written again as they were, and gone on with."""

import shutil
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from image_run_samples import make_run
from refusals import refused

from lowpix.dataset_study.tables import DATASETS, TrainedRun
from lowpix.order_study.tables import ARMS, OrderRun, OrderStudies
from lowpix.storage import UNKNOWN
from lowpix.study.folder import Study, open_study
from lowpix.study.image_runs import IMAGES
from lowpix.study.kind import Kind
from lowpix.study.settings import read_kind
from lowpix.study.source import Source

RESULTS = Path(__file__).parents[1] / "results"
KINDS: dict[str, Kind[Any, Any]] = {
    "camvid_speed": IMAGES,
    "nuclei_dataset": DATASETS,
    "camvid_order": OrderStudies(),
}
RECORDS = {  # study.toml before it named its kind
    "image": 'dataset = "scenes"\nsplit = "train"\nnetwork = "mlp"\nacquisition = ["margin"]\nmax_pixels = 8\n',
    "dataset": 'dataset = "scenes"\nsplit = "train"\nnetwork = "unet"\nacquisition = "margin"\nepochs = 2\n',
    "order": 'dataset = "scenes"\nsplit = "train"\nnetwork = "mlp"\nmax_pixels = 8\nseeds = 3\nplateau_cap = 10\n',
}
PRODUCED = '[[produced]]\nlowpix = "0.0.9"\ntorch = "2.0"\nwall_seconds = 1.5\n\n[settings]\n'


@pytest.fixture(params=KINDS)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a study left behind that an earlier version ran."""
    return shutil.copytree(RESULTS / request.param, tmp_path / request.param)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_record_without_a_kind_is_told_by_its_options(kind: Kind[Any, Any], tmp_path: Path) -> None:
    record = tmp_path / "study.toml"
    record.write_text(PRODUCED + RECORDS[kind.name], encoding="utf-8")
    assert read_kind(record) == kind.name
    settings = tomllib.loads(RECORDS[kind.name])
    lists = {"network": ["mlp"], "smoothing": ["none"], "carry_over": ["none"], "grid": [1]}
    now = settings | (lists if kind.name == "image" else {})
    for other in KINDS.values():
        if other.name != kind.name:
            with refused(tmp_path, kind.name, other.name):
                open_study(tmp_path, other, now)
    assert record.read_text(encoding="utf-8") == PRODUCED + RECORDS[kind.name]
    assert open_study(tmp_path, kind, now).settings == now
    document = tomllib.loads(record.read_text(encoding="utf-8"))
    assert (document["kind"], document["settings"]) == (kind.name, now)
    assert document["produced"][0] == {"lowpix": "0.0.9", "torch": "2.0", "wall_seconds": 1.5}
    assert len(document["produced"]) == 2  # this version is another


def test_tables_are_written_again_as_they_were(copy: Path) -> None:
    kind = KINDS[copy.name]
    assert read_kind(copy / "study.toml") == kind.name
    study = Study(copy, kind)
    tables = open_study(copy, kind, study.settings).write_tables()
    names = [*kind.stored, *kind.derived]
    assert len(tables) == len(names)
    for name in names:
        before, after = RESULTS / copy.name / name, copy / name
        read = partial(pd.read_csv, dtype=str) if name.endswith(".csv") else pd.read_parquet
        old, new = read(before), read(after)
        pd.testing.assert_frame_equal(new[list(old)], old, check_exact=True)
        added = new.drop(columns=list(old))  # what earlier versions did not measure
        assert (added.isna() | (added == UNKNOWN)).all(axis=None)
    there = {path.name for path in (RESULTS / copy.name).iterdir()}
    assert {path.name for path in copy.iterdir()} == there | {"lowpix.sha256"}


def another_run(copy: Path, tables: Any) -> Any:
    """A run that the study does not hold yet, much like one that it does."""
    if copy.name == "camvid_speed":
        setting = tables.summary["setting"].iloc[0]
        return replace(make_run("0001TP_999999", setting), dataset="camvid")
    if copy.name == "camvid_order":
        row = tables.order.iloc[0].to_dict()
        return OrderRun(**row | {"seed": 7, "arm": list(ARMS)[-1]})
    row = tables.summary.iloc[0].to_dict()  # of full
    cells = tables.confusion[(tables.confusion[["setting", "seed"]] == [row["setting"], row["seed"]]).all(axis=1)]
    cells = cells[["image", "true", "predicted", "pixels"]]
    row |= {"seed": 7, "budget": None, "label_seed": None}
    history = [{"epoch": 1, "learning_rate": 0.1, "loss": 0.5, "train_miou": 0.25, "seconds": 1.5}]
    return TrainedRun(row, history, list(cells.itertuples(index=False, name=None)))


def test_a_study_is_extended(copy: Path) -> None:
    """The rows that were there stay as they were, to the bit."""
    kind = KINDS[copy.name]
    settings = Study(copy, kind).settings
    option = "seeds" if kind.name == "order" else "repeats"
    study = open_study(copy, kind, settings | {option: 8})
    assert study.settings == settings | {option: 8}
    before, finished = study.tables(), study.finished()
    run = another_run(copy, before)
    study.save(run)
    assert study.finished() == finished | {kind.key_of(run)}
    after = study.write_tables()
    for name, old, new in zip(kind.stored, before, after, strict=False):
        own = (new[list(kind.key)] == list(kind.key_of(run))).all(axis=1)
        assert own.any(), name
        pd.testing.assert_frame_equal(new[~own].reset_index(drop=True), old, check_exact=True)
    fixed = "stop" if kind is IMAGES else "network"
    with refused(copy / "study.toml", fixed, "other"):
        open_study(copy, kind, settings | {fixed: "other"})


def test_what_an_earlier_image_study_revealed_is_read() -> None:
    source = Source(RESULTS / "camvid_speed")
    (setting,) = source.tables.curves["setting"].unique()
    logs = source.logs(setting)
    last = source.tables.summary.set_index(["image", "seed"])["revealed"]
    assert {run: log.asked for run, log in logs.items()} == last.to_dict()
    assert all(log.fits[-1] == log.asked for log in logs.values())
