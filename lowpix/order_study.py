"""python -m lowpix.order_study: does the order in which pixels were revealed matter?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pandas as pd
from tqdm import tqdm

from lowpix.command import main, parse
from lowpix.data import spread
from lowpix.errors import InputError
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.record import as_text, group_images, open_study
from lowpix.record.order_plot import QUANTITIES, order_picture
from lowpix.record.order_tables import AGAINST, ARMS, OrderStudy
from lowpix.record.settings import EXTENDABLE as STUDY_EXTENDABLE
from lowpix.reveal.order_runs import ImageWork, Training, run_order
from lowpix.reveal.order_source import OrderSource, read_source, require_labels

EXTENDABLE = frozenset({"images", "limit", "seeds"})
SMALL_STUDY = Path("results/scenes_budget")  # where no image study is named
FEW = 10  # images or sequences, below which a bootstrap is rough


@dataclass(frozen=True)
class Options:
    """Does the order in which pixels were revealed matter?

    Takes an image study that ran to its budget (--stop budget) and trains each image's network again from fresh
    weights: on the revealed pixels in order, shuffled, reversed, all at once, all at once but each drawn as often
    as training in order draws it, and on the full label map, also until its loss plateaus. All arms but the last
    have equal steps, and all have one learning rate and minibatch size; they are scored on the pixels that are
    neither revealed nor void. Only the full label map holds the labels that it is scored on.

    Writes order.csv, order_pairs.csv and order.png.
    """

    image_study: Path | None = None
    """Folder of the image study; else a small one on generated scenes is run first."""
    setting: str | None = None
    """Setting of the image study, such as mlp-margin; needed where it has several."""
    data_root: Path | None = None
    """Folder of the data set or its parent; else LOWPIX_DATA, ./data, the user's cache."""
    limit: int | None = None
    """So many of the study's images, spread over the list; else all."""
    images: tuple[str, ...] = ()
    """These images by name; else all."""
    seeds: int = 3
    """So many fresh networks an image and arm; the n-th trains on pixels of the study's n-th seed, in turn."""
    batch: int = 256
    """Pixels that each step of each arm draws, with replacement, from those known at that step."""
    plateau_cap: int = 10
    """full_plateau takes at most so many times the steps of the other arms."""
    group_by: str | None = None
    """Regular expression whose first group, as '^([^_]+)_', names an image's sequence: the bootstrap draws
    these."""
    jobs: int = 1
    """Processes, each with one thread."""
    out: Path | None = None
    """Where the order study is written; else beside the image study, its name with _order."""
    fresh: bool = False
    """Remove the order study that is there and start anew."""

    def check(self) -> None:
        """Raises InputError for an option out of range, by name, with the rule."""
        for name in ("limit", "seeds", "batch", "plateau_cap", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} {value}: must be at least 1")


