"""`study.toml`: the settings of a study, and the versions and machines that produced it."""

import platform
import subprocess
import tomllib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import tomli_w

from lowpix.errors import InputError
from lowpix.storage import alone_in
from lowpix.study.seal import Seal

UNSET = "unset"  # shown for an option that is None; TOML has no null, so None is not written


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a `study.toml`; options that are None are missing.

    Raises InputError if the file cannot be read as a `study.toml`.
    """
    settings: dict[str, Any] = _read(path)["settings"]
    return settings


def read_kind(path: Path) -> str:
    """Read the kind of study in a `study.toml`. Raises InputError if the file cannot be read as one."""
    return _kind(_read(path))


def write_settings(
    path: Path,
    kind: str,
    settings: Mapping[str, Any],
    extendable: Collection[str],
    earlier: Collection[str] = (),
) -> None:
    """Write the kind and the `settings` of a study to `path`. If the file exists, extend its settings.

    Options named in `extendable` may differ from the file. Then lists are merged, the larger number is kept, None
    (which means all) is kept, and any other value is replaced by the new one. Paths are written as given. Raises
    InputError if the existing study is of another kind, or if any other option differs; the message names it with
    both values.

    If an older version wrote the study without a seal, one is begun with the file and those files named in
    `earlier` that exist.
    """
    new = _as_toml(settings)
    with alone_in(path.parent):
        if not path.exists():
            _write(path, {"kind": kind, "settings": new, "produced": []})
            return
        document = _read(path)
        if (there := read_kind(path)) != kind:
            raise InputError(f"{path.parent}: holds a study of kind {there}, not {kind}: name another folder")
        old = document["settings"]
        if changed := _differences(old, new, extendable):
            raise InputError(
                f"{path}: {changed}; only {', '.join(sorted(extendable))} may change: "
                "name another --out (--fresh starts anew, without what is there)"
            )
        merged = {key: _cover(old.get(key), new.get(key)) for key in {**old, **new}}
        Seal(path.parent).adopt([path.name, *earlier])
        _write(path, {**document, "kind": kind, "settings": _as_toml(merged)})


def begin_fresh(path: Path, data: str) -> None:
    """Record that a fresh start with this digest of the data has begun; `end_fresh` removes the record."""
    with alone_in(path.parent):
        _write(path, {"fresh": data, **_read(path)})


def fresh_begun(path: Path, kind: str, settings: Mapping[str, Any], data: str) -> bool:
    """Whether a fresh start with these settings and this digest of the data has begun and not ended."""
    document = _read(path)
    same = document["settings"] == _as_toml(settings) and read_kind(path) == kind
    return same and document.get("fresh") == data


def end_fresh(path: Path) -> None:
    """Record that the study has ended."""
    with alone_in(path.parent):
        document = _read(path)
        if document.pop("fresh", None) is not None:
            _write(path, document)


def keep_section(path: Path, section: str, values: Mapping[str, Any], growing: bool = False) -> None:
    """Write `values` to a section of a `study.toml`; if the section exists, the values must be the same.

    A `growing` section may get further keys. Raises InputError as `require_section` does.
    """
    with alone_in(path.parent):
        require_section(path, section, values, growing)
        document = _read(path)
        kept = document.get(section, {}) | _as_toml(values)
        if document.get(section) != kept:
            _write(path, {**document, section: kept})


def require_section(path: Path, section: str, values: Mapping[str, Any], growing: bool = False) -> None:
    """Raise InputError if a section of a `study.toml` exists and holds other values.

    The message names each difference with both values. A `growing` section may lack some keys or have others.
    """
    there, new = _read(path).get(section), _as_toml(values)
    if there is not None:
        if growing:
            there, new = ({key: each[key] for key in there.keys() & new.keys()} for each in (there, new))
        if changed := _differences(there, new):
            raise InputError(f"{path}: {section}: {changed} (--fresh starts anew)")


def read_section(path: Path, section: str) -> dict[str, Any]:
    """A section of a `study.toml`; empty if there is none."""
    values: dict[str, Any] = _read(path).get(section, {})
    return values


def replace_section(path: Path, section: str, values: Mapping[str, Any]) -> None:
    """Write `values` to a section of a `study.toml` in place of what it held; no values remove it."""
    with alone_in(path.parent):
        document = _read(path)
        changed = {key: value for key, value in document.items() if key != section}
        if values:
            changed[section] = _as_toml(values)
        if changed != document:
            _write(path, changed)


def record_work(path: Path, seconds: float, device: str) -> None:
    """Add wall time to the entry under `[[produced]]` for these versions, commit and device in a `study.toml`.

    Each set of versions, commit and device has its own entry. So the file shows if a study went on after an
    update.
    """
    producer = _producer(device)
    with alone_in(path.parent):
        document = _read(path)
        for entry in document["produced"]:
            if all(entry.get(key) == value for key, value in producer.items()):
                break
        else:
            entry = {**producer, "since": datetime.now(UTC).replace(microsecond=0), "wall_seconds": 0.0}
            document["produced"].append(entry)
        entry["wall_seconds"] = round(entry["wall_seconds"] + seconds, 1)
        _write(path, document)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """The differences, each with both values, as text; empty if there are none."""
    return "; ".join(
        f"{key} was {old.get(key, UNSET)!r}, now {new.get(key, UNSET)!r}"
        for key in {**old, **new}
        if old.get(key) != new.get(key) and key not in but
    )


def _cover(old: Any, new: Any) -> Any:
    """The value of an extendable option that covers the old and the new value."""
    if old is None or new is None:
        return None
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *(item for item in new if item not in old)]
    if isinstance(old, int | float) and isinstance(new, int | float):
        return max(old, new)
    return new


def _as_toml(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they will be read back from TOML, for comparison with settings that were read."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    return tomllib.loads(tomli_w.dumps({key: value for key, value in given.items() if value is not None}))


def _kind(document: Mapping[str, Any]) -> str:
    if "kind" in document:
        return str(document["kind"])
    # older versions wrote no kind; each of these options belongs to one kind only
    marks = {"plateau_cap": "order", "epochs": "dataset"}
    return next((kind for option, kind in marks.items() if option in document["settings"]), "image")


def _upgraded(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an image study as this version writes them. Older versions lacked options, and lists."""
    now: dict[str, Any] = {"smoothing": ["none"], "carry_over": ["none"], "grid": [1]} | settings
    if isinstance(now.get("network"), str):
        now["network"] = [now["network"]]
        one = now["network"] == ["unet"] or now.get("members_from") == "dropout"
        if now.get("members") == (1 if one else 4):
            del now["members"]  # older versions also wrote the number if it was not given
    return now


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(Seal(path.parent).read(path.name).decode())
    except (OSError, ValueError, RecursionError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({fault})") from None
    if not isinstance(document.get("settings"), dict) or not isinstance(document.get("produced"), list):
        raise InputError(f"{path}: is no record of a study: it must have [settings] and [[produced]]")
    if _kind(document) == "image":
        document["settings"] = _upgraded(document["settings"])
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    Seal(path.parent).write({path.name: tomli_w.dumps(document).encode()})


@cache
def _producer(device: str) -> dict[str, Any]:
    """Versions, commit and machine of this process. Cached, because code that is loaded does not change."""
    versions = {name: _version(name) for name in ("lowpix", "torch", "numpy")}
    return {**versions, "python": platform.python_version(), **_checkout(), **_machine(device)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _checkout() -> dict[str, Any]:
    """The commit of the checkout that holds this file, and whether the package is modified."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(Path(__file__)))  # fails if installed within another checkout
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _machine(device: str) -> dict[str, str]:
    """Device, processor and precision: `machine` in the tables has the same words."""
    import torch  # imported here, because reading a study does not need it

    from lowpix.networks.device import precision, processor

    machine = {"device": device, "processor": processor(), "precision": precision(torch.device(device))}
    if device.startswith("cuda"):
        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine
