"""What a refusal must be: an InputError of one line that names the option or file, the value and the rule."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lowpix.errors import InputError


@contextmanager
def refused(*parts: object) -> Iterator[None]:
    """The body raises an InputError whose one line holds all these parts."""
    with pytest.raises(InputError) as raised:
        yield
    message = str(raised.value)
    assert "\n" not in message
    assert [part for part in parts if str(part) not in message] == [], message
