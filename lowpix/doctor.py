"""python -m lowpix.doctor: list every fault of a data set."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from lowpix.command import run
from lowpix.data import Dataset, spread
from lowpix.data.check import Report, check
from lowpix.data.options import DataOptions, open_data
from lowpix.data.propose import Proposal, propose
from lowpix.errors import printable
from lowpix.options import check_options, require
from lowpix.storage import write_bytes


@dataclass(frozen=True)
class Options(DataOptions):
    """List every fault of a data set, the share of each class and the share of void pixels.

    The exit code is 0 without faults, and 2 with faults or if the data set cannot be opened.

    python -m lowpix.doctor photos

    python -m lowpix.doctor photos --no-labels
    """

    folder: Annotated[Path | None, tyro.conf.Positional] = None
    """Your own folder, instead of --dataset folder --data-root. If it has no classes.json, one is proposed."""
    write: bool = False
    """Write the proposed classes.json."""
    labels: bool = True
    """Expect a label map for each image; --no-labels checks the images alone."""

    def check(self) -> None:
        """Raise InputError for the first option that breaks a rule, with its name and the rule."""
        check_options(self)
        require("write", self.write, not self.write or self.folder is not None, "given with a folder")
        require("skip_faulty", self.skip_faulty, not self.skip_faulty, "left out: all faults are listed")

    def resolved(self) -> "Options":
        """The options with `folder` as a data set."""
        return self if self.folder is None else replace(self, dataset="folder", data_root=self.folder)


def doctor(options: Options) -> tuple[Dataset, Report]:
    """Read the images and label maps that the options name, and report every fault.

    Raises:
        InputError: an option is out of range, or the data set cannot be opened.
    """
    options.check()
    dataset = open_data(options.resolved())
    names = spread(dataset.images, options.limit) if options.limit else dataset.images
    report = check(dataset, names, options.labels, progress=True)
    absent = [
        f"class {name}: no label map holds it"
        for name, pixels in zip(dataset.classes, report.pixels, strict=True)
        if options.labels and len(report.names) == len(dataset.images) and not pixels
    ]
    return dataset, replace(report, warnings=(*report.warnings, *map(printable, absent)))


def proposed(options: Options) -> Proposal | None:
    """A classes.json for the folder that the options name, if it is needed and missing."""
    options.check()
    named = options.classes is not None or (options.folder is not None and _classes_files(options.folder))
    if options.folder is None or not options.labels or named:
        return None
    return propose(options.folder)


def _classes_files(folder: Path) -> list[Path]:
    splits = [path.parent for path in folder.glob("*/images")]
    places = [folder, *(splits or [folder.parent])]  # as `open_folder` looks for it
    return [place / "classes.json" for place in places if (place / "classes.json").is_file()]


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
    proposal = proposed(options)
    if proposal is not None:
        print("\n".join(proposal.found))
        print(f"\nproposed {proposal.file}:\n\n{proposal.text()}")
        if not options.write:
            print("--write writes it; then give the classes their names, and check again")
            return 2
        write_bytes(proposal.file, proposal.text().encode())
        print("written; give the classes their names\n")
    dataset, report = doctor(options)
    images = len(dataset.images) if options.limit is None else min(options.limit, len(dataset.images))
    print(describe(dataset, report, images, options.labels))
    return 2 if report.faults else 0


if __name__ == "__main__":
    run(Options, "python -m lowpix.doctor", command)
