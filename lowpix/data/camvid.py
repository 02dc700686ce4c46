"""CamVid in its public layout: driving video, 11 classes and void, 360×480."""

from pathlib import Path, PurePosixPath

import numpy as np

from lowpix.data.dataset import cache_folder, find_root
from lowpix.data.files import Coding, Files
from lowpix.errors import InputError

SPLITS = ("train", "val", "test")
VOID = 11
CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree",
    "sign_symbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
PALETTE = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip


def open_camvid(data_root: Path | None = None, split: str | None = None) -> Files:
    """Open a split (`train`, 367 images; `val`, 101; `test`, 233). The first use downloads CamVid into the cache.

    Raises InputError if `data_root` does not hold the split, or if the split's list is empty or malformed.
    """
    split = split or "train"
    if split not in SPLITS:
        raise InputError(f"--split {split}: camvid has {', '.join(SPLITS)}")
    root = find_root("camvid", f"{split}.txt", data_root)
    if root is None and data_root is not None:
        raise InputError(f"--data-root {data_root}: neither {split}.txt nor camvid/{split}.txt is there")
    if root is None:
        from lowpix.data.download import fetch_camvid

        root = fetch_camvid(cache_folder() / "camvid")
    palette = np.array(PALETTE, np.uint8)
    return Files("camvid", split, CLASSES, palette, _pairs(root, split), Coding.plain(len(CLASSES), VOID))


def _pairs(root: Path, split: str) -> dict[str, tuple[Path, Path | None]]:
    # The published lists hold absolute paths: /SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png.
    # Only the last folder and the file name are used.
    pairs: dict[str, tuple[Path, Path | None]] = {}
    listing = root / f"{split}.txt"
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        paths = [root.joinpath(*PurePosixPath(path).parts[-2:]) for path in line.split()]
        if len(paths) != 2:
            raise InputError(f"{listing}: line {number}, {line!r}: must be an image path and a label path")
        if paths[0].stem in pairs:
            raise InputError(f"{listing}: line {number}: image {paths[0].stem} is listed twice")
        pairs[paths[0].stem] = paths[0], paths[1]
    if not pairs:
        raise InputError(f"{listing}: lists no images")
    return pairs
