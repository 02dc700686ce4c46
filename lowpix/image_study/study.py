"""An image study from its options to its tables and pictures."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from lowpix.data import Dataset, spread
from lowpix.data.check import require_sound
from lowpix.data.options import open_data
from lowpix.errors import InputError
from lowpix.image_study.estimate import seconds_a_run
from lowpix.image_study.options import Options
from lowpix.image_study.pictures import write_pictures
from lowpix.image_study.runs import run_study
from lowpix.image_study.setting import Setting, Unit
from lowpix.networks import find_network
from lowpix.networks.device import find_device
from lowpix.reveal.oracle import Oracle
from lowpix.study.folder import Study, open_study
from lowpix.study.image_runs import IMAGES, Run, Tables
from lowpix.study.options import settings_of
from lowpix.study.text import Bound, clock

DROPOUT = ("members_from", "mc_samples", "dropout")


def image_study(options: Options, oracles: Callable[[str], Oracle] | None = None) -> Study[Run, Tables]:
    """Run an image study, or go on with the one in its folder; its tables and pictures are written.

    Args:
        options: as on the command line.
        oracles: from an image's name to who answers for it, to be sent to processes where there are several. Else
            its label map answers. Images need no label map then: what only a label map can tell is left empty.

    Raises:
        InputError: an option out of range, faulty data, or a folder that holds another study.
    """
    options.check()
    settings = options.settings()
    dataset = open_data(options, seed=options.seed)
    names = _names(dataset, options)
    require_sound(dataset, names, labelled=oracles is None)
    if oracles is not None:
        _require_answerable(dataset, names, settings, oracles)
    device = find_device(options.device)
    out = options.out or Path("results") / f"{dataset.name}_{dataset.split}"
    study = open_study(out, IMAGES, _settings(dataset, options), fresh=options.fresh, device=str(device))
    units = [(name, options.seed + repeat) for repeat in range(options.repeats) for name in names]
    with study.at_work(str(device), partial(write_pictures, study, dataset=dataset)):
        _work(dataset, settings, units, study, device, options, oracles)
    return study


def _require_answerable(
    dataset: Dataset, names: Sequence[str], settings: Sequence[Setting], oracles: Callable[[str], Oracle]
) -> None:
    """Refuse, before anything is written, what oracles alone cannot do."""
    if len(dataset.classes) < 2:
        declared = f"only the class {dataset.classes[0]}" if dataset.classes else "no classes"
        raise InputError(f"{dataset.name}, split {dataset.split}: declares {declared}: there must be at least 2")
    for name in names:
        if dataset.labels(name) is None:
            for setting in settings:
                setting.require_without_truth(name, oracles)


def _work(
    dataset: Dataset,
    settings: list[Setting],
    units: list[Unit],
    study: Study[Run, Tables],
    device: torch.device,
    options: Options,
    oracles: Callable[[str], Oracle] | None,
) -> None:
    """Do what is unfinished, with an estimate before and a bar that shows what came of it so far."""
    finished = study.finished()
    left = sum((setting.name, seed, name) not in finished for setting in settings for name, seed in units)
    plan = f"{dataset.name} {dataset.split}: {len(units) * len(settings)} runs, {left} of them to do"
    if not left:
        print(plan)
        return
    stacks = device.type == "cuda" and find_network(options.network).stacks
    stack = options.stack or (64 if stacks else 1)
    # the case is not kept: it holds all that a network reads of an image
    a_run = seconds_a_run(settings[0].start(dataset, units[0], device, oracles=oracles), settings[0].schedule)
    seconds = a_run * left / min(options.jobs, -(-len(units) // stack))
    at_most = f"at most about {clock(seconds)}: less where images reach the target"
    print(f"{plan}, in {at_most if options.stop == 'target' else f'about {clock(seconds)}'}", flush=True)
    outcomes: dict[str, list[float]] = {}

    def tell(run: Run) -> str:
        if run.truth_known:
            outcomes.setdefault(run.acquisition, []).append(run.pixels_to_target)
        return _so_far(outcomes, options.max_pixels)

    for _ in run_study(dataset, settings, units, study, device, stack, options.jobs, oracles, left, tell):
        pass


def _so_far(outcomes: dict[str, list[float]], budget: int) -> str:
    """Of each setting: the share of runs that reached the target, and their median pixels; of many, the shares."""
    texts = []
    brief = len(outcomes) > 3
    for acquisition, pixels in outcomes.items():
        share = sum(count < float("inf") for count in pixels) / len(pixels)
        middle = sorted(pixels)[len(pixels) // 2]
        median = "" if brief else f", median {Bound(min(middle, budget), middle > budget).text()}"
        texts.append(f"{acquisition} {share:.0%}{median}")
    return "at target: " + (", " if brief else "; ").join(texts) if texts else ""


def _names(dataset: Dataset, options: Options) -> tuple[str, ...]:
    unknown = [name for name in options.images if name not in set(dataset.images)]
    if unknown:
        holds = f"the {len(dataset.images)} images of {dataset.name} {dataset.split}, such as {dataset.images[0]}"
        raise InputError(f"--images {unknown[0]}: must be one of {holds}")
    return spread(tuple(dict.fromkeys(options.images)) or dataset.images, options.limit)


def _settings(dataset: Dataset, options: Options) -> dict[str, object]:
    """The options as resolved, for `study.toml`: a later run of other ones is another study."""
    idle = {"stack", *(DROPOUT if options.members_from == "ensemble" else ())}
    some = {"images": options.images or None, "keep_at": options.keep_at or None}
    return settings_of(options, dataset, idle) | {"members": options.resolved_members()} | some
