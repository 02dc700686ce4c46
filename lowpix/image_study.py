"""python -m lowpix.image_study: one small network per image, revealed pixel by pixel until the target."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import joblib
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from lowpix.command import main, parse
from lowpix.data import IGNORE, Dataset, open_dataset, spread
from lowpix.data.check import check
from lowpix.errors import InputError
from lowpix.networks import find_network
from lowpix.record import Run, Study, as_text, open_study, overview, write_confidence, write_label_map
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.estimate import seconds_a_run
from lowpix.reveal.loop import Case, reveal
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.reveal.seeds import seed_for
from lowpix.reveal.session import ImageSession, Selection
from lowpix.reveal.stopping import Schedule


@dataclass(frozen=True)
class Options:
    """How few labelled pixels does each image need?

    A small network is trained from scratch for every image while an oracle, which holds the label map, reveals
    the pixels that the acquisition asks for, until the network labels the target share of the pixels rightly.
    """

    dataset: str = "scenes"
    """camvid, folder, or scenes (generated, needs no download)."""
    data_root: Path | None = None
    """Folder of the data set or its parent; else LOWPIX_DATA, ./data, the user's cache (camvid is fetched)."""
    split: str | None = None
    """Part of the data set; else its own first one."""
    limit: int | None = None
    """So many images, spread over the list; else all."""
    images: tuple[str, ...] = ()
    """These images by name; else all."""
    scene_size: tuple[int, int] = (120, 160)
    """Height and width of generated scenes, pixels."""
    scene_count: int = 8
    """How many scenes are generated."""
    scene_classes: int = 6
    """Classes of the generated scenes."""
    network: str = "mlp"
    """mlp (an ensemble of per-pixel networks) or unet (convolutions on the whole image)."""
    members: int | None = None
    """Networks per image; else the network's own number (mlp 4, unet 1)."""
    acquisition: tuple[str, ...] = ("margin",)
    """One or several, each a setting of the study: random, entropy, least_confidence, margin, error_depth."""
    oracle_noise: float = 0.0
    """Share of wrong answers, 0 to 1, uniform over the other classes."""
    oracle_refusal: float = 0.0
    """Share of pixels that the oracle refuses to label, 0 to 1; each costs a click."""
    target: float = 0.98
    """Accuracy to reach, above 0 to 1, over the image's non-void pixels."""
    stop: str = "target"
    """target: an image ends when it reaches the target; budget: it goes on to --max-pixels."""
    max_pixels: int = 1000
    """Budget: at most so many pixels are asked of an image."""
    ask_void: bool = False
    """Void pixels may be asked, at the cost of a click; else they never are, as if known beforehand."""
    pixels_per_round: str = "default"
    """A number, a growth such as 5%, or default: one until 100 are asked, then 5 %."""
    first_pixels: int = 5
    """Pixels of the first round, drawn uniformly, the same for all settings."""
    spacing: float = 10
    """No two picks of a round within so many pixels (chessboard distance)."""
    percent: float | None = None
    """Draw picks at random among so many percent of the pixels with the highest scores; else take the top."""
    seed: int = 0
    """Of the study; repeat r uses seed + r."""
    repeats: int = 1
    """How often each image and setting is run, each time with another seed."""
    stack: int | None = None
    """Images trained together; else 1 on a CPU and 64 on a GPU."""
    jobs: int = 1
    """Processes, each with one thread."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    out: Path | None = None
    """Where the study is written; else results/<dataset>_image."""
    fresh: bool = False
    """Remove the study that is there and start anew."""

    def __post_init__(self) -> None:
        for name in self.acquisition:
            find_acquisition(name)
        network = find_network(self.network)
        rules = [
            ("acquisition", bool(self.acquisition), "at least one"),
            ("oracle_noise", 0 <= self.oracle_noise <= 1, "0 to 1"),
            ("oracle_refusal", 0 <= self.oracle_refusal <= 1, "0 to 1"),
            ("target", 0 < self.target <= 1, "above 0, at most 1"),
            ("stop", self.stop in ("target", "budget"), "target or budget"),
            ("spacing", self.spacing >= 0, "at least 0"),
            ("percent", self.percent is None or 0 < self.percent <= 100, "above 0, at most 100"),
            ("seed", self.seed >= 0, "at least 0"),
            *((n, getattr(self, n) is None or getattr(self, n) >= 1, "at least 1")
              for n in ("limit", "members", "repeats", "stack", "jobs", "max_pixels", "scene_count")),
        ]  # fmt: skip
        for name, kept, rule in rules:
            if not kept:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be {rule}")
        if network.stacks is False and (self.stack or 1) > 1:
            raise InputError(f"--stack {self.stack}: {self.network} trains one image at a time")
        _ = self.schedule

    @property
    def schedule(self) -> Schedule:
        """Pixels per round and budget."""
        return Schedule(self.first_pixels, self.pixels_per_round, self.max_pixels)


PLACE = ("data_root", "out", "fresh", "jobs", "device")
"""Options that say where and how a study runs, not what it is."""

Unit = tuple[str, int]
"""An image and a seed: all settings of it are one piece of work, and share what the network reads."""


def image_study(options: Options) -> Study:
    """Run an image study, or go on with the one in its folder; returns the folder with its tables written.

    Raises:
        InputError: an option out of range, faulty data, or a folder that holds another study.
    """
    start = perf_counter()
    dataset = open_dataset(
        options.dataset,
        options.data_root,
        options.split,
        scene_size=options.scene_size,
        scene_count=options.scene_count,
        scene_classes=options.scene_classes,
        seed=options.seed,
    )
    names = _names(dataset, options)
    _require_sound(dataset, names)
    device = _device(options.device)
    study = _open(dataset, options, device)
    seeds = range(options.seed, options.seed + options.repeats)
    units = [(name, seed) for seed in seeds for name in names]
    finished = study.finished()
    settings = {_setting(options, acquisition) for acquisition in options.acquisition}
    left = sum((setting, *unit) not in finished for setting in settings for unit in units)
    print(f"{dataset.name} {dataset.split}: {len(names)} images, {len(units) * len(settings)} runs, {left} to do", end="")
    try:
        if left:
            a_run = seconds_a_run(_case(dataset, options, options.acquisition[0], units[0], device), options.schedule)
            print(f", at most about {_clock(a_run * left / min(options.jobs, left))} (most images end sooner)", flush=True)
            _work(dataset, options, units, study, device, left)
        else:
            print()
    finally:  # Ctrl-C, too, leaves tables of what is finished
        study.write_tables()
        study.record_work(perf_counter() - start, str(device))
    return study


def _work(
    dataset: Dataset, options: Options, units: list[Unit], study: Study, device: torch.device, left: int
) -> None:
    """Run all unfinished runs in `jobs` processes, with a bar that shows what came of them so far."""
    stack = options.stack or (64 if device.type == "cuda" and find_network(options.network).stacks else 1)
    # which units share a stack is fixed by the study, not by how many processes there are
    pieces = [units[start : start + stack] for start in range(0, len(units), stack)]
    parallel = joblib.Parallel(
        n_jobs=options.jobs, return_as="generator_unordered", pre_dispatch=options.jobs, batch_size=1
    )
    reached: list[float] = []
    with (
        joblib.parallel_config(backend="loky", inner_max_num_threads=1),
        tqdm(total=left, unit="run", smoothing=0, file=sys.stderr) as bar,
    ):
        run = joblib.delayed(_run_piece)
        # one piece yields its runs as they end; through joblib they arrive a piece at a time
        if options.jobs == 1:
            arrivals: Iterable[list[float]] = (
                [pixels] for piece in pieces for pixels in _runs(dataset, options, piece, study, device, stack)
            )
        else:
            arrivals = parallel(run(dataset, options, piece, study, device, stack) for piece in pieces)
        for arrival in arrivals:
            reached += arrival
            bar.update(len(arrival))
            if reached:
                share = sum(pixels < float("inf") for pixels in reached) / len(reached)
                middle = median(reached)
                pixels = f"{middle:.0f}" if middle < float("inf") else f">{options.max_pixels}"
                bar.set_postfix_str(f"{share:.0%} reached the target, median {pixels} pixels")


def _run_piece(*arguments: object) -> list[float]:
    """As `_runs`, in a process of its own."""
    return list(_runs(*arguments))  # type: ignore[arg-type]


def _runs(
    dataset: Dataset, options: Options, units: list[Unit], study: Study, device: torch.device, stack: int
) -> Iterator[float]:
    """Run and save what is unfinished of these units; yields each run's pixels to target, inf if censored."""
    finished = study.finished()
    cases = _cases(dataset, options, units, finished, device)
    with _one_thread():
        for case in reveal(cases, options.schedule, options.target, options.stop, stack):
            run = _record(dataset, options, case)
            assert case.prediction is not None
            labels = case.session.overwrite(case.prediction.labels)
            write_label_map(study.label_map_file(run.setting, run.seed, run.image), labels, dataset.palette)
            write_confidence(study.confidence_file(run.setting, run.seed, run.image), case.prediction.confidence)
            study.save(run)  # last: from here on it is finished
            hit = run.rounds.loc[run.rounds["accuracy"] >= options.target, "revealed"]
            yield float(hit.iloc[0]) if len(hit) else float("inf")


