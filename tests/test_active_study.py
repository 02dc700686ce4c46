"""The active study as a whole: its rounds, its tables, how it goes on and is extended."""

import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from active_runs import part, same, scenes, study, truth
from numpy.typing import NDArray
from PIL import Image
from refusals import refused
from sklearn.metrics import accuracy_score, jaccard_score
from torch.nn import functional

from lowpix.active_study.measure import near_border
from lowpix.active_study.tables import ActiveTables
from lowpix.compare import Options as CompareOptions
from lowpix.compare import compare
from lowpix.data import IGNORE, spread
from lowpix.seeds import seed_for
from lowpix.segmenter import method
from lowpix.segmenter.augment import Augmentation
from lowpix.segmenter.batches import Batches
from lowpix.segmenter.model import build, load_model
from lowpix.study.work import work

SETTINGS = ("unet-margin", "unet-random", "unet-balent", "full")


class Whole(NamedTuple):
    """A study of three acquisitions and full annotation with two seeds."""

    folder: Path
    tables: ActiveTables


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The first run of a study, which later becomes the whole one. Tests read these tables only."""
    folder = tmp_path_factory.mktemp("active") / "whole"
    return Whole(folder, study(folder, acquisition=("random",), full=False))


@pytest.fixture(scope="module")
def whole(begun: Whole) -> Whole:
    """Tests only read it, or go on with a copy."""
    return Whole(begun.folder, study(begun.folder, acquisition=("random", "margin", "balent"), repeats=2))


# One round, written plainly


def test_a_round_is_what_a_plain_loop_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at random, train with torch's own loss and optimiser, and ask where the margin is smallest."""
    monkeypatch.setattr("lowpix.networks.device.multiplies_bfloat16", lambda _: False)
    monkeypatch.setattr("lowpix.segmenter.unet.DROPPED", 0)
    tables = study(
        tmp_path,
        acquisition=("margin",),
        full=False,
        max_pixels=12,
        selection="top",
        spacing=0,
        score_stride=1,
        dropout=0,
    )
    train, test = scenes("train"), scenes("test")
    asked, maps = {}, {}
    for name in train.images:
        first = tables.revealed.query("image == @name and round == 0")
        asked[name] = first[["row", "column"]].to_numpy()
        assert len(np.unique(asked[name], axis=0)) == 6
        maps[name] = np.full((24, 32), IGNORE, np.uint8)
        maps[name][tuple(asked[name].T)] = truth(train, name)[tuple(asked[name].T)]

    class Sparse:
        images, sparse = spread(train.images, None), True

        def read(self, name: str) -> tuple[NDArray[np.uint8], None]:
            return maps[name], None

    network = build("unet", 4, 4, False, seed_for(0, "scenes", "active", "initial weights")).train()
    batches = Batches(
        train,
        Sparse(),
        Augmentation((24, 32), zoom=(0.5, 2), flip=True, colour=0.3),
        2,
        seed_for(0, "scenes", "active", "training", 0),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.001, weight_decay=0.01)
    for step in range(4):  # two epochs of three images in twos
        optimiser.param_groups[0]["lr"] = 0.001 * (1 - step / 4) ** 0.9
        sample = batches(step)
        logits = network(sample.image)
        labels, weights = sample.labels.long(), sample.weights
        losses = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        optimiser.zero_grad()
        ((losses * weights).sum() / weights[labels != IGNORE].sum()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimiser.step()
    assert sorted(tables.rounds["round"]) == [0, 1]
    network.eval()
    truths, found = [], []
    with torch.no_grad():
        for name in test.images:
            given = torch.from_numpy(test.image(name)).permute(2, 0, 1)[None].float()
            found.append(network(given)[0].argmax(0).numpy().ravel())
            truths.append(truth(test, name).ravel())
        right = np.concatenate(found) == np.concatenate(truths)
        right = right[np.concatenate(truths) != IGNORE]
        assert tables.rounds["accuracy"].iloc[0] == pytest.approx(right.mean(), abs=0.001)
        for name in train.images:
            given = torch.from_numpy(train.image(name)).permute(2, 0, 1)[None].float()
            two = network(given)[0].softmax(0).topk(2, 0).values
            margin = (two[0] - two[1]).numpy()
            margin[truth(train, name) == IGNORE] = np.inf
            margin[tuple(asked[name].T)] = np.inf
            mine = tables.revealed.query("image == @name").sort_values("order")
            pixels = mine[["row", "column"]].to_numpy()
            chosen = margin[tuple(pixels[6:].T)]
            assert (chosen <= np.sort(margin.ravel())[5] + 1e-4).all()
            np.testing.assert_array_equal(mine["label"], truth(train, name)[tuple(pixels.T)])


# What a study leaves behind


def test_tables_follow_from_the_predictions_and_from_each_other(whole: Whole) -> None:
    folder, tables = whole
    test = scenes("test")
    summary = tables.summary
    assert sorted(zip(summary["setting"], summary["seed"], strict=True)) == sorted(
        (setting, seed) for setting in SETTINGS for seed in (0, 1)
    )
    last = tables.rounds[tables.rounds["round"] == tables.rounds.groupby("setting")["round"].transform("max")]
    for run in summary.itertuples():
        model = load_model(folder / f"models/{run.setting}/{run.seed}.safetensors").network.eval()
        truths, labels = [], []
        for name in test.images:
            with Image.open(folder / f"predictions/{run.setting}/{run.seed}/{name}.png") as picture:
                found = np.array(picture)
            given = torch.from_numpy(test.image(name)).permute(2, 0, 1)[None].float()
            with torch.no_grad():
                assert (model(given)[0].argmax(0).numpy() == found).mean() > 0.97  # but for bfloat16
            known = truth(test, name) != IGNORE
            truths.append(truth(test, name)[known])
            labels.append(found[known])
            if run.setting != "full":
                mine = tables.curves.query(
                    "setting == @run.setting and seed == @run.seed and image == @name and round == 2"
                )
                assert mine["accuracy"].item() == pytest.approx(accuracy_score(truths[-1], labels[-1]), abs=1e-12)
                held = np.unique(truths[-1])
                ious = jaccard_score(truths[-1], labels[-1], labels=held, average=None)
                assert mine["miou"].item() == pytest.approx(ious.mean(), abs=1e-12)
        all_true, all_found = np.concatenate(truths), np.concatenate(labels)
        row = last[(last["setting"] == run.setting) & (last["seed"] == run.seed)].iloc[0]
        for of in (run, row):
            assert of.accuracy == pytest.approx(accuracy_score(all_true, all_found), abs=1e-12)
            ious = jaccard_score(all_true, all_found, labels=np.unique(all_true), average=None)
            assert of.miou == pytest.approx(ious.mean(), abs=1e-12)
    assert set(tables.curves["setting"]) == set(SETTINGS) - {"full"}
    assert tables.history.groupby(["setting", "seed", "round"])["epoch"].count().eq(2).all()
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.glob("state/*-*"))  # of settings; the shared first round stays


