"""PASCAL VOC 2012 in its public layout: photographs of 20 kinds of things and background.

    ImageSets/Segmentation/train.txt     names, one a line; likewise val and trainval
    JPEGImages/NAME.jpg
    SegmentationClass/NAME.png           indexed PNG of ids; 255, also along the borders of things, is void

The larger training list of SBD (Hariharan et al. 2011), if it is there, is the split `train_aug`: its list is
train_aug.txt, and its label maps are in SegmentationClassAug.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from lowpix.data.dataset import find_root, not_here
from lowpix.data.files import Coding, Files
from lowpix.errors import InputError

LISTS = "ImageSets/Segmentation"
VOID = 255
CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
PALETTE = (
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
    (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
    (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
)  # fmt: skip


def open_voc(data_root: Path | None = None, split: str | None = None) -> Files:
    """Open a split: `train` (1,464 images), `val` (1,449), `trainval`, or `train_aug` (10,582) if it is there.

    Raises InputError if the data set is not there, or the split has no list or an empty one.
    """
    split = split or "train"
    root = find_root("voc", f"{LISTS}/train.txt", data_root, ("VOC2012", "VOCdevkit/VOC2012"))
    if root is None:
        holds = f"{LISTS}/train.txt, JPEGImages and SegmentationClass"
        source = "VOCtrainval_11-May-2012.tar from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
        raise not_here("voc", data_root, holds, source)
    listing = root / LISTS / f"{split}.txt"
    splits = sorted(path.stem for path in (root / LISTS).glob("*.txt"))
    if split not in splits:
        raise InputError(f"--split {split}: {root / LISTS} has {', '.join(splits)}")
    labels = root / ("SegmentationClassAug" if split == "train_aug" else "SegmentationClass")
    # lists of train_aug hold /JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png in some copies
    lines = listing.read_text(encoding="utf-8").splitlines()
    names = [PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
    if not names:
        raise InputError(f"{listing}: lists no images")
    pairs: dict[str, tuple[Path, Path | None]] = {
        name: (root / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png") for name in names
    }
    return Files("voc", split, CLASSES, np.array(PALETTE, np.uint8), pairs, Coding.plain(len(CLASSES), VOID))
