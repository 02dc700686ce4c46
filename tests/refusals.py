"""What a refusal must be: an InputError of one line that names the option or file, the value and the rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lowpix.errors import InputError


@contextmanager
def refused(*parts: object) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """The body raises an InputError whose one line holds all these parts."""
    with pytest.raises(InputError) as raised:
        yield raised
    message = str(raised.value)
    assert "\n" not in message
    assert [part for part in parts if str(part) not in message] == [], message


def unsealed(folder: Path) -> Path:
    """The folder as an older lowpix left it, without digests: what a test changes in it is not found by these."""
    for seal in [*folder.rglob("*.sha256"), *folder.rglob("data.csv")]:
        seal.unlink()
    return folder
