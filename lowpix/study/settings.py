"""`study.toml`: what was asked of a study, and what produced it."""

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
from lowpix.storage import atomic

UNSET = "unset"  # how an option that is None is shown; TOML has no null, so that it is not written


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a `study.toml`; an option that was None is not among them.

    Raises InputError if the file cannot be read as one.
    """
    settings: dict[str, Any] = _read(path)["settings"]
    return settings


def read_kind(path: Path) -> str:
    """Read what kind of study a `study.toml` is of. Raises InputError if the file cannot be read as one."""
    document = _read(path)
    if "kind" in document:
        return str(document["kind"])
    # written before kinds were: each of these options belongs to one kind alone
    marks = {"plateau_cap": "order", "epochs": "dataset"}
    return next((kind for option, kind in marks.items() if option in document["settings"]), "image")


def write_settings(path: Path, kind: str, settings: Mapping[str, Any], extendable: Collection[str]) -> None:
    """Write the kind of a study and its `settings` to `path`, or, where a study is there already, extend it.

    Options named in `extendable` may differ from what the file says and then cover both: lists are united,
    numbers take the larger, None (all of them) stays None, anything else takes the new value. Paths are
    written as given. Raises InputError if it is of another kind, or if any other option differs, naming it with
    both values.
    """
    new = _as_toml(settings)
    if not path.exists():
        _write(path, {"kind": kind, "settings": new, "produced": []})
        return
    document = _read(path)
    if (there := read_kind(path)) != kind:
        raise InputError(f"{path.parent}: holds a study of kind {there}, not {kind}: name another folder")
    old = document["settings"]
    if changed := _differences(old, new, extendable):
        raise InputError(
            f"{path}: {changed}; only {', '.join(sorted(extendable))} may change (--fresh starts anew)"
        )
    merged = {key: _cover(old.get(key), new.get(key)) for key in {**old, **new}}
    _write(path, {**document, "kind": kind, "settings": _as_toml(merged)})


def keep_section(path: Path, section: str, values: Mapping[str, Any]) -> None:
    """Write `values` to a section of its own in a `study.toml`, once: from then on they have to stay the same.

    Raises InputError if they differ from those that are there, naming each difference with both values.
    """
    document, new = _read(path), _as_toml(values)
    if section not in document:
        _write(path, {**document, section: new})
    elif changed := _differences(document[section], new):
        raise InputError(f"{path}: {section}: {changed} (--fresh starts anew)")


def record_work(path: Path, seconds: float, device: str) -> None:
    """Add wall time to the entry under `[[produced]]` that this version has in a `study.toml`.

    There is an entry for each different set of versions, commit and device, so that a study which went on
    after an update says so.
    """
    document, producer = _read(path), _producer(device)
    for entry in document["produced"]:
        if all(entry.get(key) == value for key, value in producer.items()):
            break
    else:
        entry = {**producer, "since": datetime.now(UTC).replace(microsecond=0), "wall_seconds": 0.0}
        document["produced"].append(entry)
    entry["wall_seconds"] = round(entry["wall_seconds"] + seconds, 1)
    _write(path, document)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """Tell what differs, both values each; empty if nothing does."""
    return "; ".join(
        f"{key} was {old.get(key, UNSET)!r}, now {new.get(key, UNSET)!r}"
        for key in {**old, **new}
        if old.get(key) != new.get(key) and key not in but
    )


def _cover(old: Any, new: Any) -> Any:
    """Give the value of an extendable option that covers the old and the new one."""
    if old is None or new is None:
        return None
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *(item for item in new if item not in old)]
    if isinstance(old, int | float) and isinstance(new, int | float):
        return max(old, new)
    return new


def _as_toml(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings as they will be read back, so that they compare like with like."""
    given = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    return tomllib.loads(tomli_w.dumps({key: value for key, value in given.items() if value is not None}))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise InputError(f"{path}: cannot be read ({fault})") from None
    if not isinstance(document.get("settings"), dict) or not isinstance(document.get("produced"), list):
        raise InputError(f"{path}: is no record of a study: it needs [settings] and [[produced]]")
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(tomli_w.dumps(document), encoding="utf-8")


@cache
def _producer(device: str) -> dict[str, Any]:
    """Say what is at work here; once a process, for what was loaded stays loaded."""
    versions = {name: _version(name) for name in ("lowpix", "torch", "numpy")}
    return {**versions, "python": platform.python_version(), **_checkout(), **_machine(device)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _checkout() -> dict[str, Any]:
    """Name the commit that holds this very file, and whether the package differs from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", str(Path(__file__)))  # a package installed within some other checkout
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _machine(device: str) -> dict[str, str]:
    machine = {"device": device, "processor": _processor()}
    if device.startswith("cuda"):
        import torch  # only here: reading a study needs no torch

        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
