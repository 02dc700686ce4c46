"""Train on images that only a person has answered for, without any label map.

A person's image study holds audit answers: random pixels that nothing has learnt from. Labels and networks are
scored on these, if no other images have label maps. The networks were trained on the same images, but not on these
pixels.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset, spread
from lowpix.data.check import Report, require_sound
from lowpix.dataset_study.options import Options
from lowpix.errors import InputError
from lowpix.study.options import TestOptions
from lowpix.study.source import Source
from lowpix.study.splits import Splits, named, require_disjoint

WITHOUT_MAPS = ("pseudo", "sparse", "pseudo_walker")
"""Settings that need no true label map."""


class Audited(Dataset):
    """A data set whose label maps hold the audit answers of a person, and void elsewhere."""

    def __init__(self, dataset: Dataset, audits: dict[str, pd.DataFrame]) -> None:
        self._dataset, self._audits = dataset, audits
        self.name, self.split, self.classes = dataset.name, dataset.split, dataset.classes
        self.palette, self.images = dataset.palette, dataset.images

    def image(self, name: str) -> NDArray[np.uint8]:
        return self._dataset.image(name)

    def labels(self, name: str) -> NDArray[np.uint8]:
        labels = np.full(self.image(name).shape[:2], IGNORE, np.uint8)
        if name in self._audits:
            told = self._audits[name]
            labels[told["row"], told["column"]] = told["answer"]
        return labels

    @property
    def settings(self) -> dict[str, object]:
        return self._dataset.settings

    @property
    def title(self) -> str:
        return self._dataset.title

    @property
    def folders(self) -> tuple[Path, ...]:
        return self._dataset.folders

    def image_file(self, name: str) -> Path | None:
        return self._dataset.image_file(name)


def finished_by_person(folder: Path | None) -> frozenset[str] | None:
    """The images that a person has finished on the page of annotate; None if the image study is no such one."""
    if folder is None or not (folder / "study.toml").exists():
        return None
    source = Source(folder)
    return frozenset(source.tables.summary["image"]) if source.answered_by_person else None


def annotated_splits(
    options: Options, opener: Callable[[str | None], Dataset], finished: Collection[str] | None
) -> tuple[Options, Splits] | None:
    """The splits of a study on a person's answers, and the options without settings that need label maps.

    Training images are those that the person has `finished`; see `finished_by_person`. Test images are those of a
    labelled test split, or, if there is none, those with audit answers. Returns None if the image study is no
    person's, or the training images have label maps.

    Raises:
        InputError: no image is finished, none of these is in the data set, or no setting is left.
    """
    folder = options.image_study
    if folder is None or finished is None:
        return None
    train = opener(options.split)
    names = spread([name for name in train.images if name in finished], options.limit)
    if not finished:
        raise InputError(f"{folder}: no image is finished")
    if not names:
        raise InputError(
            f"{folder}: none of its images is in {train.name}, split {train.split}: name the photographs by "
            "--dataset folder --data-root"
        )
    if all(train.labels(name) is not None for name in names):
        return None
    kinds = tuple(kind for kind in options.settings if kind in WITHOUT_MAPS)
    if not kinds:
        raise InputError(
            f"--settings {' '.join(options.settings)}: need label maps, and the images have none: "
            f"choose from {', '.join(WITHOUT_MAPS)}"
        )
    if left_out := [kind for kind in options.kinds() if kind not in kinds]:
        print(f"{folder}: a person's answers and no label maps, so without {', '.join(left_out)}", flush=True)
    audits = Source(folder).audits()
    own = Audited(train, audits)
    audited = tuple(name for name in names if name in audits)
    test, test_names = _test(options, opener) or (Audited(train, audits), audited)
    scored_on = f"split {test.split}: {len(test_names)} images"
    if isinstance(test, Audited):
        scored_on = audits_in_words([audits[name] for name in test_names], len(train.classes))
    print(f"{len(names)} training images; scored on {scored_on}", flush=True)
    reports: dict[Dataset, Report] = {own: _sizes(own, names)}
    skip = options.skip_faulty
    if isinstance(test, Audited):
        reports[test] = _sizes(test, test_names)
    else:
        reports[test] = require_sound(test, test_names, skip_faulty=skip)
        test_names = reports[test].names
    choosing = options.select == "validation"
    validation = named("--validation-split", options.validation_split, opener) if choosing else None
    require_disjoint(train, None if isinstance(test, Audited) else test, validation)
    if validation is not None:
        reports[validation] = require_sound(validation, validation.images, skip_faulty=skip)
    return replace(options, settings=kinds), Splits(own, names, test, test_names, validation, reports)


def audits_in_words(audits: Sequence[pd.DataFrame], classes: int) -> str:
    """What audit answers there are, and what they cannot tell."""
    if not audits:
        return "nothing, since there are no audit answers: press a on the page of annotate"
    answers = pd.concat(audits)["answer"]
    text = f"{len(answers)} audit answers in {len(audits)} of these"
    held = answers.nunique()
    return text if held == classes else f"{text}, of {held} of {classes} classes: mIoU leaves the others out"


def _test(options: Options, opener: Callable[[str | None], Dataset]) -> tuple[Dataset, tuple[str, ...]] | None:
    """The test split and its images; None if there is none with label maps, and the user has named none."""
    try:
        test = opener(options.test_split)
    except InputError:
        if options.test_split != TestOptions.test_split:
            raise
        return None
    names = spread(test.images, options.test_limit)
    labelled = all(test.labels(name) is not None for name in names)
    return (test, names) if labelled else None


def _sizes(dataset: Dataset, names: tuple[str, ...]) -> Report:
    """The report of images without label maps, with the size of all together."""
    report = require_sound(dataset, names, labelled=False)
    pixels = sum(dataset.image(name).shape[0] * dataset.image(name).shape[1] for name in names)
    return replace(report, size=pixels)
