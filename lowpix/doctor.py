"""What is wrong with a data set, all at once: `python -m lowpix.doctor --dataset folder --data-root DIR`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lowpix.data import Dataset, open_dataset, spread
from lowpix.data.check import Report, check
from lowpix.errors import InputError


@dataclass(frozen=True)
class Options:
    """List every fault of a data set before a study starts, with class shares and the share of void.

    Exit code 0: no fault. 2: faults, or the data set cannot be opened.
    """

    dataset: str
    """Name of the data set: camvid, folder or scenes."""
    data_root: Path | None = None
    """Folder of the data set or its parent; else LOWPIX_DATA, ./data or the user's cache is looked in."""
    split: str | None = None
    """Part of the data set; default: train, or all of a folder without splits."""
    limit: int | None = None
    """Look at so many images, spread evenly over the list; default: at all of them."""
    labels: bool = True
    """Expect a label map for each image; --no-labels checks photographs alone."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = tyro.cli(Options, args=arguments, prog="python -m lowpix.doctor")
    try:
        dataset = open_dataset(options.dataset, options.data_root, options.split)
        names = dataset.images if options.limit is None else spread(dataset.images, options.limit)
        report = check(dataset, names, options.labels, progress=True)
    except InputError as fault:
        print(fault, file=sys.stderr)
        return 2
    print(describe(dataset, report, len(names), options.labels))
    return 2 if report.faults else 0


def describe(dataset: Dataset, report: Report, images: int, labelled: bool = True) -> str:
    """The report as text: class shares, then warnings, then faults, a line each."""
    of = "" if images == len(dataset.images) else f" of {len(dataset.images)}"
    lines = [f"{dataset.name}, split {dataset.split}: {images}{of} images, {len(dataset.classes)} classes"]
    if labelled and dataset.classes:
        width = max(len("class"), *(len(name) for name in dataset.classes))
        lines += ["", f"{'id':>3}  {'class':<{width}}  {'pixels':>8}  {'images':>6}"]
        rows = zip(dataset.classes, report.shares(), report.images, strict=True)
        lines += [f"{i:>3}  {c:<{width}}  {s:>8.2%}  {n:>6}" for i, (c, s, n) in enumerate(rows)]
        lines += [
            f"{'':>3}  {'void':<{width}}  {report.void_share():>8.2%}  of all pixels; not in the shares above"
        ]
    for kind, found in (("warning", report.warnings), ("fault", report.faults)):
        lines += [
            "",
            f"{len(found) or 'no'} {kind}{'' if len(found) == 1 else 's'}",
            *(f"  {line}" for line in found),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