def _cases(
    dataset: Dataset, options: Options, units: list[Unit], finished: set[tuple[str, str, int]], device: torch.device
) -> Iterator[Case]:
    """The unfinished runs of these units, made one at a time; settings of one image share its inputs."""
    for unit in units:
        first: Case | None = None
        for acquisition in options.acquisition:
            if (_setting(options, acquisition), *unit) not in finished:
                case = _case(dataset, options, acquisition, unit, device, first)
                first = first or case
                yield case


def _case(
    dataset: Dataset,
    options: Options,
    acquisition: str,
    unit: Unit,
    device: torch.device,
    like: Case | None = None,
) -> Case:
    """A run that is about to start; `like` is another of the same image, whose inputs it shares."""
    name, seed = unit
    start = perf_counter()
    truth = dataset.labels(name)
    assert truth is not None, "checked before the study"
    classes = len(dataset.classes)
    session = ImageSession(
        dataset.image(name),
        np.ones(truth.shape, np.bool_) if options.ask_void else truth != IGNORE,
        classes,
        network=options.network,
        members=options.members,
        acquisition=acquisition,
        selection=Selection(options.spacing, options.percent),
        seed=seed_for(seed, dataset.name, name, "session"),
        truth=truth if find_acquisition(acquisition).privileged else None,
        device=device,
        inputs=like.session.inputs if like else None,
    )
    # each run is charged for the inputs, shared or not: alone it would have to make them
    seconds = like.preparation if like else perf_counter() - start
    oracle = LabelMapOracle(
        truth, classes, options.oracle_noise, options.oracle_refusal, seed_for(seed, dataset.name, name, "oracle")
    )
    return Case((name, seed), session, oracle, truth, preparation=seconds)


