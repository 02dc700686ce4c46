"""The splits for training, validation and test."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lowpix.data import Dataset, spread
from lowpix.data.check import Report, require_sound
from lowpix.data.dataset import median_size
from lowpix.data.sent import Sent
from lowpix.errors import InputError
from lowpix.study.seal import digest

MOST_SENT = 2e9  # bytes of images and label maps that travel with a network; the scheduler holds those in flight


@dataclass(frozen=True)
class Splits:
    """The splits of a data set."""

    train: Dataset
    names: tuple[str, ...]
    """Names of the training images."""
    test: Dataset
    test_names: tuple[str, ...]
    validation: Dataset | None
    reports: Mapping[Dataset, Report]
    """The check of each split."""

    @property
    def validation_names(self) -> tuple[str, ...]:
        """Names of the validation images; none without a validation split."""
        return () if self.validation is None else self.reports[self.validation].names

    @property
    def pixels(self) -> int:
        """Number of pixels of all training images."""
        return self.reports[self.train].size

    @property
    def validation_pixels(self) -> int:
        """Number of pixels of all validation images; 0 without a validation split."""
        return 0 if self.validation is None else self.reports[self.validation].size

    def listed(self) -> dict[str, str]:
        """Number of images of each split, with a digest of their names: one network learns from all of them."""
        names = {"train": self.names, "test": self.test_names, "validation": self.validation_names}
        lists = {part: "\n".join(own).encode() for part, own in names.items() if own}
        return {part: f"{len(names[part])} images, {digest(own)[:12]}" for part, own in lists.items()}

    def require_sendable(self, cluster: str) -> None:
        """Raise InputError if the images are too many to travel with each network to workers of a cluster."""
        size = 4 * sum(report.size for report in self.reports.values())  # three colours and a label
        if size > MOST_SENT:
            raise InputError(
                f"--cluster {cluster}: {size / 1e9:.1f} GB of images would travel with each network, and at most "
                f"{MOST_SENT / 1e9:g} GB may: use --jobs, or fewer images (--limit, --test-limit)"
            )

    def sent(self) -> "Splits":
        """The same splits with their images in memory, to travel with work to another machine."""
        validation = self.validation
        names = {self.train: self.names, self.test: self.test_names}
        names |= {} if validation is None else {validation: self.validation_names}
        sent = {part: Sent(part, own) for part, own in names.items()}
        return Splits(
            sent[self.train],
            self.names,
            sent[self.test],
            self.test_names,
            None if validation is None else sent[validation],
            {sent[part]: report for part, report in self.reports.items()},
        )

    def median_size(self, scale: float) -> tuple[int, int]:
        """Median height and width of the first training images, resized by `scale`; each at least 16."""
        return median_size(self.train, self.names, scale)


def open_splits(
    opener: Callable[[str | None], Dataset],
    split: str | None,
    test_split: str,
    validation_split: str | None,
    limit: int | None = None,
    test_limit: int | None = None,
    skip_faulty: bool = False,
    images: Collection[str] | None = None,
) -> Splits:
    """Open the splits of a data set by name, and check all their images and label maps.

    Limits are numbers of images, spread evenly over the list. With `images`, others are not trained on. Images
    without a label map, and with `skip_faulty` faulty ones, are left out. Raises InputError for other faults
    in a split, for splits that are not different, and for splits with different classes.
    """
    train, test = opener(split), named("--test-split", test_split, opener)
    validation = None if validation_split is None else named("--validation-split", validation_split, opener)
    require_disjoint(train, test, validation)
    for other in (test, validation or test):
        if other.classes != train.classes:
            counts = f"{len(train.classes)} and {len(other.classes)}"
            raise InputError(f"splits {train.split} and {other.split} differ in their classes ({counts} of them)")
    names = spread([name for name in train.images if images is None or name in images], limit)
    test_names = spread(test.images, test_limit)
    given = {train: names, test: test_names} | ({} if validation is None else {validation: validation.images})
    reports = {part: require_sound(part, own, skip_faulty=skip_faulty) for part, own in given.items()}
    return Splits(train, reports[train].names, test, reports[test].names, validation, reports)


def require_disjoint(train: Dataset, test: Dataset | None, validation: Dataset | None = None) -> None:
    """Raise InputError if a network would be tested or validated on images of another purpose."""
    tested = frozenset() if test is None else test.parts
    if train.parts & tested:
        raise InputError(f"--split {train.split}: must not be tested on itself: name another --test-split")
    if validation is not None and validation.parts & (train.parts | tested):
        raise InputError(
            f"--validation-split {validation.split}: must be another split than those for training and test"
        )


def named(option: str, split: str, opener: Callable[[str | None], Dataset]) -> Dataset:
    """Open a split; errors name `option`."""
    try:
        return opener(split)
    except InputError as fault:
        raise InputError(str(fault).replace("--split", option, 1)) from None
