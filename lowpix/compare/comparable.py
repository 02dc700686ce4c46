"""Put the rounds of several studies side by side, and refuse studies that cannot be compared."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lowpix.errors import InputError
from lowpix.study.tables import KEY

UNIT = ["image", "seed"]  # runs with the same values form a pair
ALIKE = ("dataset", "oracle", "void")  # columns of the curves that must be the same in all settings
ROUNDS = ["round", "asked", "revealed", "fraction", "accuracy", "accuracy_unrevealed", "miou"]
JOIN = " = "  # joins the names of settings with identical rounds


def side_by_side(studies: Mapping[Path, pd.DataFrame]) -> pd.DataFrame:
    """Put the curves of several studies, given by folder, into one frame with rows of `curves.parquet`.

    If several studies hold a setting, the end of the folder's path is added to its name, such as
    `camvid_a/mlp-margin`. Raises InputError if runs of a study stop at the target.
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
    """The rounds that can be compared, from rows of `curves.parquet` of any number of settings.

    All settings must have the same images and seeds, and the same schedule. With `common`, images and seeds that a
    setting lacks are left out. Budgets may differ: rounds that a run lacks are left out, and so is a last round
    that a budget cut short. Settings with identical rounds become one setting; their names are joined by " = ".
    Raises InputError, which names the difference and the settings.
    """
    _require_budget(curves)
    for column in ALIKE:
        values = curves.groupby("setting", sort=False)[column].first()
        _refuse_if_different(column, values)
    units = _common_units(curves) if common else _require_same_units(curves)
    curves = curves[pd.MultiIndex.from_frame(curves[UNIT]).isin(units)].sort_values([*KEY, "round"])
    _require_same_images(curves)
    return _join_identical(_shared_rounds(curves.reset_index(drop=True)))


def mixed_machines(curves: pd.DataFrame) -> str:
    """A warning about pairs of runs that come from different kinds of machines; empty if there are none.

    `curves` are rows from `comparable`. A run of an older version, whose machine is unknown, counts as a kind.
    """
    pairs = curves.groupby(UNIT)["machine"].nunique() > 1
    if not pairs.any():
        return ""
    kinds = "; ".join(sorted(curves["machine"].unique()))
    return (
        f"in {pairs.sum()} of {len(pairs)} pairs of runs (by image and seed) the kinds of machines differ, "
        f"which can make a difference by itself: {kinds}"
    )


def _tails(folders: list[Path]) -> list[str]:
    """The shortest ends of paths that are all different."""
    length = 1
    while len({folder.parts[-length:] for folder in folders}) < len(folders):
        length += 1
    return ["/".join(folder.parts[-length:]) for folder in folders]


def _require_budget(curves: pd.DataFrame, where: str = "") -> None:
    if len(targeted := curves[curves["stop"] != "budget"]):
        raise InputError(
            f"{where}{targeted['setting'].iloc[0]} stops at the target, so only hard images have later rounds; "
            "run the study with --stop budget into another --out, and compare that"
        )


def _refuse_if_different(what: str, values: pd.Series) -> None:
    """Raise InputError if `values`, by setting, are not all the same."""
    if values.nunique() > 1:
        by_name = dict(zip(values.index, values.tolist(), strict=True))
        one, other = (next(name for name in by_name if by_name[name] == value) for value in values.unique()[:2])
        raise InputError(
            f"{what} differs: {by_name[one]!r} in {one}, {by_name[other]!r} in {other}; it must be the same in all"
        )


def _units(curves: pd.DataFrame) -> dict[str, pd.MultiIndex]:
    """The (image, seed) of all runs, by setting."""
    return {
        str(setting): pd.MultiIndex.from_frame(runs[UNIT].drop_duplicates())
        for setting, runs in curves.groupby("setting", sort=False)
    }


def _require_same_units(curves: pd.DataFrame) -> pd.MultiIndex:
    """The (image, seed) of all runs. Raises InputError if a setting lacks one."""
    everything = pd.MultiIndex.from_frame(curves[UNIT].drop_duplicates())
    for setting, units in _units(curves).items():
        if len(missing := everything.difference(units)):
            image, seed = missing[0]
            raise InputError(
                f"{setting}: has no run of image {image} with seed {seed}, but another setting has one ("
                f"{len(missing)} of {len(everything)} runs are missing): finish the study, or use --common to "
                "compare the runs that all settings hold"
            )
    return everything


def _common_units(curves: pd.DataFrame) -> pd.MultiIndex:
    """The (image, seed) of the runs that all settings hold."""
    units = list(_units(curves).values())
    shared = units[0]
    for others in units[1:]:
        shared = shared.intersection(others)
    if not len(shared):
        raise InputError("--common: no image and seed is held by all settings")
    return shared


def _require_same_images(curves: pd.DataFrame) -> None:
    """Raise InputError if images of one name differ in size, because then they are different images."""
    told = curves[curves["revealed"] > 0]
    sizes = (told["revealed"] / told["fraction"]).round().groupby([told["image"], told["setting"]]).first()
    for image, by_setting in sizes.groupby("image", sort=False):
        _refuse_if_different(f"size of image {image}, in pixels,", by_setting.droplevel("image").astype(int))


def _shared_rounds(curves: pd.DataFrame) -> pd.DataFrame:
    """The rounds that all runs have. Raises InputError if their schedules differ."""
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
            f"(image {longest['image']}, seed {longest['seed']}); compare settings with the same schedule"
        )
    shortest = curves[last].assign(rounds=curves["round"] - cut_short).sort_values("rounds").iloc[0]
    if shortest["rounds"] < 0:
        raise InputError(
            f"{shortest['setting']}, image {shortest['image']}, seed {shortest['seed']}: ends within the first "
            f"round, at {shortest['asked']} pixels, so there is no round to compare"
        )
    kept: pd.DataFrame = curves[curves["round"] <= shortest["rounds"]]
    return kept.reset_index(drop=True)


def _join_identical(curves: pd.DataFrame) -> pd.DataFrame:
    """Join settings with identical rounds in all runs into one setting; its seconds are their mean."""
    groups: list[list[pd.DataFrame]] = []
    for _, rounds in curves.groupby("setting", sort=False):
        for group in groups:
            if (
                rounds[["privileged", *UNIT, *ROUNDS]]
                .reset_index(drop=True)
                .equals(group[0][["privileged", *UNIT, *ROUNDS]].reset_index(drop=True))
            ):
                group.append(rounds)
                break
        else:
            groups.append([rounds])
    return pd.concat(
        [
            group[0].assign(
                setting=JOIN.join(rounds["setting"].iloc[0] for rounds in group),
                acquisition=JOIN.join(dict.fromkeys(rounds["acquisition"].iloc[0] for rounds in group)),
                seconds=sum(rounds["seconds"].to_numpy() for rounds in group) / len(group),
            )
            for group in groups
        ],
        ignore_index=True,
    )
