"""That images are labelled as on the page, and compared in pairs."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.carrying import compare, rounds
from benchmarks.person import Way, label
from lowpix.data import open_dataset
from lowpix.reveal.schedule import Schedule


def test_without_a_network_it_is_a_person_who_answers_keys() -> None:
    scenes = open_dataset("scenes", scene_size=(40, 56), scene_count=1)
    name = scenes.images[0]
    found = pd.DataFrame(rounds(scenes, name, 14, None))
    expected = pd.DataFrame(label(scenes, name, Way(range(0)), Schedule(1, "10%", 14)))
    assert list(found["answers"]) == list(expected["keys"])
    np.testing.assert_allclose(found["accuracy"], expected["accuracy"], rtol=1e-12)
    np.testing.assert_allclose(found["miou"], expected["miou"], rtol=1e-12)


def test_means_and_differences_by_hand() -> None:
    rows = [
        {
            "image": image,
            "learned_from": learned_from,
            "answers": count,
            "accuracy": accuracy,
            "miou": accuracy / 2,
        }
        for image, learned_from, accuracies in (
            ("a", 0, (0.5, 0.7, 0.95)),
            ("a", 10, (0.6, 0.92, 0.9)),
            ("b", 0, (0.4, 0.6, 0.8)),
            ("b", 10, (0.5, 0.6, 0.91)),
        )
        for count, accuracy in zip((5, 10, 60), accuracies, strict=True)
    ]
    table = compare(pd.DataFrame(rows), 60).set_index("what")
    needed = table.loc["answers to 90% accuracy, at most 61"]
    assert needed[["without", "with", "difference", "images"]].tolist() == [60.5, 35, -25.5, 2]
    assert needed["low"] < -50  # Student's t of two pairs, -50 and -1
    at_ten = table.loc["accuracy at 10 answers, %"]
    assert at_ten[["without", "with", "difference"]].tolist() == pytest.approx([65, 76, 11])
    pd.testing.assert_series_equal(
        table.loc["miou at 20 answers, %"], table.loc["miou at 10 answers, %"], check_names=False
    )
