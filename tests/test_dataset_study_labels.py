"""What each setting's network learns from, and what it is said to cost."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from dataset_runs import images
from refusals import refused
from scipy import ndimage
from sklearn.metrics import accuracy_score, jaccard_score

from lowpix.data import IGNORE, Dataset, open_dataset
from lowpix.dataset_study.degrade import flip_labels, move_borders, walk
from lowpix.dataset_study.labels import SETTINGS, Material, survey
from lowpix.dataset_study.options import GROUPS, Options, SettingName
from lowpix.dataset_study.runs import Costs
from lowpix.reveal.log import Log
from lowpix.study.label_maps import read_label_map, write_label_map
from lowpix.study.source import Found, Source

SIZE, CLASSES, PIXELS = (24, 32), 5, 12


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return open_dataset("scenes", scene_size=SIZE, scene_count=4, scene_classes=CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image study of four scenes to twelve pixels each."""
    out = tmp_path_factory.mktemp("image_study")
    given = {
        "scene_size": SIZE,
        "scene_count": 4,
        "scene_classes": CLASSES,
        "max_pixels": PIXELS,
        "pixels_per_round": "4",
    }
    return images(out, acquisition=("margin", "stratified"), **given)


@pytest.fixture(scope="module")
def found(scenes: Dataset, folder: Path) -> Found:
    return Source(folder).labels(("margin", "stratified"), [0], [PIXELS], scenes.images)


@pytest.fixture
def material(scenes: Dataset, found: Found, tmp_path: Path) -> Material:
    chosen, stratified = found["margin", PIXELS, 0], found["stratified", PIXELS, 0]
    return Material(scenes, scenes.images, 3, chosen, stratified, maps_for=lambda _: 2, cache=tmp_path)


def truth_of(scenes: Dataset, name: str) -> np.ndarray:
    labels = scenes.labels(name)
    assert labels is not None
    return labels


def test_every_setting_that_may_be_asked_for_is_there() -> None:
    assert {*SETTINGS, *GROUPS} == set(get_args(SettingName))
    assert {*SETTINGS} == set(Options(settings=get_args(SettingName)).kinds())
    assert set(Options().kinds()) < set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_labels_are_classes_and_the_survey_counts_them(name: str, material: Material, scenes: Dataset) -> None:
    annotation = SETTINGS[name](material)
    maps = {image: annotation.read(image)[0] for image in annotation.images}
    truth = np.concatenate([truth_of(scenes, image).ravel() for image in maps])
    labels = np.concatenate([labels.ravel() for labels in maps.values()])
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*range(CLASSES), IGNORE}
    seen = survey(annotation, material)
    both = (truth != IGNORE) & (labels != IGNORE)
    assert seen.accuracy == pytest.approx(accuracy_score(truth[both], labels[both]))
    held = np.unique(truth[both])
    ious = jaccard_score(truth[both], labels[both], labels=held, average=None)
    assert seen.miou == pytest.approx(ious.mean())
    np.testing.assert_array_equal(seen.pixels, np.bincount(labels[labels != IGNORE], minlength=CLASSES))
    assert seen.size == labels.size
    for image, read in maps.items():  # read again, the same
        np.testing.assert_array_equal(SETTINGS[name](material).read(image)[0], read)


def test_full_is_the_truth(material: Material, scenes: Dataset) -> None:
    annotation = SETTINGS["full"](material)
    for name in scenes.images:
        np.testing.assert_array_equal(annotation.read(name)[0], truth_of(scenes, name))
    assert (annotation.maps, annotation.clicks, annotation.sparse) == (4, 0, False)


