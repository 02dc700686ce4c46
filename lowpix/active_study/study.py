"""Run an active study: from its options to its tables and pictures."""

from functools import partial
from pathlib import Path

from lowpix.active_study.asking import Asking
from lowpix.active_study.loop import Arm, Plan, Rounds
from lowpix.active_study.options import Options
from lowpix.active_study.pictures import active_pictures
from lowpix.active_study.record import Record
from lowpix.active_study.runs import run_arms
from lowpix.active_study.tables import ACTIVE, FULL, ActiveTables
from lowpix.data.options import open_data
from lowpix.errors import InputError
from lowpix.networks.device import find_device
from lowpix.reveal.acquisition import find_acquisition, own_sources
from lowpix.reveal.schedule import Schedule
from lowpix.segmenter.method import Method
from lowpix.segmenter.model import Fresh, Segmenter
from lowpix.segmenter.training import Recipe
from lowpix.study.data import digest_of, keep_data, refuse_other_data
from lowpix.study.folder import Study, open_study, require_apart
from lowpix.study.options import settings_of
from lowpix.study.splits import Splits, open_splits


def active_study(options: Options) -> Study[Record, ActiveTables]:
    """Run an active study, or go on with the one in its folder, and write tables and pictures.

    Raises:
        InputError: an option is out of range, the data are faulty, the network cannot be built or sampled, or the
            folder holds another study.
    """
    options.check()
    device = find_device(options.device)
    splits = open_splits(
        partial(open_data, options, seed=options.seed),
        options.split,
        options.test_split,
        options.validation_split if options.select == "validation" else None,
        options.limit,
        options.test_limit,
        options.skip_faulty,
    )
    dataset = splits.train
    width = options.resolved_width()
    fresh = Fresh(options.network, len(dataset.classes), width, options.from_scratch)
    network = fresh(0)  # finds errors early
    _require_sampled(options, network)
    if options.cluster is not None:
        splits.require_sendable(options.cluster)

    out = options.out or Path("results") / f"{dataset.title}_active"
    require_apart(out, dataset.folders)
    crop = options.crop or splits.median_size(options.scale)
    resolved = settings_of(options, dataset) | {
        "crop": crop,
        "width": width,
        "learning_rate": options.resolved_learning_rate(),
        "backbone_rate": options.resolved_backbone_rate(),
        "dropout": None if network.head is None else options.dropout,
        "milestones": options.milestones or None,
        # None if not used, as in studies of before these options
        "oracle_border_noise": options.oracle_border_noise or None,
        "keep_rounds": options.keep_rounds or None,
    }
    sources = own_sources(options.acquisition)
    if not options.fresh:
        refuse_other_data(out, splits.reports, splits.listed(), sources)
    data = digest_of(splits.reports)
    study = open_study(out, ACTIVE, resolved, fresh=options.fresh, data=data, device=str(device))
    keep_data(study, splits.reports, splits.listed(), sources)
    finished = study.finished()
    arms = [arm for arm in _arms(options, network) if (arm.setting, arm.seed) not in finished]
    rounds = Rounds(_plan(options, splits, fresh, crop), out, device)
    pictures = partial(active_pictures, study, splits=splits)
    with study.at_work(str(device), pictures):
        run_arms(arms, rounds, study, options.jobs, options.cluster)
    return study


def _require_sampled(options: Options, network: Segmenter) -> None:
    """Raise InputError for an acquisition that compares samples of a last layer that the network does not show."""
    for name in options.acquisition:
        if find_acquisition(name).least_members > 1 and network.head is None:
            raise InputError(
                f"--acquisition {name}: compares samples of the last layer, which {options.network} hides: "
                "use unet, or a MobileNetV2 or ResNet without a segmentation head"
            )


def _arms(options: Options, network: Segmenter) -> list[Arm]:
    """All runs. The settings of one seed come together, so that pairs are finished early."""
    kind = {"hf": "transformers"}.get(name := str(network.body.description["network"]), name)
    names = {f"{kind}-{find_acquisition(one).name}": one for one in options.acquisition}
    settings: dict[str, str | None] = names | ({FULL: None} if options.full else {})
    return [
        Arm(setting, acquisition, options.seed + repeat)
        for repeat in range(options.repeats)
        for setting, acquisition in settings.items()
    ]


def _plan(options: Options, splits: Splits, fresh: Fresh, crop: tuple[int, int]) -> Plan:
    """What all runs share."""
    recipe = Recipe.of(
        options,
        len(splits.names),
        options.epochs,
        options.resolved_learning_rate(),
        options.select,
        optimiser=options.optimiser,
        backbone=options.resolved_backbone_rate(),
        milestones=options.milestones,
    )
    return Plan(
        method=Method.of(options, fresh, crop, recipe, options.grey, options.blur),
        first_epochs=options.first_epochs or options.epochs,
        warm=options.start == "warm",
        retrain=options.retrain,
        asking=Asking(
            options.percent,
            options.selection,
            options.spacing,
            options.score_stride,
            options.dropout,
            options.mc_samples,
            options.oracle_noise,
            options.oracle_refusal,
            options.oracle_border_noise,
            options.ask_void,
            options.scale,
        ),
        keep_rounds=options.keep_rounds,
        schedule=Schedule(options.first_pixels, options.pixels_per_round, options.max_pixels),
        splits=splits,
    )
