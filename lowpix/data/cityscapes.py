"""Cityscapes in its public layout: street scenes of 1024×2048 pixels, 19 classes of 34 stored ids.

    leftImg8bit/<split>/<city>/NAME_leftImg8bit.png
    gtFine/<split>/<city>/NAME_gtFine_labelIds.png

The label maps of the test split are withheld, so its images have none here.
"""

from pathlib import Path

import numpy as np

from lowpix.data.dataset import IGNORE, find_root, not_here
from lowpix.data.files import Coding, Files
from lowpix.errors import InputError

SPLITS = ("train", "val", "test")
IMAGES, LABELS = "leftImg8bit", "gtFine"
IDS = 34  # stored ids are 0 to 33
CLASSES = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
"""The evaluated classes, by stored id, with their published colours; all other ids are void."""


def open_cityscapes(data_root: Path | None = None, split: str | None = None) -> Files:
    """Open a split: `train` (2,975 images), `val` (500) or `test` (1,525, without label maps).

    Raises InputError if the data set is not there, or the split holds no images.
    """
    split = split or "train"
    if split not in SPLITS:
        raise InputError(f"--split {split}: cityscapes has {', '.join(SPLITS)}")
    root = find_root("cityscapes", IMAGES, data_root)
    if root is None:
        source = (
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from https://www.cityscapes-dataset.com/"
        )
        raise not_here("cityscapes", data_root, f"{IMAGES} and {LABELS}", source)
    pairs: dict[str, tuple[Path, Path | None]] = {}
    for image in sorted((root / IMAGES / split).glob(f"*/*_{IMAGES}.png")):
        name = image.name.removesuffix(f"_{IMAGES}.png")
        labels = root / LABELS / split / image.parent.name / f"{name}_{LABELS}_labelIds.png"
        pairs[name] = image, None if split == "test" else labels
    if not pairs:
        raise InputError(f"{root / IMAGES / split}: holds no <city>/NAME_{IMAGES}.png")
    names, palette = zip(*CLASSES.values(), strict=True)
    trained = {stored: label for label, stored in enumerate(CLASSES)}
    coding = Coding.of({stored: trained.get(stored, IGNORE) for stored in range(IDS)})
    return Files("cityscapes", split, names, np.array(palette, np.uint8), pairs, coding)