@pytest.mark.parametrize(("name", "acquisition"), [("pseudo", "margin"), ("pseudo_stratified", "stratified")])
def test_pseudo_labels_are_the_files_and_keep_what_was_told(
    name: str, acquisition: str, material: Material, scenes: Dataset, folder: Path
) -> None:
    annotation = SETTINGS[name](material)
    assert (annotation.clicks, annotation.pixels, annotation.maps) == (4 * PIXELS, 4 * PIXELS, 0)
    source = material.chosen if name == "pseudo" else material.stratified
    assert source is not None
    for image in scenes.images:
        labels = annotation.read(image)[0]
        file = folder / "pseudo_labels" / f"mlp-{acquisition}" / "0" / f"{image}.png"
        np.testing.assert_array_equal(labels, read_label_map(file))
        told, truth = tuple(source.logs[image].pixels.T), truth_of(scenes, image)
        np.testing.assert_array_equal(labels[told], truth[told])


def test_unsure_pseudo_labels_become_void_and_weights_follow_confidence(
    material: Material, scenes: Dataset, folder: Path
) -> None:
    assert material.chosen is not None
    changed = replace(material, least_confidence=0.7, weigh=True)
    for image in scenes.images:
        labels, weights = SETTINGS["pseudo"](changed).read(image)
        grey = read_label_map(folder / "confidence" / "mlp-margin" / "0" / f"{image}.png")
        told = np.zeros(SIZE, bool)
        told[tuple(material.chosen.logs[image].pixels.T)] = True
        unsure = (grey / 255 < 0.7) & ~told
        assert weights is not None
        assert 0 < np.count_nonzero(unsure) < labels.size
        np.testing.assert_array_equal(labels == IGNORE, unsure)
        np.testing.assert_allclose(weights[~told], grey[~told] / 255, atol=1e-6)
        assert (weights[told] == 1).all()
        np.testing.assert_array_equal(labels[told], truth_of(scenes, image)[told])


def test_sparse_sees_the_revealed_pixels_alone(material: Material, scenes: Dataset) -> None:
    annotation = SETTINGS["sparse"](material)
    assert annotation.sparse
    assert material.chosen is not None
    for name in scenes.images:
        labels = annotation.read(name)[0]
        log = material.chosen.logs[name]
        expected = np.full(SIZE, IGNORE, np.uint8)
        for (row, column), label in zip(log.pixels, log.answers, strict=True):
            expected[row, column] = label
        np.testing.assert_array_equal(labels, expected)
        assert np.count_nonzero(labels != IGNORE) == PIXELS


def test_random_pixels_are_as_many_right_and_never_void(material: Material, scenes: Dataset) -> None:
    annotation, sparse = SETTINGS["sparse_random"](material), SETTINGS["sparse"](material)
    assert (annotation.clicks, annotation.pixels) == (sparse.clicks, sparse.pixels)
    for name in scenes.images:
        labels = annotation.read(name)[0]
        known = labels != IGNORE
        assert np.count_nonzero(known) == PIXELS
        np.testing.assert_array_equal(labels[known], truth_of(scenes, name)[known])
    other = replace(material, seed=4)
    name = scenes.images[0]
    assert (SETTINGS["sparse_random"](other).read(name)[0] != annotation.read(name)[0]).any()


def test_random_pixels_of_an_oracle_that_errs(material: Material, scenes: Dataset) -> None:
    noisy = replace(material, noise=1.0)
    for name in scenes.images:
        labels = SETTINGS["sparse_random"](noisy).read(name)[0]
        known = labels != IGNORE
        assert (labels[known] != truth_of(scenes, name)[known]).all()


def test_random_pixels_that_nobody_could_label_cost_a_click_and_teach_nothing(material: Material) -> None:
    annotation = SETTINGS["sparse_random"](replace(material, refusal=1.0))
    assert (annotation.clicks, annotation.pixels) == (4 * PIXELS, 0)
    assert (annotation.read(annotation.images[0])[0] == IGNORE).all()


def test_few_full_maps_cost_what_the_clicks_cost() -> None:
    # 367 images × 100 clicks × 1 s = 36,700 s = 611.7 minutes: 10 maps of an hour
    assert Costs(1, 60).maps_for(36_700) == 10
    assert Costs(1, 60).hours(36_700, 0) == pytest.approx(10.1944, abs=1e-4)
    assert Costs(1, 60).hours(0, 10) == 10
    assert Costs(2, 90).maps_for(36_700) == 13  # 73,400 s / 5,400 s = 13.6


