"""python studies/camvid_resolution.py --data-root DATA: does a smaller picture of a scene need fewer pixels?

Twelve CamVid train images of defaults_camvid.toml, four of each drive, at 90 and 180 rows, by default, to 400
pixels, two seeds. At 360 rows they are in results/defaults_camvid. A smaller image is the mean of blocks of
pixels; its label map takes one pixel of each block. Leaves results/camvid_resolution/<rows>; a run that is
stopped goes on.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from skimage.measure import block_reduce

from lowpix.command import run
from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.storage import write_bytes

IMAGES = (
    "0001TP_007770", "0001TP_007290", "0001TP_008250", "0001TP_007050", "0006R0_f03030", "0006R0_f01110",
    "0006R0_f02070", "0006R0_f03510", "0016E5_07140", "0016E5_01380", "0016E5_06180", "0016E5_00420",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Does a smaller picture of a scene need fewer pixels?"""

    data_root: Path | None = None
    """Folder of CamVid or its parent."""
    out: Path = Path("results/camvid_resolution")
    """Folder of the studies."""


def shrink(camvid: Dataset, factor: int, folder: Path) -> None:
    """Write the images, `factor` times smaller, as a folder data set."""
    classes = ", ".join(f'"{name}"' for name in camvid.classes)
    write_bytes(folder / "classes.json", f'{{"classes": [{classes}], "ignore_index": {IGNORE}}}'.encode())
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for name in IMAGES:
        labels = camvid.labels(name)
        assert labels is not None
        means = block_reduce(camvid.image(name), (factor, factor, 1), np.mean)  # type: ignore[no-untyped-call]
        small = means.round().astype(np.uint8)
        Image.fromarray(small).save(folder / "images" / f"{name}.png")
        one = labels[factor // 2 :: factor, factor // 2 :: factor]
        Image.fromarray(one).save(folder / "labels" / f"{name}.png")


def command(options: Options) -> None:
    """Run a study for each size."""
    camvid = open_dataset("camvid", options.data_root, "train")
    for factor in (4, 2):
        with TemporaryDirectory() as folder:
            shrink(camvid, factor, Path(folder))
            study = ImageOptions(
                dataset="folder",
                data_root=Path(folder),
                stop="budget",
                max_pixels=400,
                pixels_per_round="10%",
                repeats=2,
                out=options.out / str(360 // factor),
            )
            image_study(study)


if __name__ == "__main__":
    run(Options, "python studies/camvid_resolution.py", command)
