"""A study's record of its data: a digest of each image and label map, so that changed ones are refused."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lowpix.data import Dataset
from lowpix.data.check import Report
from lowpix.data.options import difference
from lowpix.errors import InputError
from lowpix.storage import alone_in, csv_bytes, read_csv
from lowpix.study.folder import Study, file_name
from lowpix.study.seal import Seal, digest
from lowpix.study.settings import keep_section, read_settings, replace_section, require_section

FILE = "data.csv"
LISTED = "images"
"""The section of `study.toml` with the number of images of each split, and a digest of their names."""
SOURCES = "acquisition_sources"
"""The section of `study.toml` with digests of the user's own acquisition functions."""
REMEDY = "use --fresh or another --out"
LONGEST = 255 - len(".parquet")  # bytes of the name of a run's file
COLUMNS = {"split": "str", "image": "str", "image_sha256": "str", "labels_sha256": "str"}
"""Columns of `data.csv`; `labels_sha256` is empty for an image without a label map."""


def keep_data(
    study: Study[Any, Any],
    parts: Mapping[Dataset, Report],
    listed: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Record the digests of a study's images and label maps, and refuse any that differ from an earlier record.

    Images that are left out are recorded with the reason.

    Args:
        study: the study; its `study.toml` exists.
        parts: the report of `require_sound` for each part of the data set.
        listed: what `Splits.listed` gives, for a study in which one network learns from all images: then none may
            come in or go.
        sources: what `own_sources` gives: the user's own functions, which must not change either.

    Raises:
        InputError: an image, a label map or the class names have changed, or a name is too long for a file.
    """
    for dataset, report in parts.items():
        for name in report.digests:
            if len(file_name(name).encode()) > LONGEST:
                raise InputError(f"{dataset.image_file(name) or name}: its name is too long for a study's files")
    record = study.folder / "study.toml"
    keep_section(record, "data", _classes(parts))
    if listed:
        keep_section(record, LISTED, listed)
    if sources:
        keep_section(record, SOURCES, sources, growing=True)
    faults = [fault for report in parts.values() for found in report.left_out.values() for fault in found]
    replace_section(record, "left_out", {"images": faults} if faults else {})
    rows = [
        (dataset.split, name, *digests)
        for dataset, report in parts.items()
        for name, digests in report.digests.items()
    ]
    with alone_in(study.folder):
        known = read_data(study.folder)
        if known.empty and study.finished():
            print(
                f"warning: {study.folder}: an older lowpix kept no digests of its images, so a change to them "
                "cannot be found",
                file=sys.stderr,
            )
        require_same(known, parts, REMEDY)
        union = pd.concat([known, pd.DataFrame(rows, columns=list(COLUMNS))]).sort_values(list(COLUMNS))
        union = union.drop_duplicates(["split", "image"], keep="last")  # with a label map, if there is one by now
        if union.to_numpy().tolist() != known.to_numpy().tolist():
            study.seal.write({FILE: csv_bytes(union)})


def refuse_other_data(
    folder: Path,
    parts: Mapping[Dataset, Report],
    listed: Mapping[str, str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Raise InputError if a study in `folder` has recorded other class names, images, label maps or functions.

    This is done before anything is written. Arguments are as in `keep_data`. A study that shares no image with the
    data set is one of another data set, even if both have the same name.
    """
    record, first = folder / "study.toml", next(iter(parts))
    if not record.exists() or difference(read_settings(record), first.settings):
        return  # no study, or one of another data set, which is refused by its settings
    require_section(record, "data", _classes(parts))
    if listed:
        require_section(record, LISTED, listed)
    require_section(record, SOURCES, sources or {}, growing=True)
    known = read_data(folder)
    require_same(known, parts, REMEDY)
    of_split = known["image"][known["split"] == first.split]
    if len(of_split) and of_split.isin(first.images).sum() == 0:
        raise InputError(
            f"{folder}: is a study of other images, such as {of_split.iloc[0]}, and none of them is in your data: "
            f"{REMEDY}"
        )


def _classes(parts: Mapping[Dataset, Report]) -> dict[str, list[str]]:
    return {"classes": list(next(iter(parts)).classes)}


def digest_of(parts: Mapping[Dataset, Report]) -> str:
    """One digest of the class names, images and label maps of all parts of the data set."""
    return digest(repr([(part.split, part.classes, report.digests) for part, report in parts.items()]).encode())


def read_data(folder: Path) -> pd.DataFrame:
    """The digests that a study has recorded, with COLUMNS; no rows if it has none."""
    if not (folder / FILE).exists():
        return pd.DataFrame(columns=list(COLUMNS), dtype="str")
    return read_csv(folder / FILE, COLUMNS, "digests of images", content=Seal(folder).read(FILE))


def require_same(known: pd.DataFrame, parts: Mapping[Dataset, Report], remedy: str) -> None:
    """Raise InputError, with a remedy, for the first image or label map that differs from its `known` digest."""
    earlier = known.set_index(["split", "image"])[["image_sha256", "labels_sha256"]].to_dict("index")
    for dataset, report in parts.items():
        for name, (image, labels) in report.digests.items():
            before = earlier.get((dataset.split, name), {"image_sha256": image, "labels_sha256": labels})
            if before["image_sha256"] != image:
                file = dataset.image_file(name) or name
                raise InputError(f"{file}: the image has changed since the study began: {remedy}")
            if before["labels_sha256"] and labels and before["labels_sha256"] != labels:
                label_file = dataset.label_file(name) or name
                raise InputError(f"{label_file}: the labels have changed since the study began: {remedy}")
