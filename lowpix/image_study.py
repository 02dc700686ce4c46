"""python -m lowpix.image_study: one small network per image, revealed pixel by pixel until the target."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import torch
from tqdm import tqdm

from lowpix.command import clock, main, parse
from lowpix.data import Dataset, open_dataset, spread
from lowpix.data.check import require_sound
from lowpix.errors import InputError
from lowpix.networks import find_network
from lowpix.networks.device import find_device
from lowpix.record import Bound, Study, as_text, open_study, overview
from lowpix.record.pictures import write_pictures
from lowpix.reveal.acquisition import find_acquisition
from lowpix.reveal.estimate import seconds_a_run
from lowpix.reveal.session import Selection
from lowpix.reveal.setting import Setting, Unit
from lowpix.reveal.stopping import Schedule
from lowpix.reveal.study import run_study


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
    """Part of the data set; else its own default: train, or all of a folder without parts."""
    limit: int | None = None
    """So many images, spread over the list; else all."""
    images: tuple[str, ...] = ()
    """These images by name; else all."""
    scene_size: tuple[int, int] = (120, 160)
    """Height and width of generated scenes, pixels."""
    scene_count: int = 8
    """How many scenes are generated."""
    scene_classes: int = 6
    """Classes of the generated scenes, 2 to 50."""
    network: str = "mlp"
    """mlp (an ensemble of per-pixel networks, in bfloat16 where the processor multiplies it), mlp_float32 (never)
    or unet (convolutions)."""
    members: int | None = None
    """Networks per image; else the network's own number (mlp 4, unet 1)."""
    members_from: str = "ensemble"
    """What acquisitions compare. ensemble: the networks; dropout: samples of one, its last layer thinned."""
    mc_samples: int = 32
    """With --members-from dropout: so many samples."""
    dropout: float = 0.5
    """With --members-from dropout: share of what the last layer reads that is dropped, above 0, below 1."""
    acquisition: tuple[str, ...] = ("margin",)
    """One or several, each a setting: random, stratified, spaced, entropy, least_confidence, margin, bald,
    mean_std, variation_ratio, power_bald, balent, error_depth (privileged), or your own as module:function."""
    oracle_noise: float = 0.0
    """Share of wrong answers, 0 to 1, uniform over the other classes."""
    oracle_refusal: float = 0.0
    """Share of pixels that the oracle refuses to label, 0 to 1; each costs a click."""
    target: float = 0.98
    """Accuracy to reach, above 0 to 1, over the image's non-void pixels; --stop budget goes on from there."""
    stop: str = "target"
    """target: an image ends when it reaches the target; budget: it goes on to --max-pixels."""
    max_pixels: int = 1000
    """Budget: at most so many pixels are asked of an image."""
    keep_at: tuple[int, ...] = ()
    """Keep the pseudo-labels at these smaller budgets, too: a round ends at each of them."""
    ask_void: bool = False
    """Void pixels may be asked, at the cost of a click; else they never are, as if known beforehand."""
    pixels_per_round: str = "default"
    """A number, a growth such as 5% of those asked so far, or default: one until 100 are asked, then 5%."""
    first_pixels: int = 5
    """Pixels of the first round, drawn uniformly, the same for all settings."""
    spacing: float = 10
    """No two picks of a round within so many pixels (chessboard distance), while there is room; not random's."""
    percent: float | None = None
    """Draw picks at random among so many percent of the pixels with the highest scores; else take the top."""
    seed: int = 0
    """Of the study; repeat r, counted from 0, uses seed + r."""
    repeats: int = 1
    """How often each image and setting is run, each time with another seed."""
    stack: int | None = None
    """Images trained together; else 1 on a CPU, 64 on a GPU."""
    jobs: int = 1
    """Processes, each with one thread."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    out: Path | None = None
    """Where the study is written; else results/<dataset>_<split>."""
    fresh: bool = False
    """Remove the study that is there and start anew."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        network = find_network(self.network)
        stacks = network.stacks
        compared = self.mc_samples if self._dropout else self.members or network.members
        for name in self.acquisition:
            least = find_acquisition(name).least_members
            if compared < least:
                remedy = f"--members {least} or more, or --members-from dropout"
                raise InputError(f"--acquisition {name}: compares members, at least {least} of them: {remedy}")
        at_least_one = ("limit", "members", "repeats", "stack", "jobs", "max_pixels", "scene_count", "mc_samples")
        values = {name: getattr(self, name) for name in at_least_one}
        rules = [
            ("acquisition", bool(self.acquisition), "at least one"),
            ("oracle_noise", 0 <= self.oracle_noise <= 1, "0 to 1"),
            ("oracle_refusal", 0 <= self.oracle_refusal <= 1, "0 to 1"),
            ("target", 0 < self.target <= 1, "above 0, at most 1"),
            ("stop", self.stop in ("target", "budget"), "target or budget"),
            ("members_from", self.members_from in ("ensemble", "dropout"), "ensemble or dropout"),
            ("dropout", 0 < self.dropout < 1, "above 0, below 1"),
            (
                "members",
                not self._dropout or self.members in (None, 1),
                "1 with --members-from dropout, which samples one network",
            ),
            (
                "keep_at",
                all(self.first_pixels <= budget <= self.max_pixels for budget in self.keep_at),
                "between --first-pixels and --max-pixels",
            ),
            ("spacing", self.spacing >= 0, "at least 0"),
            ("percent", self.percent is None or 0 < self.percent <= 100, "above 0, at most 100"),
            ("seed", self.seed >= 0, "at least 0"),
            *((name, value is None or value >= 1, "at least 1") for name, value in values.items()),
            ("stack", stacks or self.stack in (None, 1), f"1, since {self.network} trains images one by one"),
        ]
        for name, kept, rule in rules:
            if not kept:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be {rule}")

    def settings(self) -> list[Setting]:
        """A setting for each acquisition."""
        return [
            Setting(
                network=self.network,
                members=self.resolved_members(),
                dropout=self.dropout if self._dropout else 0,
                samples=self.mc_samples,
                acquisition=acquisition,
                selection=Selection(self.spacing, self.percent),
                schedule=Schedule(self.first_pixels, self.pixels_per_round, self.max_pixels, self.keep_at),
                target=self.target,
                stop=self.stop,
                ask_void=self.ask_void,
                oracle_noise=self.oracle_noise,
                oracle_refusal=self.oracle_refusal,
            )
            for acquisition in dict.fromkeys(self.acquisition)
        ]

    def resolved_members(self) -> int:
        """Networks per image."""
        return self.members or (1 if self._dropout else find_network(self.network).members)

    @property
    def _dropout(self) -> bool:
        return self.members_from == "dropout"


