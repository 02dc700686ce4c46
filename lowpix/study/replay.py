"""The pixels that an earlier study revealed, for an image study that asks the same ones."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowpix.errors import InputError
from lowpix.storage import read_parquet
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, read_settings
from lowpix.study.tables import ADDED, CURVES, REVEALED

KINDS = ("active", "image")


def pixels_of(
    folder: Path, acquisition: str, images: Collection[str], seeds: Collection[int]
) -> dict[tuple[str, int], NDArray[np.int64]]:
    """The pixels that the study in `folder` revealed with an acquisition, by image and seed.

    Each value is `(n, 2)`: rows and columns in the order in which they were revealed.

    Raises InputError if it is no active or image study, has no or several settings with this acquisition, or lacks
    an image or a seed. Also raises it if the study asked pixels that got no class, because its tables lack them.
    """
    record, seal = folder / "study.toml", Seal(folder)
    if not record.exists() or read_kind(record) not in KINDS:
        raise InputError(f"--pixels-of {folder}: is no active or image study")
    settings = read_settings(record)
    if settings.get("ask_void") or settings.get("oracle_refusal"):
        raise InputError(f"--pixels-of {folder}: asked pixels that got no class, and its tables do not hold these")
    try:
        curves, revealed = (
            read_parquet(folder / name, schema, seal.read(name), ADDED).to_pandas()
            for name, schema in (("curves.parquet", CURVES), ("revealed.parquet", REVEALED))
        )
    except FileNotFoundError:
        raise InputError(f"--pixels-of {folder}: has no tables yet: finish this study first") from None
    there = sorted(curves.loc[curves["acquisition"] == acquisition, "setting"].unique())
    if len(there) != 1:
        held = ", ".join(there) or ", ".join(sorted(curves["acquisition"].unique())) or "no finished run"
        raise InputError(f"--acquisition {acquisition}: must name one setting of {folder}, which has {held}")
    found = {}
    of_setting = revealed[revealed["setting"] == there[0]].sort_values("order")
    for (image, seed), rows in of_setting.groupby(["image", "seed"]):
        found[str(image), int(seed)] = rows[["row", "column"]].to_numpy(np.int64)
    for seed in seeds:
        for image in images:
            if (image, seed) not in found:
                raise InputError(f"--pixels-of {folder}: {there[0]} has no pixels of image {image}, seed {seed}")
    return found
