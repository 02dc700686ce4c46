"""One budget of clicks in three ways, on generated scenes."""

from pathlib import Path

import pandas as pd
import pytest
from active_runs import study
from refusals import refused

from lowpix.study.folder import Study
from lowpix.study.image_runs import IMAGES
from studies.three_ways import COLUMNS, Options, three_ways

PIXELS = ["image", "seed", "order", "row", "column", "label"]


@pytest.mark.usefixtures("undrawn")
def test_the_same_clicks_teach_in_three_ways(tmp_path: Path) -> None:
    asked = study(
        tmp_path / "active",
        acquisition=("margin",),
        full=False,
        max_pixels=12,
        start="warm",
        first_epochs=1,
        repeats=2,
    )
    table = three_ways(Options(tmp_path / "active", repeats=1))
    assert list(table.columns) == list(COLUMNS)
    assert list(table["way"]) == ["alone", "asks", "both", "carried", "full"]
    by_way = table.set_index("way")
    assert (by_way.loc[["alone", "asks", "both", "carried"], "pixels_per_image"] == 12).all()
    assert (by_way.loc[["asks", "full"], "label_accuracy"] == 1).all()  # nothing but answers
    assert (by_way.loc[["alone", "both", "carried"], "label_accuracy"] < 1).all()
    # both start from the pixels that the network of the data set asked
    given = Study(tmp_path / "active_ways" / "images_both", IMAGES).tables().revealed
    first = asked.revealed[asked.revealed["seed"] == 0]
    pd.testing.assert_frame_equal(given[PIXELS], first[PIXELS].reset_index(drop=True))
    # the final networks have as many epochs as the last one of the active study: one, and two more
    history = pd.read_csv(tmp_path / "active_ways" / "both" / "history.csv")
    assert (history.groupby(["setting", "seed"])["epoch"].max() == 3).all()
    # the second seed comes in, and the first stays as it is
    both = three_ways(Options(tmp_path / "active"))
    assert both[both["seed"] == 0].reset_index(drop=True).equals(table)
    assert (both["seed"] == 1).sum() == len(table)


@pytest.mark.usefixtures("undrawn")
def test_wrong_answers_at_borders_are_refused(tmp_path: Path) -> None:
    """The networks of the images would silently be given right ones."""
    given = {"acquisition": ("margin",), "full": False, "max_pixels": 6, "oracle_border_noise": 0.5}
    study(tmp_path / "active", **given)
    with refused(f"{tmp_path / 'active'}: the images' networks know no wrong answers at borders alone"):
        three_ways(Options(tmp_path / "active"))


def test_another_study_is_refused(tmp_path: Path) -> None:
    with refused(f"{tmp_path}: is no active study"):
        three_ways(Options(tmp_path))
