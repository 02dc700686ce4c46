"""Which key stands for which class."""

from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase, digits

from lowpix.data.folder import classes_and_keys
from lowpix.errors import InputError

COMMANDS = frozenset("unvpsoxacm? ")
"""Keys that the page uses itself, beside those with names such as Enter."""
FREE = [key for key in digits[1:] + "0" + ascii_lowercase + ascii_uppercase if key not in COMMANDS]
"""Keys for classes without one of their own, in the order of use."""


def keys_of(names: Sequence[str], given: str | None = None) -> list[str]:
    """A key for each class; those in a text such as `sky,road:r,car` come first.

    Raises InputError for a key that the page uses itself, a key for two classes, and more classes than keys.
    """
    own = {name: key for name, key in classes_and_keys(given or "") if key}
    for name, key in own.items():
        if key in COMMANDS or not key.isprintable():
            raise InputError(f"--classes {name}:{key}: {key!r} is a command of the page: choose another key")
        if list(own.values()).count(key) > 1:
            raise InputError(f"--classes {name}:{key}: {key!r} stands for two classes: keys must differ")
    left = (key for key in FREE if key not in own.values())
    try:
        return [own.get(name) or next(left) for name in names]
    except StopIteration:
        raise InputError(
            f"{len(names)} classes: there are only {len(FREE)} keys: choose fewer classes, or name keys yourself "
            "(sky:ä)"
        ) from None
