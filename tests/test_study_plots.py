"""The pictures: what is drawn, read back from the axes, and that the same one is drawn each time."""

import warnings
from io import BytesIO

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_run_samples import make_run
from matplotlib.figure import Figure
from PIL import Image

from lowpix.data import IGNORE
from lowpix.data.dataset import default_palette
from lowpix.study.image_runs import Run
from lowpix.study.plots import (
    COLOURS,
    Example,
    Panel,
    curves_picture,
    draw_curves,
    draw_labels,
    draw_panels,
    draw_reached,
    example_panels,
    few_colours,
    figure_png,
    held_accuracy,
    overview_picture,
    plain,
    setting_styles,
)
from lowpix.study.tables import CURVE_COLUMNS

PALETTE = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
CLASSES = ("road", "tree", "sky")


def curves_of(runs: list[Run]) -> pd.DataFrame:
    return pd.concat([run.frame()[list(CURVE_COLUMNS)] for run in runs], ignore_index=True)


def example(pixels: int = 5, truth: bool = True, size: tuple[int, int] = (20, 30)) -> Example:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, size).astype(np.uint8)
    void = np.where(random.random(size) < 0.2, IGNORE, labels).astype(np.uint8)
    rows, columns = (random.integers(0, side, pixels).astype(np.int32) for side in size)
    return Example(
        "street",
        random.integers(0, 256, (*size, 3)).astype(np.uint8),
        void if truth else None,
        labels,
        rows,
        columns,
        labels[rows, columns],
        0.981 if truth else None,
    )


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 1)),
        st.lists(st.floats(0, 1), min_size=1, max_size=5),
        min_size=1,
    ),
    st.integers(0, 4),
)
def test_held_accuracy_agrees_with_a_loop(curves: dict[tuple[str, int], list[float]], per_round: int) -> None:
    runs = [
        make_run(image, seed=seed, accuracies=accuracies, per_round=per_round, void_share=0.3)
        for (image, seed), accuracies in curves.items()
    ]
    pixels, held = held_accuracy(curves_of(runs))
    images = sorted({run.image for run in runs})
    assert held.shape == (len(images), len(pixels))
    assert pixels[0] == max(1, *(run.rounds["revealed"][0] for run in runs))
    assert pixels[-1] == max(pixels[0], *(run.rounds["revealed"].max() for run in runs))
    assert (np.diff(pixels) > 0).all()
    for name, line in zip(images, held, strict=True):
        for number, accuracy in zip(pixels, line, strict=True):
            so_far = [
                run.rounds[run.rounds["revealed"] <= number]["accuracy"].iloc[-1]
                for run in runs
                if run.image == name
            ]
            assert accuracy == pytest.approx(np.mean(so_far))


def test_lines_say_what_is_privileged() -> None:
    axes = Figure().subplots()
    runs = [make_run(setting="margin"), make_run(setting="error_depth", privileged=True)]
    draw_curves(axes, curves_of(runs), target=0.98)
    margin, error_depth, target = axes.get_lines()
    assert (margin.get_label(), margin.get_linestyle()) == ("margin", "-")
    assert (error_depth.get_label(), error_depth.get_linestyle()) == ("error_depth (privileged)", "--")
    assert (margin.get_color(), error_depth.get_color()) == (COLOURS[0], COLOURS[2])
    assert set(target.get_ydata()) == {0.98}
    assert [text.get_text() for text in axes.texts] == ["98 %"]


def test_an_acquisition_keeps_its_colour_and_others_differ() -> None:
    names = ["mlp-margin", "mlp-margin-edges", "mlp-facility-edges", "gp-facility", "deeplab-random"]
    others = [f"deeplab-{way}" for way in ("balent", "bald", "entropy", "mean_std", "power_bald")]
    styles = setting_styles(dict.fromkeys([*names, *others], False))
    margin, smoothed, facility, of_gp, random = (styles[name] for name in names)
    assert margin["color"] == smoothed["color"] == COLOURS[0]
    assert margin["linestyle"] != smoothed["linestyle"]
    assert facility["color"] == of_gp["color"]
    assert random["color"] == COLOURS[1]
    assert len({style["color"] for style in styles.values()}) == 3 + len(others)


def test_reached_counts_runs_that_ran_out_as_not_there() -> None:
    runs = [
        make_run("a", accuracies=[0.5, 0.96], void_share=0),
        make_run("b", accuracies=[0.5, 0.6, 0.97], void_share=0),
        make_run("c", accuracies=[0.5, 0.6, 0.7, 0.8], void_share=0),
    ]
    axes = Figure().subplots()
    draw_reached(axes, curves_of(runs), 0.95)
    (line,) = axes.get_lines()
    steps = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert steps == [(10, 0), (20, 1 / 3), (30, 2 / 3), (40, 2 / 3)]
    axes = Figure().subplots()
    draw_reached(axes, curves_of(runs), 0.99)
    assert set(axes.get_lines()[0].get_ydata()) == {0}


def test_labels_have_the_colours_of_the_palette_and_void_none() -> None:
    axes = Figure().subplots()
    labels = np.array([[0, 1], [2, IGNORE]], np.uint8)
    draw_labels(axes, labels, PALETTE)
    drawn = axes.images[0].get_array()
    np.testing.assert_array_equal(drawn[..., :3][labels != IGNORE], PALETTE)
    np.testing.assert_array_equal(drawn[..., 3], [[255, 255], [255, 0]])
    assert axes.patch.get_hatch() == "////"


