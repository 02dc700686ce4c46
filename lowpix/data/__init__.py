"""Data sets opened by name: public ones in their layouts, your own `folder`, generated `scenes`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowpix.data.ade20k import open_ade20k
from lowpix.data.camvid import open_camvid
from lowpix.data.cityscapes import open_cityscapes
from lowpix.data.dataset import IGNORE, Dataset, spread
from lowpix.data.folder import open_folder, splits_of
from lowpix.data.joined import Joined
from lowpix.data.scenes import Scenes
from lowpix.data.voc import open_voc
from lowpix.errors import InputError, choose

__all__ = ["DATASETS", "IGNORE", "Dataset", "open_dataset", "spread"]

DATASETS: dict[str, Callable[..., Dataset]] = {
    "ade20k": open_ade20k,
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "folder": open_folder,
    "scenes": Scenes,
    "voc": open_voc,
}


def open_dataset(
    name: str,
    data_root: Path | None = None,
    split: str | None = None,
    *,
    classes: str | None = None,
    scene_size: tuple[int, int] = (120, 160),
    scene_count: int = 8,
    scene_classes: int = 6,
    seed: int = 0,
) -> Dataset:
    """Open a data set by name. This reads lists of files and no image.

    Args:
        name: one of `DATASETS`.
        data_root: folder of the data set, or its parent; None tries LOWPIX_DATA, ./data and the user's cache.
        split: part of the data set; None is its default, `train`. Several are joined: `train,val`, or `all` of a
            folder. Names of images then begin with the split.
        classes: names of the classes of a `folder` without classes.json, separated by commas.
        scene_size: height and width of generated scenes, in pixels.
        scene_count: number of generated scenes.
        scene_classes: number of classes of generated scenes, 2 to 50.
        seed: seed of generated scenes.

    Raises:
        InputError: unknown name or split, no files, or an option out of range.
    """
    opener = choose("--dataset", name, DATASETS)
    parts = list(dict.fromkeys(split.split(","))) if split is not None and "," in split else []
    if opener is open_folder and split == "all":
        parts = splits_of(data_root)
    if split is not None and parts:
        of_scenes: dict[str, Any] = {
            "scene_size": scene_size,
            "scene_count": scene_count,
            "scene_classes": scene_classes,
            "seed": seed,
        }
        opened = [open_dataset(name, data_root, part, classes=classes, **of_scenes) for part in parts]
        return Joined(split, opened)
    if opener is open_folder:
        return open_folder(data_root, split, classes)
    if classes is not None:
        raise InputError(f"--classes {classes}: only a folder needs them; {name} has its own")
    if opener is Scenes:
        return Scenes(split, size=scene_size, count=scene_count, classes=scene_classes, seed=seed)
    return opener(data_root, split)
