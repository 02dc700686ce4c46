"""Run a data-set study: from its options to its tables and pictures."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lowpix.data.options import open_data
from lowpix.dataset_study.annotated import annotated_splits, finished_by_person
from lowpix.dataset_study.labelling import EVEN, acquisition_of, budgets_of, label_seed, labelled
from lowpix.dataset_study.labels import Material
from lowpix.dataset_study.options import Options
from lowpix.dataset_study.pictures import dataset_pictures
from lowpix.dataset_study.runs import Costs, Job, Plan, Training, run_jobs
from lowpix.dataset_study.tables import DATASETS, DatasetTables, TrainedRun
from lowpix.networks.device import find_device
from lowpix.segmenter.method import Method
from lowpix.segmenter.model import Fresh
from lowpix.segmenter.training import Recipe
from lowpix.study.data import digest_of, keep_data, read_data, refuse_other_data, require_same
from lowpix.study.folder import Study, open_study, require_apart
from lowpix.study.options import settings_of
from lowpix.study.settings import keep_section
from lowpix.study.source import Source
from lowpix.study.splits import Splits, open_splits


def dataset_study(options: Options) -> Study[TrainedRun, DatasetTables]:
    """Run a data-set study, or go on with the one in its folder, and write tables and pictures.

    Raises:
        InputError: an option is out of range, the data are faulty, labels cannot be made, or the folder holds
            another study.
    """
    options.check()
    device = find_device(options.device)
    opener = partial(open_data, options, seed=options.seed)
    answered = finished_by_person(options.image_study)
    if annotated := annotated_splits(options, opener, answered):
        options, splits = annotated
    else:
        splits = open_splits(
            opener,
            options.split,
            options.test_split,
            options.validation_split if options.select == "validation" else None,
            options.limit,
            options.test_limit,
            options.skip_faulty,
            answered,
        )
    dataset = splits.train
    fresh = Fresh(options.network, len(dataset.classes), options.resolved_width(), options.from_scratch)
    fresh(0)  # finds errors early
    if options.cluster is not None:
        splits.require_sendable(options.cluster)

    out = options.out or Path("results") / f"{dataset.title}_dataset"
    require_apart(out, dataset.folders)
    crop = options.crop or splits.median_size(options.scale)
    folder = options.image_study or out / "image_study"
    budgets = budgets_of(options, folder, dataset)
    report = {dataset: splits.reports[dataset]}
    require_same(read_data(folder), report, _remedy(options, folder))
    resolved = settings_of(options, dataset) | {
        "settings": options.kinds(),
        "budgets": budgets,
        "acquisition": acquisition_of(options, folder),
        "crop": crop,
        "width": options.resolved_width(),
        "learning_rate": options.resolved_learning_rate(),
        "image_study": options.image_study and str(folder),
    }
    data = digest_of(splits.reports)
    if not options.fresh:
        refuse_other_data(out, splits.reports, splits.listed())
    study = open_study(out, DATASETS, resolved, fresh=options.fresh, data=data, device=str(device))
    finished = study.finished()
    jobs = [job for job in _jobs(options, budgets) if (job.setting, job.seed) not in finished]
    keep_data(study, splits.reports, splits.listed())
    pictures = partial(dataset_pictures, study, test=splits.test, names=splits.test_names)
    with study.at_work(str(device), pictures):
        materials = _materials(options, splits, folder, jobs, out)
        training = Training(_plan(options, splits, fresh, crop), materials, out, device)
        run_jobs(jobs, training, study, options.jobs, options.cluster)
    return study


def _remedy(options: Options, folder: Path) -> str:
    if options.image_study is None:
        return f"{folder} has labels of other images: remove that folder, or use another --out"
    return f"{folder} is of other images: is --data-root the same data?"


def _jobs(options: Options, budgets: Sequence[int]) -> list[Job]:
    """All runs. The settings of one seed come together, so that pairs are finished early."""
    return [
        Job(kind if budget is None else f"{kind}-{budget}", kind, budget, options.seed + repeat, repeat)
        for repeat in range(options.repeats)
        for kind in options.kinds()
        for budget in ((None,) if kind == "full" else budgets)
    ]


def _plan(options: Options, splits: Splits, fresh: Fresh, crop: tuple[int, int]) -> Plan:
    """What all runs share."""
    rate = options.resolved_learning_rate()
    recipe = Recipe.of(options, len(splits.names), options.epochs, rate, options.select)
    return Plan(
        method=Method.of(options, fresh, crop, recipe),
        costs=Costs(options.seconds_per_click, options.minutes_per_map),
        splits=splits,
    )


def _materials(
    options: Options, splits: Splits, folder: Path, jobs: Sequence[Job], out: Path
) -> dict[Job, Material]:
    """The material of each run. The image study is run first if it lacks labels."""
    costs = Costs(options.seconds_per_click, options.minutes_per_map)
    plain = Material(
        splits.train,
        splits.names,
        0,
        maps_for=costs.maps_for,
        cache=out,
        least_confidence=options.min_confidence,
        weigh=options.weigh_by_confidence,
    )
    materials = {job: replace(plain, seed=job.seed) for job in jobs}
    clicked = {job: job.budget for job in jobs if job.budget is not None}
    if not clicked:
        return materials
    evenly = [EVEN] if any(job.kind == "pseudo_stratified" for job in clicked) else []
    acquisition = acquisition_of(options, folder)
    acquisitions = tuple(dict.fromkeys([acquisition, *evenly]))
    budgets, repeats = sorted(set(clicked.values())), {job.repeat for job in clicked}
    _keep_source(out, folder)  # first, so that no labels are made with another image study
    source, found = labelled(options, folder, splits.train, splits.names, acquisitions, repeats, budgets)
    _keep_source(out, folder)
    for job, budget in clicked.items():
        seed = label_seed(options, source, job.repeat)
        materials[job] = replace(
            materials[job],
            chosen=found.get((acquisition, budget, seed)),
            stratified=found.get((EVEN, budget, seed)),
            ask_void=source.settings["ask_void"],
            noise=source.settings["oracle_noise"],
            refusal=source.settings["oracle_refusal"],
        )
    return materials


def _keep_source(out: Path, folder: Path) -> None:
    """Record the settings of the image study in `folder`. Raises InputError if another one was recorded before."""
    if (folder / "study.toml").exists():
        keep_section(out / "study.toml", "image_study", Source(folder).fixed)