DROPOUT = ("members_from", "mc_samples", "dropout")
PLACE = ("data_root", "out", "fresh", "stack", "jobs", "device")
"""Options that say where and how fast a study runs, not what it is: on a CPU they change no bit of a table."""


def image_study(options: Options) -> Study:
    """Run an image study, or go on with the one in its folder; its tables and pictures are written.

    Raises:
        InputError: an option out of range, faulty data, or a folder that holds another study.
    """
    start = perf_counter()
    options.check()
    settings = options.settings()
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
    require_sound(dataset, names)
    device = find_device(options.device)
    out = options.out or Path("results") / f"{dataset.name}_{dataset.split}"
    study = open_study(out, _settings(dataset, options), fresh=options.fresh, device=str(device))
    units = [(name, options.seed + repeat) for repeat in range(options.repeats) for name in names]
    try:
        _work(dataset, settings, units, study, device, options)
    finally:  # Ctrl-C, too, leaves tables of what is finished
        write_pictures(study, study.write_tables(), dataset)
        study.record_work(perf_counter() - start, str(device))
    return study


def _work(
    dataset: Dataset,
    settings: list[Setting],
    units: list[Unit],
    study: Study,
    device: torch.device,
    options: Options,
) -> None:
    """Do what is unfinished, with an estimate before and a bar that shows what came of it so far."""
    finished = study.finished()
    left = sum((setting.name, *unit) not in finished for setting in settings for unit in units)
    work = f"{dataset.name} {dataset.split}: {len(units) * len(settings)} runs, {left} of them to do"
    if not left:
        print(work)
        return
    stacks = device.type == "cuda" and find_network(options.network).stacks
    stack = options.stack or (64 if stacks else 1)
    # not kept: it holds all that a network reads of an image
    a_run = seconds_a_run(settings[0].start(dataset, units[0], device), settings[0].schedule)
    seconds = a_run * left / min(options.jobs, -(-len(units) // stack))
    print(f"{work}, in at most about {clock(seconds)}: less where images reach the target", flush=True)
    outcomes: dict[str, list[float]] = {}
    with tqdm(total=left, unit="run", smoothing=0) as bar:
        for run in run_study(dataset, settings, units, study, device, stack, options.jobs):
            outcomes.setdefault(run.acquisition, []).append(run.pixels_to_target)
            bar.set_postfix_str(_so_far(outcomes, options.max_pixels), refresh=False)
            bar.update()


def _so_far(outcomes: dict[str, list[float]], budget: int) -> str:
    """Of each setting: the share of runs that reached the target, and their median pixels; of many, the shares."""
    texts = []
    brief = len(outcomes) > 3
    for acquisition, pixels in outcomes.items():
        share = sum(count < float("inf") for count in pixels) / len(pixels)
        middle = sorted(pixels)[len(pixels) // 2]
        median = "" if brief else f", median {Bound(min(middle, budget), middle > budget).text()}"
        texts.append(f"{acquisition} {share:.0%}{median}")
    return "at target: " + (", " if brief else "; ").join(texts)


def _names(dataset: Dataset, options: Options) -> tuple[str, ...]:
    unknown = [name for name in options.images if name not in set(dataset.images)]
    if unknown:
        holds = f"the {len(dataset.images)} images of {dataset.name} {dataset.split}, such as {dataset.images[0]}"
        raise InputError(f"--images {unknown[0]}: must be one of {holds}")
    return spread(tuple(dict.fromkeys(options.images)) or dataset.images, options.limit)


def _settings(dataset: Dataset, options: Options) -> dict[str, object]:
    """The options as resolved, for `study.toml`: a later run of other ones is another study."""
    settings = {name: value for name, value in asdict(options).items() if name not in PLACE}
    if options.dataset != "scenes":
        settings = {name: value for name, value in settings.items() if not name.startswith("scene_")}
    if options.members_from == "ensemble":  # where an option has no say, it is none of the study's
        settings = {name: value for name, value in settings.items() if name not in DROPOUT}
    members = options.resolved_members()
    some = {"images": options.images or None, "keep_at": options.keep_at or None}
    return settings | {"split": dataset.split, "members": members} | some


def command(arguments: Sequence[str]) -> None:
    """Run the study that the arguments ask for, and print what came of it."""
    study = image_study(parse(Options, arguments, "python -m lowpix.image_study"))
    print(as_text(overview(study.tables().summary)))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    main(command)