def test_what_was_asked_is_in_the_tables(whole: Whole) -> None:
    train, tables = scenes("train"), whole.tables
    for (_, image), told in tables.revealed.groupby(["setting", "image"]):
        labels = truth(train, str(image))
        assert (labels[told["row"], told["column"]] == told["label"]).all()  # a class, so void was never asked
    for _, told in tables.revealed.groupby(["setting", "seed", "image"]):
        assert list(told["order"]) == list(range(18))
        assert list(told["round"]) == [0] * 6 + [1] * 6 + [2] * 6
        assert not told.duplicated(["row", "column"]).any()
    for row in tables.rounds.query("setting != 'full'").itertuples():
        told = tables.revealed.query("setting == @row.setting and seed == @row.seed and round <= @row.round")
        assert row.asked == row.revealed == 6 * (row.round + 1)
        assert row.annotated_fraction == pytest.approx(len(told) / (3 * 24 * 32))
        near = [_near_by_hand(truth(train, one.image), one.row, one.column) for one in told.itertuples()]
        assert row.near_border == pytest.approx(np.mean(near))
        shares = [getattr(row, f"revealed_{name}") for name in train.classes]
        np.testing.assert_allclose(shares, np.bincount(told["label"], minlength=4) / len(told))
    full = tables.rounds.query("setting == 'full'")
    assert (full["asked"] == 24 * 32).all()
    assert (full["annotated_fraction"] == 1).all()
    assert list(tables.summary.query("setting == 'unet-random'")["pixels_per_image"]) == [18, 18]


