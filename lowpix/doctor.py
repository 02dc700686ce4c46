"""python -m lowpix.doctor: list every fault of a data set."""

from dataclasses import dataclass

from lowpix.command import run
from lowpix.data import Dataset, spread
from lowpix.data.check import Report, check
from lowpix.data.options import DataOptions, open_data
from lowpix.options import check_options


@dataclass(frozen=True)
class Options(DataOptions):
    """List every fault of a data set, the share of each class and the share of void pixels.

    The exit code is 0 without faults, and 2 with faults or if the data set cannot be opened.

    python -m lowpix.doctor --dataset folder --data-root photos

    python -m lowpix.doctor --dataset folder --data-root photos --no-labels
    """

    labels: bool = True
    """Expect a label map for each image; --no-labels checks the images alone."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)


def doctor(options: Options) -> tuple[Dataset, Report]:
    """Read the images and label maps that the options name, and report every fault.

    Raises:
        InputError: an option is out of range, or the data set cannot be opened.
    """
    options.check()
    dataset = open_data(options)
    names = spread(dataset.images, options.limit) if options.limit else dataset.images
    return dataset, check(dataset, names, options.labels, progress=True)


def describe(dataset: Dataset, report: Report, images: int, labelled: bool = True) -> str:
    """The report as text: class shares, warnings and faults, one per line."""
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


def command(options: Options) -> int:
    """Print the report; return 2 if there are faults, else 0."""
    dataset, report = doctor(options)
    images = len(dataset.images) if options.limit is None else min(options.limit, len(dataset.images))
    print(describe(dataset, report, images, options.labels))
    return 2 if report.faults else 0


if __name__ == "__main__":
    run(Options, "python -m lowpix.doctor", command)