def _record(dataset: Dataset, options: Options, case: Case) -> Run:
    acquisition = case.session.acquisition
    name, seed = case.name
    oracle = "label map"
    if options.oracle_noise or options.oracle_refusal:
        oracle += f", {options.oracle_noise:g} wrong, {options.oracle_refusal:g} refused"
    return Run(
        dataset=dataset.name,
        setting=_setting(options, acquisition.name),
        image=name,
        network=options.network,
        acquisition=acquisition.name,
        selection=case.session.selection_name,
        oracle=oracle,
        privileged=acquisition.privileged,
        stop=options.stop,
        void="asked" if options.ask_void else "never asked",
        seed=seed,
        target=options.target,
        classes=len(np.setdiff1d(case.truth, [IGNORE])),
        pixels=case.truth.size,
        rounds=pd.DataFrame(case.rounds),
    )


def _require_sound(dataset: Dataset, names: Sequence[str]) -> None:
    report = check(dataset, names)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if report.faults:
        more = len(report.faults) - 1
        others = f" (and {more} more: python -m lowpix.doctor lists them all)" if more else ""
        raise InputError(f"{report.faults[0]}{others}")


def _setting(options: Options, acquisition: str) -> str:
    return f"{options.network}-{acquisition}"


def _names(dataset: Dataset, options: Options) -> tuple[str, ...]:
    unknown = [name for name in options.images if name not in set(dataset.images)]
    if unknown:
        raise InputError(
            f"--images {unknown[0]}: not in {dataset.name} {dataset.split}, which has {len(dataset.images)} images "
            f"such as {dataset.images[0]}"
        )
    return spread(options.images or dataset.images, options.limit)


def _open(dataset: Dataset, options: Options, device: torch.device) -> Study:
    out = options.out or Path("results") / f"{options.dataset}_image"
    settings = {key: value for key, value in asdict(options).items() if key not in PLACE}
    if options.dataset != "scenes":
        settings = {key: value for key, value in settings.items() if not key.startswith("scene_")}
    settings |= {
        "split": dataset.split,
        "members": options.members or find_network(options.network).members,
        "images": list(options.images) or None,
        "acquisition": list(options.acquisition),
    }
    return open_study(out, settings, fresh=options.fresh, device=str(device))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError:
        raise InputError(f"--device {name}: must be auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: there are {torch.cuda.device_count()} such devices here")
    return device


@contextmanager
def _one_thread() -> Iterator[None]:
    """More threads change the last bits, and fight with those of other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def command(arguments: Sequence[str]) -> None:
    """Run the study that the arguments ask for, and print what came of it."""
    study = image_study(parse(Options, arguments, "python -m lowpix.image_study"))
    print(as_text(overview(study.tables().summary)))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    main(command)
