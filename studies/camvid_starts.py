"""python -m studies.camvid_starts --data-root DATA: is another acquisition best after other first pixels?

CamVid test images of camvid_acquisitions.toml, begun with 30 pixels spread evenly over the image instead of 5
random ones, to 300 pixels, with ensembles of 4 and of 16 networks. Leaves results/camvid_starts/<members>; a run
that is stopped goes on. Then, for each:
python -m lowpix.compare results/camvid_starts/4 --baseline mlp-stratified-edges
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowpix.command import run
from lowpix.data import open_dataset, spread
from lowpix.image_study import Options as ImageOptions
from lowpix.image_study import image_study
from lowpix.image_study.loop import Case
from lowpix.image_study.setting import Setting
from lowpix.reveal.selection import stratified
from lowpix.seeds import seed_for

IMAGES = 24
FIRST = 30
WAYS = ("stratified", "margin", "entropy", "variation_ratio", "bald", "mean_std", "power_bald", "balent")


@dataclass(frozen=True)
class Options:
    """Is another acquisition best after other first pixels, or with more members?"""

    data_root: Path | None = None
    """Folder of CamVid or its parent."""
    members: tuple[int, ...] = (4, 16)
    """Networks in an ensemble: a study of each."""
    every: int = 1
    """With 2, only every second of the images."""
    jobs: int = 1
    """Number of processes."""
    out: Path = Path("results/camvid_starts")
    """Folder of the studies."""


class EvenStart(Setting):
    """A setting whose first pixels are spread evenly, the same for all of an image and seed."""

    def start(self, *args: Any, **given: Any) -> Case:
        """Start a run; arguments are as in `Setting`."""
        case = super().start(*args, **given)
        session, chosen = case.session, case.session.ask
        seed = seed_for(session.seed, "spread")

        def ask(count: int) -> NDArray[np.int64]:
            if session.log.asked:
                return chosen(count)
            return stratified(session.log.candidates(), session.log.pixels, count, seed)

        session.ask = ask  # type: ignore[method-assign]
        return case


class StudyOptions(ImageOptions):
    """An image study of such settings."""

    def settings(self) -> list[Setting]:
        """The settings of the study."""
        return [
            EvenStart(**{field.name: getattr(setting, field.name) for field in fields(Setting)})
            for setting in super().settings()
        ]


def command(options: Options) -> None:
    """Run a study for each number of members."""
    names = spread(open_dataset("camvid", options.data_root, "test").images, IMAGES)
    for members in options.members:
        image_study(
            StudyOptions(
                dataset="camvid",
                data_root=options.data_root,
                split="test",
                images=names[:: options.every],
                acquisition=WAYS,
                members=members,
                stop="budget",
                first_pixels=FIRST,
                max_pixels=300,
                pixels_per_round="10%",
                jobs=options.jobs,
                out=options.out / str(members),
            )
        )


if __name__ == "__main__":
    run(Options, "python -m studies.camvid_starts", command)
