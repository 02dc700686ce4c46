"""Label maps as COCO annotations: for each image and class one mask in run lengths (RLE)."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def coco(images: Iterable[tuple[str, NDArray[np.uint8]]], classes: Sequence[str]) -> bytes:
    """A COCO file in JSON: an annotation for each class that an image holds.

    `images` are pairs of file name and label map `(H, W)`. Category ids are class ids plus 1, since COCO counts
    from 1; void has no annotation. Masks are compressed RLE, as pycocotools reads and writes.
    """
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, labels) in enumerate(images, start=1):
        height, width = labels.shape
        pictures.append({"id": number, "file_name": name, "height": height, "width": width})
        for label in np.unique(labels[labels < len(classes)]).tolist():
            mask = labels == label
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = int(columns[0]), int(rows[0])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "segmentation": {"size": [height, width], "counts": compressed(run_lengths(mask))},
                    "area": int(mask.sum()),
                    "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(classes)]
    document = {"images": pictures, "annotations": annotations, "categories": categories}
    return json.dumps(document, ensure_ascii=False).encode()


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of a mask `(H, W)`, column by column; the first run is of False and may be empty."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = [0, *([0] if flat[0] else []), *ends.tolist(), flat.size]
    return [stop - start for start, stop in pairwise(bounds)]


def compressed(lengths: Sequence[int]) -> str:
    """Run lengths as COCO's text: each is the difference to the one two before, low bits first.

    As in `rleToString` of cocoapi: a character has five bits and one that says whether more follow, offset by 48.
    """
    characters = []
    for index, length in enumerate(lengths):
        value = length - (lengths[index - 2] if index > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(chr((bits | (0x20 if more else 0)) + 48))
    return "".join(characters)
