"""The options that studies share, except those that name the data."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from lowpix.data import Dataset
from lowpix.data.options import DataOptions
from lowpix.options import at_least, between, require


@dataclass(frozen=True)
class RepeatOptions:
    """Number of repeats, and their seeds."""

    seed: Annotated[int, between(0, 2**32 - 1)] = 0
    """Seed of the study; repeat r, counted from 0, uses seed + r."""
    repeats: Annotated[int, between(1, 10_000)] = 1
    """Number of times that everything is run, each time with another seed; 2 or more give intervals."""


@dataclass(frozen=True)
class TestOptions:
    """Which images the networks are evaluated on."""

    __test__ = False  # otherwise pytest collects this class because of its name

    test_split: str = "test"
    """Split that the networks are evaluated on."""
    validation_split: str = "val"
    """Split that the checkpoint is chosen on, with --select validation."""
    test_limit: Annotated[int | None, at_least(1)] = None
    """Number of test images, spread evenly over the list; if not given, all."""


@dataclass(frozen=True)
class RunOptions:
    """Where the study runs, and how fast. On a CPU these options do not change the tables."""

    jobs: Annotated[int, between(1, 1024)] = 1
    """Number of processes, each with one thread."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    out: Path | None = None
    """Folder of the study; if not given, it is named after the data or the image study."""
    fresh: bool = False
    """Remove the study in this folder and start again."""


@dataclass(frozen=True)
class ClusterOptions:
    """Work on other machines."""

    cluster: str | None = None
    """Dask scheduler whose workers take the images, such as tcp://host:8786; local:4 starts 4 workers here."""

    def check_cluster(self) -> None:
        """Raise InputError for an address that is none."""
        address = "local:1" if self.cluster is None else self.cluster
        local = re.fullmatch(r"local:([1-9]\d{0,3})", address)
        rule = "an address such as tcp://host:8786, or local:4"
        require("cluster", self.cluster, bool(local or re.fullmatch(r"\w+://\S+", address)), rule)


PLACES = frozenset({"data_root", "cluster", *(field.name for field in fields(RunOptions))})
"""Options that say where and how fast a study runs. They may change when it goes on."""


def settings_of(options: Any, dataset: Dataset, but: Iterable[str] = ()) -> dict[str, object]:
    """The settings of a study for `study.toml`: its options, except PLACES, and its data.

    `but` names further options to leave out, because this study does not use them.
    """
    data = {field.name for field in fields(DataOptions)} - {"limit"}
    own = {name: value for name, value in asdict(options).items() if name not in PLACES | data | set(but)}
    return {**dataset.settings, **own}
