"""What the tests of a study's folder share: runs, and what lies in a folder."""

from pathlib import Path

from image_run_samples import make_run

from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES, Run, Tables

TABLES = ("curves.parquet", "revealed.parquet", "summary.csv")
RUNS = [
    make_run(image, setting, seed, accuracies=accuracies)
    for image, accuracies in (("easy", [0.5, 0.96]), ("deep/er%2F..", [0.4, 0.6, 0.9]), ("NA", [0.99]))
    for setting in ("margin", "random")
    for seed in (0, 1)
]
SETTINGS = {
    "dataset": "camvid",
    "acquisition": ["margin"],
    "smoothing": ["none"],
    "carry_over": ["none"],
    "images": None,
    "limit": 16,
    "repeats": 1,
    "scene_count": 2,
    "target": 0.98,
    "max_pixels": 1000,
    "ask_void": False,
    "spacing": None,
}


def table_bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def keys(runs: list[Run]) -> set[tuple[str, int, str]]:
    return {(run.setting, run.seed, run.image) for run in runs}


def files(folder: Path) -> list[str]:
    """All that is in a folder but folders."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()
    )


def images(folder: Path) -> Study[Run, Tables]:
    return Study(folder, IMAGES)