@pytest.mark.parametrize(("affordable", "maps"), [(0, 1), (3, 3), (9, 4)])
def test_few_full_is_at_least_one_and_at_most_all(affordable: int, maps: int, material: Material) -> None:
    asked = []

    def maps_for(clicks: int) -> int:
        asked.append(clicks)
        return affordable

    annotation = SETTINGS["few_full"](replace(material, maps_for=maps_for))
    assert asked == [4 * PIXELS]
    assert len(annotation.images) == len(set(annotation.images)) == annotation.maps == maps
    drawn = {SETTINGS["few_full"](replace(material, seed=seed)).images for seed in range(20)}
    assert len(drawn) > 3  # the luck of which images is part of the spread over seeds


@pytest.mark.parametrize("name", ["full_degraded_flips", "full_degraded_borders"])
def test_degraded_truth_has_each_images_own_error_rate(name: str, material: Material, scenes: Dataset) -> None:
    pseudo = SETTINGS["pseudo"](material)
    for image in scenes.images:
        truth, labels = truth_of(scenes, image), SETTINGS[name](material).read(image)[0]
        known = truth != IGNORE
        wrong = np.count_nonzero((labels != truth)[known])
        assert wrong == np.count_nonzero((pseudo.read(image)[0] != truth)[known])
        np.testing.assert_array_equal(labels[~known], truth[~known])


def test_flips_are_anywhere_and_borders_at_borders() -> None:
    truth = np.zeros((60, 80), np.uint8)
    truth[:, 40:] = 1
    truth[20:40, 10:30] = 2
    truth[50:] = IGNORE
    edge = ndimage.maximum_filter(truth[:50], 3) != ndimage.minimum_filter(truth[:50], 3)
    away = ndimage.distance_transform_edt(~edge)
    flipped = flip_labels(truth, 0.05, 3, np.random.default_rng(0))
    moved = move_borders(truth, 0.05, np.random.default_rng(0))
    for degraded in (flipped, moved):
        assert np.count_nonzero(degraded != truth) == round(0.05 * 50 * 80)
    assert away[(flipped != truth)[:50]].mean() > 5
    assert away[(moved != truth)[:50]].mean() < 2
    # what moved is a border: an error has more errors beside it than one that is strewn
    regions = [ndimage.label(degraded != truth)[1] for degraded in (moved, flipped)]
    assert regions[0] < regions[1] / 3


def test_the_walker_keeps_revealed_pixels_and_finds_regions() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 12:] = (200, 30, 30)
    log = Log(5)
    assert (walk(image, log) == IGNORE).all()
    log.tell(np.array([[10, 3]]), np.array([4], np.uint8))
    assert (walk(image, log) == 4).all()
    log.tell(np.array([[4, 4], [10, 25]]), np.array([IGNORE, 1], np.uint8))  # an answer without a class is no seed
    walked = walk(image, log)
    assert (walked[:, :12] == 4).all()
    assert (walked[:, 12:] == 1).all()


def test_the_walker_is_kept(material: Material, scenes: Dataset) -> None:
    first = SETTINGS["pseudo_walker"](material).read(scenes.images[0])[0]
    (file,) = material.cache.rglob("*.png")
    np.testing.assert_array_equal(read_label_map(file), first)
    written = file.stat().st_mtime_ns
    np.testing.assert_array_equal(SETTINGS["pseudo_walker"](material).read(scenes.images[0])[0], first)
    assert file.stat().st_mtime_ns == written
    assert material.chosen is not None
    log = material.chosen.logs[scenes.images[0]]
    np.testing.assert_array_equal(first[tuple(log.pixels.T)], log.answers)
    write_label_map(file, first[::-1].copy(), scenes.palette)
    with refused(file, "has changed"):
        SETTINGS["pseudo_walker"](material).read(scenes.images[0])
