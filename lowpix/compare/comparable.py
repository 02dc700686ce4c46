"""What may be compared: the rounds of several studies side by side, or a refusal that names what differs."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lowpix.errors import InputError
from lowpix.study.tables import KEY

UNIT = ["image", "seed"]  # what every setting must hold alike, for it is what makes pairs
ALIKE = ("dataset", "oracle", "void")  # columns of the curves that all settings must agree in
ROUNDS = ["round", "asked", "revealed", "fraction", "accuracy", "accuracy_unrevealed", "miou"]
JOIN = " = "  # between the names of settings that chose the same pixels


def side_by_side(studies: Mapping[Path, pd.DataFrame]) -> pd.DataFrame:
    """Put the curves of studies, by their folders, into one frame.

    A setting that several studies hold is named with as much of its folder as tells it from the others:
    `camvid_a/mlp-margin`. Takes and gives rows of `curves.parquet`. Raises InputError if runs of a study stop
    at the target.
    """
    for folder, curves in studies.items():
        _require_budget(curves, f"{folder}: ")
    tails = dict(zip(studies, _tails([folder.resolve() for folder in studies]), strict=True))
    held = [name for curves in studies.values() for name in curves["setting"].unique()]
    ambiguous = {name for name in held if held.count(name) > 1}
    return pd.concat(
        [
            curves.assign(
                setting=curves["setting"].map(
                    lambda name, tail=tails[folder]: f"{tail}/{name}" if name in ambiguous else name
                )
            )
            for folder, curves in studies.items()
        ],
        ignore_index=True,
    )


def comparable(curves: pd.DataFrame, common: bool = False) -> pd.DataFrame:
    """Give the rounds that can be compared, from rows of `curves.parquet` of any number of settings.

    All settings must have gone through the same images and seeds (with `common`, what not all of them hold is
    left out) and the same schedule. Budgets may differ: rounds that not all runs have are left out, as is a
    last round that a budget cut short. Settings whose rounds are all the same become one, their names joined
    by " = ". Raises InputError, naming what differs and where.
    """
    _require_budget(curves)
    for column in ALIKE:
        values = curves.groupby("setting", sort=False)[column].first()
        _refuse_if_different(column, values)
    units = _common_units(curves) if common else _require_same_units(curves)
    curves = curves[pd.MultiIndex.from_frame(curves[UNIT]).isin(units)].sort_values([*KEY, "round"])
    _require_same_images(curves)
    return _join_identical(_shared_rounds(curves.reset_index(drop=True)))


def _tails(folders: list[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    length = 1
    while len({folder.parts[-length:] for folder in folders}) < len(folders):
        length += 1
    return ["/".join(folder.parts[-length:]) for folder in folders]


def _require_budget(curves: pd.DataFrame, where: str = "") -> None:
    if len(targeted := curves[curves["stop"] != "budget"]):
        raise InputError(
            f"{where}{targeted['setting'].iloc[0]} stops at the target, so that beyond it only hard images would "
            "be compared; run the study with --stop budget into another --out, and compare that"
        )


def _refuse_if_different(what: str, values: pd.Series) -> None:
    """`values` by setting."""
    if values.nunique() > 1:
        told = dict(zip(values.index, values.tolist(), strict=True))
        first, other = (next(name for name in told if told[name] == value) for value in values.unique()[:2])
        raise InputError(
            f"{what} differs: {told[first]!r} in {first}, {told[other]!r} in {other}; compare what shares it"
        )


def _units(curves: pd.DataFrame) -> dict[str, pd.MultiIndex]:
    """(image, seed) of every setting's runs."""
    return {
        str(setting): pd.MultiIndex.from_frame(runs[UNIT].drop_duplicates())
        for setting, runs in curves.groupby("setting", sort=False)
    }


def _require_same_units(curves: pd.DataFrame) -> pd.MultiIndex:
    """(image, seed) of all runs, which every setting must hold."""
    everything = pd.MultiIndex.from_frame(curves[UNIT].drop_duplicates())
    for setting, units in _units(curves).items():
        if len(missing := everything.difference(units)):
            image, seed = missing[0]
            raise InputError(
                f"{setting}: has no run of image {image} with seed {seed}, as another setting does ("
                f"{len(missing)} of {len(everything)} runs are missing): finish that study, or compare what all "
                "hold with --common"
            )
    return everything


def _common_units(curves: pd.DataFrame) -> pd.MultiIndex:
    """(image, seed) of the runs that every setting holds."""
    units = list(_units(curves).values())
    shared = units[0]
    for others in units[1:]:
        shared = shared.intersection(others)
    if not len(shared):
        raise InputError("--common: no image and seed is held by all settings")
    return shared


def _require_same_images(curves: pd.DataFrame) -> None:
    """An image's name may stand for another image in another folder; its size tells most of them."""
    told = curves[curves["revealed"] > 0]
    sizes = (told["revealed"] / told["fraction"]).round().groupby([told["image"], told["setting"]]).first()
    for image, by_setting in sizes.groupby("image", sort=False):
        _refuse_if_different(f"size of image {image}, in pixels,", by_setting.droplevel("image").astype(int))


def _shared_rounds(curves: pd.DataFrame) -> pd.DataFrame:
    """The rounds that all runs have, refused where two schedules contradict each other."""
    longest = curves.sort_values("asked", kind="stable").iloc[-1]
    schedule = curves[(curves[KEY] == longest[KEY]).all(axis=1)].set_index("round")["asked"]
    planned = curves["round"].map(schedule)
    last = curves["round"] == curves.groupby(KEY)["round"].transform("max")
    cut_short = last & (curves["asked"] < planned)
    if (wrong := (curves["asked"] != planned) & ~cut_short).any():
        run = curves[wrong].iloc[0]
        raise InputError(
            f"pixels per round differ: after round {run['round']}, {run['setting']} has asked {run['asked']} "
            f"(image {run['image']}, seed {run['seed']}), {longest['setting']} {schedule[run['round']]} "
            f"(image {longest['image']}, seed {longest['seed']}); compare settings on one schedule"
        )
    shortest = curves[last].assign(rounds=curves["round"] - cut_short).sort_values("rounds").iloc[0]
    if shortest["rounds"] < 0:
        raise InputError(
            f"{shortest['setting']}, image {shortest['image']}, seed {shortest['seed']}: ends within the first "
            f"round, at {shortest['asked']} pixels, so that there is no round to compare"
        )
    kept: pd.DataFrame = curves[curves["round"] <= shortest["rounds"]]
    return kept.reset_index(drop=True)


def _join_identical(curves: pd.DataFrame) -> pd.DataFrame:
    """Make one setting of those whose rounds are the same in every run; its seconds are their mean."""
    different: list[list[pd.DataFrame]] = []
    for _, own in curves.groupby("setting", sort=False):
        for alike in different:
            if (
                own[["privileged", *UNIT, *ROUNDS]]
                .reset_index(drop=True)
                .equals(alike[0][["privileged", *UNIT, *ROUNDS]].reset_index(drop=True))
            ):
                alike.append(own)
                break
        else:
            different.append([own])
    return pd.concat(
        [
            alike[0].assign(
                setting=JOIN.join(own["setting"].iloc[0] for own in alike),
                acquisition=JOIN.join(dict.fromkeys(own["acquisition"].iloc[0] for own in alike)),
                seconds=sum(own["seconds"].to_numpy() for own in alike) / len(alike),
            )
            for alike in different
        ],
        ignore_index=True,
    )