def test_an_example_shows_its_pixels_where_they_are() -> None:
    axes = Figure().subplots(1, 4)
    drawn = example()
    draw_panels(axes, example_panels(drawn), PALETTE)
    assert [panel.get_title() for panel in axes] == [
        "street",
        "truth",
        "prediction: 98.1 % right",
        "5 pixels revealed (0.83 %)",
    ]
    dots = axes[3].collections[0]
    np.testing.assert_array_equal(dots.get_offsets(), np.stack([drawn.columns, drawn.rows], axis=1))
    np.testing.assert_allclose(dots.get_facecolors()[:, :3] * 255, PALETTE[drawn.labels])
    np.testing.assert_array_equal(axes[0].images[0].get_array(), drawn.image)


def test_without_a_truth_there_is_nothing_to_be_right_about() -> None:
    axes = Figure().subplots(1, 4)
    draw_panels(axes, example_panels(example(pixels=0, truth=False)), PALETTE)
    assert [panel.get_title() for panel in axes] == ["street", "", "prediction", "0 pixels revealed (0 %)"]
    assert not axes[1].axison


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def drawn(text: str, **how: bool) -> np.ndarray:
    figure = Figure(figsize=(3, 0.5))
    figure.text(0, 0.3, text, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that the font lacks
        return np.asarray(Image.open(BytesIO(figure_png(figure))))


@settings(max_examples=25)
@given(NAMES | st.text("$\\_^{}a", min_size=1, max_size=8))
@hypothesis.example("$\\frac$")
@hypothesis.example("a\\$b$")
@hypothesis.example("$a$ and $b$")
def test_names_are_drawn_as_they_are(name: str) -> None:
    """And not as mathematics."""
    np.testing.assert_array_equal(drawn(plain(name)), drawn(name, parse_math=False))


def test_every_class_that_is_shown_is_in_the_legend() -> None:
    classes = ["$\\frac$", "_under", "x" * 300]
    labels = np.array([[0, 1], [2, IGNORE]], np.uint8)
    panels = [Panel("street", image=np.zeros((2, 2, 3), np.uint8)), Panel("map", labels=labels)]
    figure = overview_picture([panels], classes, PALETTE)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["\\$\\frac\\$", "_under", f"{'x' * 20}…{'x' * 20}", "void"]


def test_pictures_are_of_a_sensible_size_and_the_same_each_time() -> None:
    examples = [example(), example(2000, size=(40, 30)), example(0, truth=False)]
    curves = curves_of([make_run(image, seed=seed) for image in "ab" for seed in (0, 1)])
    drawn = []
    for _ in range(2):
        rows = [example_panels(each) for each in examples]
        drawn.append([overview_picture(rows, CLASSES, PALETTE), curves_picture(curves, 0.95)])
    for first, second in zip(*drawn, strict=True):
        content = figure_png(first)
        assert content == figure_png(second)
        with Image.open(BytesIO(content)) as picture:
            assert 900 < picture.width < 1500
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 100


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("accuracies", [[1.0], [0.0], [0.0, 1.0], [0.5, 0.5]])
def test_extreme_curves_are_drawn_without_a_warning(accuracies: list[float]) -> None:
    assert len(figure_png(curves_picture(curves_of([make_run(accuracies=accuracies)]), 0.98))) > 1000


def test_photographs_take_less_space_and_look_the_same() -> None:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    light = np.random.default_rng(0).normal(0, 12, (300, 400, 1)) + np.linspace(30, 190, 400)[None, :, None]
    photograph = np.clip(light * (1, 0.9, 0.7), 0, 255).astype(np.uint8)
    figure.subplots().imshow(photograph)
    plain = figure_png(figure)
    small = few_colours(plain)
    assert len(small) < 0.6 * len(plain)
    assert small == few_colours(plain)
    before, after = (np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) for png in (plain, small))
    assert before.shape == after.shape
    assert len(figure_png(figure, photographs=True)) < 0.6 * len(plain)
    assert np.abs(before - after).mean() < 4


@pytest.mark.parametrize("full_size", [False, True])
def test_the_legend_of_150_classes_is_not_cut_off(full_size: bool) -> None:
    """Nor do the panels become smaller for it, and regions are numbered where colours are too many."""
    draw = np.random.default_rng(0)
    labels = np.kron(np.arange(150).reshape(10, 15), np.ones((20, 20))).astype(np.uint8)
    photograph = draw.integers(0, 256, (*labels.shape, 3)).astype(np.uint8)
    names = [f"class with a long name {label}" for label in range(150)]
    row = [Panel("street", image=photograph), Panel("truth", labels=labels)]
    figure = overview_picture([row], names, default_palette(150), full_size)
    figure.draw_without_rendering()
    (legend,), page = figure.legends, figure.bbox
    box = legend.get_window_extent()
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert page.y0 <= box.y0
    panel = figure.axes[0].get_window_extent()
    assert box.y1 <= panel.y0
    assert panel.width / figure.dpi > 0.8 * 3.1
    texts = {text.get_text() for text in legend.get_texts()}
    assert texts == {f"{label} {name}" for label, name in enumerate(names)}
    numbers = {text.get_text(): text.get_position() for text in figure.axes[1].texts}
    for label in (0, 77, 149):
        column, row_of = (round(place) for place in numbers[str(label)])
        assert labels[row_of, column] == label


def test_full_size_shows_every_pixel() -> None:
    big = example(size=(60, 700))
    small, large = (overview_picture([example_panels(big)], CLASSES, PALETTE, size) for size in (False, True))
    for figure in (small, large):
        figure.draw_without_rendering()
    widths = [figure.axes[0].get_window_extent().width * 90 / figure.dpi for figure in (small, large)]
    assert widths[0] < 300
    assert widths[1] > 0.97 * 700