def _near_by_hand(labels: NDArray[np.uint8], row: int, column: int) -> bool:
    window = labels[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
    return bool(((window != labels[row, column]) & (window != IGNORE)).any())


def test_void_beside_a_class_is_no_border() -> None:
    labels = np.zeros((9, 12), np.uint8)
    labels[:, 4:6] = IGNORE
    labels[:, 9:] = 3
    expected = np.zeros((9, 12), bool)
    expected[:, 7:11] = True
    np.testing.assert_array_equal(near_border(labels), expected)


def test_all_settings_of_a_seed_share_the_first_round(whole: Whole) -> None:
    tables = whole.tables
    first = tables.rounds.query("round == 0 and setting != 'full'")
    assert (first.groupby("seed")["miou"].nunique() == 1).all()
    pixels = tables.revealed[tables.revealed["round"] == 0].groupby(["seed", "setting"])[["row", "column"]]
    by_seed = {seed: {tuple(map(tuple, p.to_numpy())) for (s, _), p in pixels if s == seed} for seed in (0, 1)}
    assert [len(sets) for sets in by_seed.values()] == [1, 1]
    assert by_seed[0] != by_seed[1]
    later = tables.revealed[(tables.revealed["round"] == 1) & (tables.revealed["seed"] == 0)]
    chosen = {tuple(map(tuple, p[["row", "column"]].to_numpy())) for _, p in later.groupby("setting")}
    assert len(chosen) == 3


def test_pairs_are_differences_of_the_rounds(whole: Whole) -> None:
    rounds = whole.tables.rounds.set_index(["setting", "seed", "round"])["miou"]
    pairs = whole.tables.pairs
    assert set(pairs["against"]) == {"unet-random", "full"}
    assert not ((pairs["against"] == "unet-random") & (pairs["round"] == 0)).any()
    for row in pairs.itertuples():
        other = 0 if row.against == "full" else row.round
        each = [rounds[row.setting, s, row.round] - rounds[row.against, s, other] for s in (0, 1)]
        assert row.difference == pytest.approx(np.mean(each))
        half = 12.7062 * np.std(each, ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom
        assert row.high - row.difference == pytest.approx(half, rel=1e-4)
        assert row.images_low <= row.images_high
        assert row.asked == 6 * (row.round + 1)


def test_settings_can_be_compared(whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(CompareOptions((whole.folder,), targets=(0.05,), out=tmp_path))
    assert set(found.settings) == set(SETTINGS) - {"full"}
    assert found.baseline == "unet-random"
    assert (found.start, found.budget) == (6, 18)
    means = whole.tables.curves.query("round == 2").groupby("setting")["miou"].mean()
    table = found.table.query("kind == 'setting' and quantity == 'miou' and budget == 10")
    first = whole.tables.curves.query("round == 0").groupby("setting")["miou"].mean()
    assert dict(zip(table["setting"], table["value"], strict=True)) == pytest.approx(dict(first))
    assert len(means) == 3
    assert "3 settings on 3 images, 2 seeds" in capsys.readouterr().out


def test_study_toml_tells_what_was_done(whole: Whole) -> None:
    document = tomllib.loads((whole.folder / "study.toml").read_text())
    settings = document["settings"]
    assert document["kind"] == "active"
    assert (settings["crop"], settings["width"], settings["learning_rate"]) == ([24, 32], 4, 0.001)
    assert not {"device", "jobs", "out", "fresh", "data_root"} & settings.keys()


# Going on


class Stopped:
    """Ends the program, as Ctrl-C does, after a number of epochs."""

    def __init__(self, patch: pytest.MonkeyPatch, epochs: int) -> None:
        left, train = count(epochs, -1), method.train

        def stop(_: dict[str, float]) -> None:
            if next(left) == 1:
                raise KeyboardInterrupt

        patch.setattr(method, "train", lambda *given, **options: train(*given, after_epoch=stop, **options))


@pytest.mark.parametrize(("start", "again", "epochs"), [("pretrained", 0, 3), ("warm", 4, 1)])
def test_stopped_again_and_again_is_never_stopped(start: str, again: int, epochs: int, tmp_path: Path) -> None:
    """There are two epochs in each round, and more for `full` or for the training again."""
    options = {"acquisition": ("power_bald",), "max_pixels": 12, "start": start}
    options |= {"retrain": True, "full": False, "keep_rounds": True} if again else {}
    never = study(tmp_path / "never", **options)
    tables, stops = None, 0
    while tables is None:
        with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
            Stopped(patch, epochs)
            stops += 1
            tables = study(tmp_path / "stopped", **options)
    assert stops > 1 + (2 + 2 + again) // epochs - 1
    assert same(tables, never)
    files = {path.relative_to(tmp_path / "never") for path in (tmp_path / "never").glob("[mp]*s/**/*.*")}
    assert len(files) == (2 + 3 if again else 2 * (1 + 3))  # models, and three predictions of each run
    for file in files:
        assert (tmp_path / "never" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()
    assert tables.summary["miou_again"].notna().sum() == (again > 0)
    for number in range(2) if again else ():
        model = f"models/unet-power_bald/0{['.0', ''][number]}.safetensors"
        right = tables.rounds.query("round == @number")["accuracy"].item()
        assert _accuracy(tmp_path / "stopped" / model) == pytest.approx(right, abs=0.01)  # but for bfloat16


def _accuracy(file: Path) -> float:
    """Accuracy of a kept network on the test scenes."""
    network, test = load_model(file).network.eval(), scenes("test")
    right = []
    for name in test.images:
        known = truth(test, name) != IGNORE
        with torch.no_grad():
            found = network(torch.from_numpy(test.image(name)).permute(2, 0, 1)[None].float())[0].argmax(0).numpy()
        right.append((found == truth(test, name))[known])
    return float(np.concatenate(right).mean())


def test_settings_and_seeds_extend_a_study(begun: Whole, whole: Whole, tmp_path: Path) -> None:
    """What is added is as if it had been there from the start, and what was there stays."""
    assert same(begun.tables, part(begun.tables, 1, "unet-random"))
    assert same(begun.tables, part(whole.tables, 1, "unet-random"))
    at_once = study(tmp_path, acquisition=("balent",))
    assert same(part(at_once, 1, *SETTINGS), part(whole.tables, 1, "unet-balent", "full"))


@pytest.mark.slow
def test_neither_order_nor_number_of_processes_changes_a_table(whole: Whole, tmp_path: Path) -> None:
    assert same(study(tmp_path, acquisition=("margin", "random", "balent"), repeats=2, jobs=2), whole.tables)


def test_progress_counts_epochs_of_rounds_that_were_done_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round has a bar of its own. Of two more rounds of two epochs, three epochs are done."""
    with pytest.MonkeyPatch.context() as patch:
        Stopped(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path, acquisition=("margin",), full=False)
    counted: list[float] = []

    def watched(*given: Any, done: Callable[[], float], total: int, **options: Any) -> Iterator[Any]:
        counted.extend((done(), total))
        yield from work(*given, done=done, total=total, **options)
        counted.append(done())

    monkeypatch.setattr("lowpix.active_study.runs.work", watched)
    study(tmp_path, acquisition=("margin",), full=False)
    assert counted == [3, 4, 4]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Stopped(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            study(tmp_path, acquisition=("margin",), full=False)
    (record,) = tmp_path.glob("state/unet-margin/0.json")
    record.write_bytes(record.read_bytes().replace(b'"round":1', b'"round":0', 1))
    with refused("unet-margin/0.json: is damaged: remove it"):
        study(tmp_path, acquisition=("margin",), full=False)


def test_fresh_starts_anew(whole: Whole, tmp_path: Path) -> None:
    copy = shutil.copytree(whole.folder, tmp_path / "copy")
    tables = study(copy, acquisition=("random",), full=False, fresh=True)
    assert set(tables.summary["setting"]) == {"unet-random"}
    assert not (copy / "models" / "full").exists()


def test_any_other_change_is_refused(whole: Whole) -> None:
    before = (whole.folder / "study.toml").read_bytes()
    for change, told in (({"epochs": 3}, "epochs was 2, now 3"), ({"start": "warm"}, "start was 'pretrained'")):
        with refused(told):
            study(whole.folder, **change)
    assert (whole.folder / "study.toml").read_bytes() == before
