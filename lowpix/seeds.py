"""Seeds that depend on their purpose, never on the setting or the order of work."""

import hashlib


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends only on the parts and their order.

    A study gives (study seed, data set, image, purpose). So all settings share first pixels and initial weights,
    and can be compared in pairs.
    """
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