def order_study(options: Options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run an order study, or go on with the one in its folder; gives `order.csv` and `order_pairs.csv`.

    Raises:
        InputError: an option out of range, an image study that cannot be used, a data set that cannot be opened or
            is another one, or a folder that holds another study.
    """
    start = perf_counter()
    options.check()
    folder = options.image_study or _small_study(options.jobs)
    out = _out(folder, options.out)
    source = read_source(folder, options.setting, options.data_root)
    images = _images(source, options)
    group_images(images, options.group_by)  # a faulty expression is found before hours of work
    require_labels(source, images)
    study = open_study(out, _settings(source, options), extendable=EXTENDABLE, fresh=options.fresh)
    order = OrderStudy(out)
    try:
        _work(source, images, order, options)
    finally:  # Ctrl-C, too, leaves tables of what is finished
        table, pairs = order.write_tables(images, options.group_by)
        if len(pairs):
            order_picture(out / "order.png", pairs)
        study.record_work(perf_counter() - start)
    return table, pairs


def describe(table: pd.DataFrame, pairs: pd.DataFrame, options: Options) -> str:
    """What came of it, as text: each arm, and in_order against each other arm."""
    images, runs = table["image"].nunique(), len(table[["image", "seed"]].drop_duplicates())
    count = f"{images} image{'s' if images > 1 else ''}, {runs} run{'s' if runs > 1 else ''} an arm"
    lines = [
        f"{table['setting'].iloc[0]}: {count}, {options.batch} pixels a step in every arm",
        "Percent of the pixels that are neither revealed nor void, means over images",
        as_text(_arm_rows(table)),
        *_plateau(table, options.plateau_cap),
    ]
    if pairs.empty:
        return "\n".join(lines)
    lines += [
        "",
        f"in_order minus each, in pairs: points, mean over images, {100 * pairs['level'].iloc[0]:.5g} % "
        f"intervals: 95 % for all {len(AGAINST)} comparisons together, one quantity at a time",
        as_text(_pair_rows(pairs)),
    ]
    groups = int(pairs["groups"].min())
    if groups < FEW:
        lines.append(
            f"Few to draw from ({groups}): intervals are rough and too narrow, and there is none for one."
        )
    lines += ["", "Said of the paper: order surpasses all annotated pixels without order. Accuracy here:"]
    for against, reading in (("at_once", "all revealed pixels"), ("full", "the full label map")):
        for _, row in pairs[(pairs["quantity"] == "accuracy") & (pairs["against"] == against)].iterrows():
            lines.append(f"  in order, against {reading} without order: {_difference(row)}, {row['verdict']}")
    return "\n".join(lines)


def _arm_rows(table: pd.DataFrame) -> pd.DataFrame:
    columns = ["accuracy", "miou", "steps", "pixels"]
    means = table.groupby(["arm", "image"])[columns].mean().groupby("arm").mean()
    means = means.loc[[arm for arm in ARMS if arm in means.index]]
    return pd.DataFrame(
        {
            "arm": _left(means.index),
            "accuracy": [f"{100 * value:.2f}" for value in means["accuracy"]],
            "mIoU": [f"{100 * value:.2f}" for value in means["miou"]],
            "steps": [f"{value:,.0f}" for value in means["steps"]],
            "pixels known": [f"{value:,.0f}" for value in means["pixels"]],
            " trained on": _left(ARMS[arm] for arm in means.index),
        }
    )


def _plateau(table: pd.DataFrame, cap: int) -> list[str]:
    steps = table.pivot(index=["image", "seed"], columns="arm", values="steps")
    if "full_plateau" not in steps or "full" not in steps:
        return []
    both = steps[["full", "full_plateau"]].dropna()
    capped = int((both["full_plateau"] >= cap * both["full"]).sum())
    return [
        f"full_plateau: {len(both) - capped} of {len(both)} runs ended before {cap} times the steps of the others."
    ]


def _pair_rows(pairs: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, list[str]] = {}
    for quantity, name in QUANTITIES.items():
        rows = pairs[pairs["quantity"] == quantity]
        columns["against"] = _left(rows["against"])
        columns[name] = [_difference(row) for _, row in rows.iterrows()]
        columns[f"{name} shown"] = list(rows["verdict"])
        columns["+/−" if name == "accuracy" else "+/− "] = [
            f"{row.wins}/{row.losses}" for row in rows.itertuples()
        ]
    return pd.DataFrame(columns)


def _difference(row: pd.Series) -> str:
    value, low, high = (100 * float(row[name]) for name in ("value", "low", "high"))
    return f"{value:+.2f}" if pd.isna(low) else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _left(texts: Iterable[str]) -> list[str]:
    """Of one width, so that what aligns to the right aligns these to the left."""
    known = list(texts)
    return [text.ljust(max(map(len, known))) for text in known]


def _small_study(jobs: int) -> Path:
    """An image study of minutes, for a look at what this command does."""
    print(f"no --image-study: one on generated scenes comes first, in {SMALL_STUDY}", flush=True)
    small = ImageOptions(
        dataset="scenes", stop="budget", max_pixels=100, pixels_per_round="10%", jobs=jobs, out=SMALL_STUDY
    )
    return image_study(small).folder


def _out(folder: Path, out: Path | None) -> Path:
    if out is None:
        whole = folder.resolve()
        return folder.parent / f"{whole.name}_order" if folder.name else whole.with_name(f"{whole.name}_order")
    if out.resolve() == folder.resolve():
        raise InputError(f"--out {out}: is the folder of the image study; name another")
    return out


def _images(source: OrderSource, options: Options) -> tuple[str, ...]:
    unknown = [image for image in options.images if image not in source.images]
    if unknown:
        holds = f"the {len(source.images)} finished images of {source.folder}, such as {source.images[0]}"
        raise InputError(f"--images {unknown[0]}: must be one of {holds}")
    return spread(tuple(dict.fromkeys(options.images)) or source.images, options.limit)


def _settings(source: OrderSource, options: Options) -> dict[str, object]:
    """For `study.toml`: what the image study was, and what is done with it."""
    of_study = {key: value for key, value in source.settings.items() if key not in STUDY_EXTENDABLE}
    return of_study | {
        "setting": source.setting,
        "study_seeds": list(source.seeds),
        "limit": options.limit,
        "images": options.images or None,
        "seeds": options.seeds,
        "batch": options.batch,
        "plateau_cap": options.plateau_cap,
    }


def _work(source: OrderSource, images: Sequence[str], order: OrderStudy, options: Options) -> None:
    """Do what is unfinished."""
    turns = {seed: source.seeds[seed % len(source.seeds)] for seed in range(options.seeds)}
    works = [
        ImageWork(image, {seed: (turn, source.runs[image, turn]) for seed, turn in turns.items()})
        for image in images
    ]
    every = {(image, arm, seed) for image in images for arm in ARMS for seed in turns}
    left = len(every - order.finished())
    data = f"{source.dataset.name} {source.dataset.split}, {source.setting}"
    print(f"{data}: {len(every)} runs, {left} of them to do", flush=True)
    if not left:
        return
    settings = source.settings
    training = Training(
        source.setting, settings["network"], settings["members"], options.batch, options.plateau_cap
    )
    with tqdm(total=left, unit="run", smoothing=0) as bar:
        for _ in run_order(source.dataset, training, works, order, options.jobs):
            bar.update()


def command(arguments: Sequence[str]) -> None:
    """Run the order study that the arguments ask for, and print what came of it."""
    options = parse(Options, arguments, "python -m lowpix.order_study")
    table, pairs = order_study(options)
    print(describe(table, pairs, options))


if __name__ == "__main__":
    main(command)
