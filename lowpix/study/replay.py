"""The pixels that an earlier study revealed, for an image study that asks the same ones; and the networks that
asked for them."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.errors import InputError
from lowpix.storage import read_csv, read_parquet
from lowpix.study.folder import file_name
from lowpix.study.seal import Seal
from lowpix.study.settings import read_kind, read_settings
from lowpix.study.tables import ADDED, CURVES, REVEALED

KINDS = ("active", "image")
ASKER = "asker"
"""The value of --carry-over for the network that asked for the pixels."""


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
    setting, found = _setting(folder, acquisition, curves), {}
    of_setting = revealed[revealed["setting"] == setting].sort_values("order")
    for (image, seed), rows in of_setting.groupby(["image", "seed"]):
        found[str(image), int(seed)] = rows[["row", "column"]].to_numpy(np.int64)
    for seed in seeds:
        for image in images:
            if (image, seed) not in found:
                raise InputError(f"--pixels-of {folder}: {setting} has no pixels of image {image}, seed {seed}")
    return found


def require_same_pixels(
    revealed: pd.DataFrame, given: Mapping[tuple[str, int], NDArray[np.int64]], source: Path
) -> None:
    """Raise InputError if runs of one setting in `revealed` asked other pixels than those that are `given` now.

    `source` is the study that gave them; it may have been made again since. Pixels that the oracle refused are not
    in `revealed`, so its pixels must be some of the given ones, in their order.
    """
    runs = dict(list(revealed.sort_values("order").groupby(["image", "seed"])))
    for (image, seed), pixels in given.items():
        if (rows := runs.get((image, seed))) is None:
            continue
        now = pd.MultiIndex.from_arrays([pixels[:, 0], pixels[:, 1]])
        places = now.get_indexer(pd.MultiIndex.from_frame(rows[["row", "column"]]))
        if (places < 0).any() or (np.diff(places) < 1).any():
            raise InputError(
                f"--pixels-of {source}: has other pixels of image {image}, seed {seed}, than this study asked: it "
                "was made again since; use --fresh or another --out"
            )


def askers_of(folder: Path, acquisition: str, seeds: Collection[int]) -> dict[int, tuple[Path, float]]:
    """The last network that asked with an acquisition in the active study in `folder`, by seed.

    Each value is the model's file, and an image's share of the seconds that the run took.

    Raises InputError if it is no active study, or a model is not there: a study's folder can be passed on without.
    """
    if read_kind(folder / "study.toml") != "active":
        raise InputError(f"--carry-over {ASKER}: {folder} is no active study, so no network of the data set asked")
    kinds = {"setting": "str", "acquisition": "str", "seed": "int64", "images": "int64", "seconds": "float64"}
    summary = read_csv(folder / "summary.csv", kinds, "the summary of an active study")
    setting = _setting(folder, acquisition, summary)
    runs = summary[summary["setting"] == setting]
    shares = dict(zip(runs["seed"], (runs["seconds"] / runs["images"]).tolist(), strict=True))
    found = {}
    for seed in seeds:
        model = folder / "models" / file_name(setting) / f"{seed}.safetensors"
        if seed not in shares or not model.exists():
            raise InputError(f"--carry-over {ASKER}: {model} is not there: run the active study again")
        found[seed] = model, shares[seed]
    return found


def _setting(folder: Path, acquisition: str, table: pd.DataFrame) -> str:
    """The only setting with an acquisition in a table of the study in `folder`."""
    there = sorted(table.loc[table["acquisition"] == acquisition, "setting"].unique())
    if len(there) != 1:
        held = ", ".join(there) or ", ".join(sorted(table["acquisition"].unique())) or "no finished run"
        raise InputError(f"--acquisition {acquisition}: must name one setting of {folder}, which has {held}")
    return str(there[0])
