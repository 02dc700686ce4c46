"""Run an image study: from its options to its tables and pictures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lowpix.data import Dataset, spread
from lowpix.data.check import Report, pixels_digest, require_sound
from lowpix.data.options import difference, open_data
from lowpix.errors import InputError
from lowpix.image_study.carry import Asker, Block, blocks, in_order, keep_order
from lowpix.image_study.estimate import seconds_a_run
from lowpix.image_study.options import Options
from lowpix.image_study.pictures import image_pictures
from lowpix.image_study.runs import run_study
from lowpix.image_study.setting import Setting, Shared
from lowpix.networks import find_network
from lowpix.networks.device import find_device
from lowpix.reveal.acquisition import find_acquisition, own_sources
from lowpix.reveal.log import UNSURE
from lowpix.reveal.oracle import Oracle
from lowpix.segmenter.carry_over import fresh
from lowpix.study.data import digest_of, keep_data, read_data, refuse_other_data, require_same
from lowpix.study.folder import Study, open_study, require_apart
from lowpix.study.image_runs import IMAGES, Run, Tables
from lowpix.study.options import settings_of
from lowpix.study.replay import ASKER, askers_of, pixels_of, require_same_pixels
from lowpix.study.settings import read_kind, read_settings
from lowpix.study.text import Bound, clock

DROPOUT = ("members_from", "mc_samples", "dropout")


def image_study(options: Options, oracles: Callable[[str], Oracle] | None = None) -> Study[Run, Tables]:
    """Run an image study, or go on with the one in its folder, and write tables and pictures.

    Args:
        options: as on the command line.
        oracles: gives the oracle of an image by name; it is pickled if there are several processes. Then images
            need no label map; columns that need one are empty. By default the label map answers.

    Raises:
        InputError: an option is out of range, the data are faulty, or the folder holds another study.
    """
    options.check()
    settings = options.settings()
    dataset = open_data(options, seed=options.seed)
    carries = [name for name in options.carry_over if name not in ("none", ASKER)]
    for name in carries:
        fresh(name, len(dataset.classes))(0)  # find errors early
    out = options.out or Path("results") / f"{dataset.title}_{dataset.split}"
    record = out / "study.toml"
    names = _names(dataset, options)
    if carries and not options.fresh:
        names = in_order(record, names, dataset.images)
    report = require_sound(dataset, names, oracles is None, options.skip_faulty)
    if asked := [fault for name in options.images for fault in report.left_out.get(name, ())]:
        raise InputError(asked[0])
    names = report.names
    if carries and not options.fresh:
        in_order(record, names, names)  # now without faulty images
    if oracles is not None:
        report = replace(report, digests=_require_answerable(dataset, report, settings, oracles))
    if options.pixels_of is not None:
        seeds = range(options.seed, options.seed + options.repeats)
        settings = [_given(setting, options.pixels_of, dataset, report, seeds) for setting in settings]
    device = find_device(options.device)
    require_apart(out, dataset.folders)
    parts = {dataset: report}
    resolved = _settings(dataset, options) | {"oracles": True if oracles else None}
    sources = own_sources(options.acquisition)
    if not options.fresh:
        refuse_other_data(out, parts, sources=sources)
        _refuse_other_pixels(out, settings, options.pixels_of)
    study = open_study(out, IMAGES, resolved, fresh=options.fresh, data=digest_of(parts), device=str(device))
    keep_data(study, parts, sources=sources)
    if carries:
        keep_order(record, names)
    parts_of_names = list(blocks(names)) if carries else [((), names)]
    with study.at_work(str(device), partial(image_pictures, study, dataset=dataset, full_size=options.full_size)):
        _work(dataset, settings, parts_of_names, study, device, options, oracles)
    return study


def _given(setting: Setting, folder: Path, dataset: Dataset, report: Report, seeds: Sequence[int]) -> Setting:
    """The setting with the pixels that the study in `folder` revealed, and with what asked for them."""
    require_same(read_data(folder), {dataset: report}, f"{folder} is of other images: is --data-root the same?")
    acquisition = find_acquisition(setting.acquisition).name
    given = pixels_of(folder, acquisition, report.names, seeds)
    if other := difference(read_settings(folder / "study.toml"), dataset.settings):
        option, there, here = other
        raise InputError(f"--pixels-of {folder}: is a study of other images: {option} {there}, not {here}")
    asker = Asker(askers_of(folder, acquisition, seeds)) if setting.carry_over == ASKER else None
    return replace(setting, given=given, asker=asker)


def _refuse_other_pixels(out: Path, settings: Sequence[Setting], source: Path | None) -> None:
    """Refuse, before anything is written, to go on with pixels that finished runs did not ask."""
    record = out / "study.toml"
    if source is None or not record.exists() or read_kind(record) != IMAGES.name:
        return
    revealed = Study(out, IMAGES).tables().revealed
    for setting in settings:
        require_same_pixels(revealed[revealed["setting"] == setting.name], setting.given or {}, source)


def _require_answerable(
    dataset: Dataset, report: Report, settings: Sequence[Setting], oracles: Callable[[str], Oracle]
) -> dict[str, tuple[str, str]]:
    """Refuse, before anything is written, what oracles alone cannot do.

    Returns the digests of the report, with those of label maps, which measure the accuracy if they exist.
    """
    if len(dataset.classes) < 2:
        declared = f"only the class {dataset.classes[0]}" if dataset.classes else "no classes"
        raise InputError(f"{dataset.name}, split {dataset.split}: declares {declared}: there must be at least 2")
    digests = {}
    for name, (image, _) in report.digests.items():
        labels = dataset.labels(name)
        digests[name] = image, pixels_digest(labels)
        if labels is None:
            for setting in settings:
                setting.require_without_truth(name, oracles)
    return digests


def _work(
    dataset: Dataset,
    settings: list[Setting],
    parts: Sequence[Block],
    study: Study[Run, Tables],
    device: torch.device,
    options: Options,
    oracles: Callable[[str], Oracle] | None,
) -> None:
    """Do the unfinished runs, block by block. Print an estimate of the time first, and show results in the bar."""
    units_of = [
        [(name, options.seed + repeat) for repeat in range(options.repeats) for name in names]
        for _, names in parts
    ]
    units = [unit for own in units_of for unit in own]
    finished = study.finished()
    left = sum((setting.name, seed, name) not in finished for setting in settings for name, seed in units)
    plan = f"{dataset.name} {dataset.split}: {len(units) * len(settings)} runs, {left} of them to do"
    if not left:
        print(plan)
        return
    stacks = device.type == "cuda" and all(find_network(name).stacks for name in options.network)
    stack = options.stack or (64 if stacks else 1)
    # no case is kept in a variable, because it holds the features of a whole image
    # the first run in this process uses up what its estimate prepared
    first = next(unit for unit in units if any((one.name, unit[1], unit[0]) not in finished for one in settings))
    prepared = {first[0]: Shared()} if options.jobs == 1 and options.cluster is None else {}
    each: dict[tuple[object, ...], float] = {}
    seconds = 0.0
    for setting in settings:
        to_do = sum((setting.name, seed, name) not in finished for name, seed in units)
        kind = (setting.network, setting.smoothing, setting.grid)  # all acquisitions take about as long
        if to_do and kind not in each:
            case = setting.start(dataset, first, device, prepared.get(first[0]), oracles and _nobody)
            each[kind] = seconds_a_run(case, setting.schedule)
        seconds += to_do * each.get(kind, 0)
    seconds /= min(1 if options.cluster else options.jobs, -(-len(units) // stack))
    at_most = f"at most about {clock(seconds)}: less if images reach the target early"
    duration = at_most if options.stop == "target" else f"about {clock(seconds)}"
    workers = " of one worker" if options.cluster else ""
    networks = ", and the time to train networks on finished images" if len(parts) > 1 else ""
    print(f"{plan}, in {duration}{workers}{networks}", flush=True)
    outcomes: dict[str, list[tuple[str, float]]] = {}

    def tell(run: Run) -> str:
        if run.truth_known:
            name = run.acquisition if len(settings) == len(options.acquisition) else run.setting
            outcomes.setdefault(name, []).append((run.image, run.pixels_to_target))
        return _so_far(outcomes, options.max_pixels)

    for (before, names), own in zip(parts, units_of, strict=True):
        to_do = sum((setting.name, seed, name) not in finished for setting in settings for name, seed in own)
        if not to_do:
            continue
        if len(parts) > 1:
            print(f"images {len(before) + 1} to {len(before) + len(names)}", flush=True)
        runs = run_study(
            dataset,
            settings,
            own,
            study,
            device,
            stack,
            options.jobs,
            oracles,
            to_do,
            tell,
            options.cluster,
            before,
            prepared,
        )
        for _ in runs:
            pass
        study.require_finished((setting.name, seed, name) for setting in settings for name, seed in own)


def _nobody(image: str) -> Oracle:
    """The oracle of the estimate, which asks nothing."""
    return lambda question: np.full(len(question), UNSURE, np.uint8)


def _so_far(outcomes: dict[str, list[tuple[str, float]]], budget: int) -> str:
    """For each setting, the share of runs at the target, and, for up to 3 settings, the median pixels.

    The median is over images, each with the median of its runs, as in the table at the end.
    """
    texts = []
    brief = len(outcomes) > 3
    for name, reached in outcomes.items():
        share = sum(pixels < math.inf for _, pixels in reached) / len(reached)
        images = pd.DataFrame(reached, columns=["image", "pixels"]).groupby("image")["pixels"]
        middle = float(np.median(images.median()))
        median = "" if brief else f", median {Bound(min(middle, budget), middle > budget).text()}"
        texts.append(f"{name} {share:.0%}{median}")
    return "at target: " + (", " if brief else "; ").join(texts) if texts else ""


def _names(dataset: Dataset, options: Options) -> tuple[str, ...]:
    unknown = [name for name in options.images if name not in set(dataset.images)]
    if unknown:
        holds = f"the {len(dataset.images)} images of {dataset.name} {dataset.split}, such as {dataset.images[0]}"
        raise InputError(f"--images {unknown[0]}: must be one of {holds}")
    return spread(tuple(dict.fromkeys(options.images)) or dataset.images, options.limit)


def _settings(dataset: Dataset, options: Options) -> dict[str, object]:
    """The resolved options, for `study.toml`."""
    unused = {"stack", "full_size", *(DROPOUT if options.members_from == "ensemble" else ())}
    none_if_empty = {"images": options.images or None, "keep_at": options.keep_at or None}
    return settings_of(options, dataset, unused) | none_if_empty
