"""The options that studies share beside those that name the data."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from lowpix.data import Dataset
from lowpix.data.options import DataOptions
from lowpix.options import at_least


@dataclass(frozen=True)
class RepeatOptions:
    """How often, and with which seeds."""

    seed: Annotated[int, at_least(0)] = 0
    """Of the study; repeat r, counted from 0, uses seed + r."""
    repeats: Annotated[int, at_least(1)] = 1
    """How often everything is run, each time with another seed; 2 or more give intervals."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how fast. On a CPU these change no bit of a table."""

    jobs: Annotated[int, at_least(1)] = 1
    """Processes, each with one thread."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""
    out: Path | None = None
    """Folder of the study; else one in results, named after what is studied."""
    fresh: bool = False
    """Remove the study that is there and start anew."""


PLACES = frozenset({"data_root", *(field.name for field in fields(RunOptions))})
"""Options that say where and how fast a study runs, not what it is."""


def settings_of(options: Any, dataset: Dataset, but: Iterable[str] = ()) -> dict[str, object]:
    """What makes a study this one and no other, for `study.toml`: its options and its data.

    `but` names options that have no say in this study.
    """
    data = {field.name for field in fields(DataOptions)} - {"limit"}
    own = {name: value for name, value in asdict(options).items() if name not in PLACES | data | set(but)}
    return {**dataset.settings, **own}
