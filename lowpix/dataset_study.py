"""python -m lowpix.dataset_study: one network on all pseudo-labelled images, against full annotation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from lowpix.command import main, parse
from lowpix.data import Dataset, open_dataset
from lowpix.errors import InputError, choose
from lowpix.image_study import Options as ImageOptions
from lowpix.learning.augment import Augmentation
from lowpix.learning.labelling import labelled, open_source
from lowpix.learning.labels import DEFAULT, GROUPS, SETTINGS, Material
from lowpix.learning.run import Costs, Job, Plan
from lowpix.learning.segmenter import build
from lowpix.learning.splits import Splits, open_splits
from lowpix.learning.training import Recipe
from lowpix.learning.work import run_jobs
from lowpix.networks.device import find_device
from lowpix.record import as_text, open_study, read_settings
from lowpix.record.dataset_plots import write_dataset_pictures
from lowpix.record.dataset_tables import OUTPUTS, DatasetStudy, dataset_overview
from lowpix.record.settings import EXTENDABLE as IMAGES_EXTENDABLE
from lowpix.record.settings import keep_section
from lowpix.reveal.acquisition import find_acquisition


@dataclass(frozen=True)
class Options:
    """Does a network trained on pseudo-labels reach one trained on full annotation?

    Each training image's pseudo-labels come from an image study, which is run first where it has none. Then one
    network for the data set is trained from scratch on them, and, with the same steps and schedule, on what it is
    to be compared with; all are judged on the test split.
    """

    dataset: str = "scenes"
    """camvid, folder, or scenes (generated, needs no download)."""
    data_root: Path | None = None
    """Folder of the data set or its parent; else LOWPIX_DATA, ./data, the user's cache (camvid is fetched)."""
    split: str | None = None
    """Part of the data set that is trained on; else its own default, train."""
    test_split: str = "test"
    """Part that the networks are judged on."""
    validation_split: str = "val"
    """With --select validation: part that the checkpoint is chosen on."""
    limit: int | None = None
    """So many training images, spread over the list; else all."""
    test_limit: int | None = None
    """So many test images, spread over the list; else all."""
    scene_size: tuple[int, int] = (96, 128)
    """Height and width of generated scenes, pixels."""
    scene_count: int = 16
    """How many scenes are generated for each split."""
    scene_classes: int = 6
    """Classes of the generated scenes, 2 to 50."""
    image_study: Path | None = None
    """Folder of the image study that gives the pseudo-labels; else image_study in --out, where it is run first."""
    budgets: tuple[int, ...] = ()
    """Pixels asked of an image, one or several, each with settings of its own, like pseudo-100: the image study's
    --max-pixels, or what it was told to --keep-at. Else its --max-pixels alone; 50 if it is not there yet."""
    acquisition: str = "margin"
    """The image study's acquisition whose pixels and pseudo-labels are used."""
    settings: tuple[str, ...] = DEFAULT
    """full (the true maps), pseudo (pseudo-labels), pseudo_stratified (of evenly spread pixels), few_full (as many
    true maps as cost the same hours), sparse (the chosen pixels alone), sparse_random (as many random ones),
    full_degraded (the truth with each image's own error rate: full_degraded_flips and full_degraded_borders),
    pseudo_walker (no image network: a random walker)."""
    min_confidence: float = 0.0
    """Pseudo-labels of less confidence become void, 0 to 1; revealed pixels are sure."""
    weigh_by_confidence: bool = False
    """A pixel with a pseudo-label weighs its confidence in the loss; a revealed one 1."""
    minutes_per_map: float = 60.0
    """To draw a full label map. 60 is what is reported of CamVid (as cited in arXiv 1807.06056); more than 90 of
    Cityscapes (arXiv 1604.01685). The lower, the more maps few_full gets."""
    seconds_per_click: float = 1.0
    """To label a pixel. Bearman et al. (arXiv 1506.02106) measured 2.4 s for the first point of a class in
    an image and 0.9 s for each further one, where annotators chose the points."""
    network: str = "unet"
    """unet (ours, from scratch), or hf:<folder or model id>, a segmentation model of transformers."""
    width: int = 16
    """Channels of unet at full resolution: 16 for a CPU, 64 for a GPU."""
    from_scratch: bool = False
    """Of an hf: model take the configuration alone; its weights are drawn afresh."""
    epochs: int = 60
    """Passes over all training images; a setting that shows fewer images makes as many steps."""
    batch: int = 4
    """Images in a batch, at least 2."""
    learning_rate: float | None = None
    """Of AdamW; it falls to 0 over all steps (polynomial of power 0.9), and is warmed up over the first 5 % of
    them. Else 0.001, and 0.0003 for pretrained weights."""
    weight_decay: float = 0.01
    """Of AdamW."""
    scale: float = 1.0
    """The network sees images resized by so much, above 0 to 1; metrics are always on the original maps."""
    crop: tuple[int, int] | None = None
    """Height and width that the network is shown in training; else those of the median image, resized."""
    zoom: tuple[float, float] = (0.5, 2.0)
    """Training images are resized by a further factor between these; 1 1 for none."""
    flip: bool = True
    """Half of the training images are mirrored, left to right."""
    colour: float = 0.3
    """Brightness, contrast and saturation are multiplied by up to 1 ± so much, 0 to below 1."""
    class_weights: bool = False
    """Rare classes weigh more in the loss, by how often the setting's own labels hold them."""
    select: str = "last"
    """last: the last checkpoint; validation: the one of most mIoU on the validation maps, whose cost counts."""
    seed: int = 0
    """Of the study; repeat r, counted from 0, uses seed + r."""
    repeats: int = 1
    """How often each setting is trained, each time with another seed; 2 or more give intervals."""
    jobs: int = 1
    """Processes, each with one thread."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    out: Path | None = None
    """Where the study is written; else results/<dataset>_dataset."""
    fresh: bool = False
    """Remove the study that is there and start anew; the image study stays."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        self.kinds()
        find_acquisition(self.acquisition)
        at_least_one = ("limit", "test_limit", "scene_count", "width", "epochs", "repeats", "jobs")
        positive = ("minutes_per_map", "seconds_per_click", "learning_rate")
        rules = [
            ("settings", bool(self.settings), "at least one"),
            ("budgets", all(budget >= 1 for budget in self.budgets), "at least 1 each"),
            ("min_confidence", 0 <= self.min_confidence <= 1, "0 to 1"),
            ("batch", self.batch >= 2, "at least 2: batch norm compares images"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("scale", 0 < self.scale <= 1, "above 0, at most 1"),
            ("crop", self.crop is None or min(self.crop) >= 16, "at least 16 each"),
            ("zoom", 0 < self.zoom[0] <= self.zoom[1], "two factors above 0, the smaller first"),
            ("colour", 0 <= self.colour < 1, "at least 0, below 1"),
            ("select", self.select in ("last", "validation"), "last or validation"),
            ("seed", self.seed >= 0, "at least 0"),
            *((name, (value := getattr(self, name)) is None or value >= 1, "at least 1") for name in at_least_one),
            *((name, (value := getattr(self, name)) is None or value > 0, "above 0") for name in positive),
        ]
        for name, kept, rule in rules:
            if not kept:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be {rule}")

    def kinds(self) -> tuple[str, ...]:
        """The settings, each once, names that stand for several resolved."""
        names = [kind for name in self.settings for kind in GROUPS.get(name, (name,))]
        for name in names:
            choose("--settings", name, SETTINGS | dict.fromkeys(GROUPS))
        return tuple(dict.fromkeys(names))

    def resolved_learning_rate(self) -> float:
        """Largest learning rate."""
        return self.learning_rate or (0.001 if self.network == "unet" or self.from_scratch else 0.0003)


PLACE = ("data_root", "out", "fresh", "jobs", "device")
EXTENDABLE = frozenset({"settings", "budgets", "repeats"})
PLANNED = 50  # pixels an image of an image study that is not there yet


def dataset_study(options: Options) -> DatasetStudy:
    """Run a data-set study, or go on with the one in its folder; its tables and pictures are written.

    Raises:
        InputError: an option out of range, faulty data, labels that are not to be had, or a folder that holds
            another study.
    """
    start = perf_counter()
    options.check()
    device = find_device(options.device)
    splits = open_splits(
        partial(_open, options),
        options.split,
        options.test_split,
        options.validation_split if options.select == "validation" else None,
        options.limit,
        options.test_limit,
    )
    dataset = splits.train
    build(options.network, len(dataset.classes), options.width, options.from_scratch, 0)  # or say why not, now

    out = options.out or Path("results") / f"{dataset.name}_dataset"
    crop = options.crop or splits.median_size(options.scale)
    folder = options.image_study or out / "image_study"
    budgets = _budgets(options, folder, dataset)
    resolved = {key: value for key, value in asdict(options).items() if key not in PLACE}
    if options.dataset != "scenes":
        resolved = {key: value for key, value in resolved.items() if not key.startswith("scene_")}
    resolved |= {"split": dataset.split, "settings": options.kinds(), "budgets": budgets, "crop": crop}
    resolved |= {
        "learning_rate": options.resolved_learning_rate(),
        "image_study": options.image_study and str(folder),
    }
    open_study(
        out, resolved, extendable=EXTENDABLE, outputs=OUTPUTS, fresh=options.fresh, device=str(device)
    )  # from here on the folder is this study's
    study = DatasetStudy(out)
    finished = study.finished()
    jobs = [job for job in _jobs(options, budgets) if (job.setting, job.seed) not in finished]
    try:
        materials = _materials(options, splits, folder, jobs, out)
        plan = Plan(
            network=options.network,
            width=options.width,
            from_scratch=options.from_scratch,
            recipe=Recipe(
                options.epochs,
                -(-len(splits.names) // options.batch),
                options.resolved_learning_rate(),
                options.weight_decay,
                max(1, options.epochs // 10) if options.select == "validation" else 0,
            ),
            augmentation=Augmentation(crop, options.scale, options.zoom, options.flip, options.colour),
            batch=options.batch,
            class_weights=options.class_weights,
            costs=Costs(options.seconds_per_click, options.minutes_per_map),
            splits=splits,
        )
        run_jobs(jobs, materials, plan, study, device, options.jobs)
    finally:  # Ctrl-C, too, leaves tables of what is finished
        tables = study.write_tables()
        write_dataset_pictures(study, tables, splits.test, splits.test_names)
        study.record_work(perf_counter() - start, str(device))
    return study


def _jobs(options: Options, budgets: Sequence[int]) -> list[Job]:
    """Every run: the settings of one seed after another, so that pairs are there early."""
    return [
        Job(kind if budget is None else f"{kind}-{budget}", kind, budget, options.seed + repeat, repeat)
        for repeat in range(options.repeats)
        for kind in options.kinds()
        for budget in ((None,) if kind == "full" else budgets)
    ]


def _materials(
    options: Options, splits: Splits, folder: Path, jobs: Sequence[Job], out: Path
) -> dict[Job, Material]:
    """What each run draws on; the image study is run for what it lacks."""
    costs = Costs(options.seconds_per_click, options.minutes_per_map)
    plain = Material(splits.train, splits.names, 0, maps_for=costs.maps_for, cache=out / "walker")
    plain = replace(plain, least_confidence=options.min_confidence, weigh=options.weigh_by_confidence)
    materials = {job: replace(plain, seed=job.seed) for job in jobs}
    clicked = {job: job.budget for job in jobs if job.budget is not None}
    if not clicked:
        return materials
    evenly = ["stratified"] if any(job.kind == "pseudo_stratified" for job in clicked) else []
    acquisitions = tuple(dict.fromkeys([options.acquisition, *evenly]))
    budgets, repeats = sorted(set(clicked.values())), {job.repeat for job in clicked}
    planned = _planned(options, folder, acquisitions)
    confidence = options.weigh_by_confidence or options.min_confidence > 0
    spare = out / "stratified"
    _keep_source(out, folder)  # before anything is done for labels of another study
    source, found = labelled(planned, splits.train, splits.names, repeats, budgets, spare, confidence)
    _keep_source(out, folder)
    for job, budget in clicked.items():
        seed = source.seed(job.repeat)
        materials[job] = replace(
            materials[job],
            chosen=found.get((options.acquisition, budget, seed)),
            stratified=found.get(("stratified", budget, seed)),
            ask_void=source.settings["ask_void"],
            noise=source.settings["oracle_noise"],
            refusal=source.settings["oracle_refusal"],
        )
    return materials


def _keep_source(out: Path, folder: Path) -> None:
    """Write down what the image study in `folder` is; InputError where finished runs learned from another."""
    record = folder / "study.toml"
    if record.exists():
        fixed = {key: value for key, value in read_settings(record).items() if key not in IMAGES_EXTENDABLE}
        keep_section(out / "study.toml", "image_study", fixed)


def _planned(options: Options, folder: Path, acquisitions: tuple[str, ...]) -> ImageOptions:
    """The image study that is run where there is none."""
    budgets = tuple(sorted(options.budgets)) or (PLANNED,)
    return ImageOptions(
        dataset=options.dataset,
        data_root=options.data_root,
        split=options.split,
        limit=options.limit,
        scene_size=options.scene_size,
        scene_count=options.scene_count,
        scene_classes=options.scene_classes,
        acquisition=acquisitions,
        stop="budget",
        max_pixels=budgets[-1],
        keep_at=budgets[:-1],
        first_pixels=min(ImageOptions.first_pixels, budgets[0]),
        seed=options.seed,
        repeats=options.repeats if options.image_study is None else 1,  # seeds of others' studies are theirs
        jobs=options.jobs,
        device=options.device,
        out=folder,
    )


def _open(options: Options, split: str | None) -> Dataset:
    return open_dataset(
        options.dataset,
        options.data_root,
        split,
        scene_size=options.scene_size,
        scene_count=options.scene_count,
        scene_classes=options.scene_classes,
        seed=options.seed,
    )


def _budgets(options: Options, folder: Path, dataset: Dataset) -> tuple[int, ...]:
    """Pixels an image, each once; InputError for one at which the image study keeps nothing."""
    given = tuple(dict.fromkeys(options.budgets))
    if options.kinds() == ("full",):
        return given
    if not (folder / "study.toml").exists():
        return given or (PLANNED,)
    kept = open_source(_planned(options, folder, (options.acquisition,)), dataset).budgets
    for budget in given:
        if budget not in kept:
            other = "--out" if options.image_study is None else "--image-study and --out"
            raise InputError(
                f"--budgets {budget}: {folder} keeps pseudo-labels at {', '.join(map(str, kept))} pixels "
                f"(its --keep-at): name another {other}"
            )
    return given or kept[-1:]


def command(arguments: Sequence[str]) -> None:
    """Run the study that the arguments ask for, and print what came of it."""
    study = dataset_study(parse(Options, arguments, "python -m lowpix.dataset_study"))
    print(as_text(dataset_overview(study.tables())))
    print(f"tables and pictures: {study.folder}")


if __name__ == "__main__":
    main(command)
