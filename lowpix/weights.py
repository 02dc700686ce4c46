"""Weights in safetensors files. Each file holds a digest of its content, so a flipped bit is found."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lowpix.errors import InputError

DIGEST = "sha256"


def weights_file(tensors: Mapping[str, torch.Tensor], form: str, about: Mapping[str, Any]) -> bytes:
    """A safetensors file of CPU tensors; the metadata key `form` holds `about` as JSON."""
    # one key only: safetensors writes several keys in any order, and the same weights should give the same bytes
    return save(dict(tensors), {form: json.dumps({**about, DIGEST: _digest(tensors, about)})})


def read_weights(path: Path, form: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the `about` of a file. A file without a digest is not checked.

    Raises:
        InputError: the file cannot be read, has no metadata key `form`, or does not match its digest.
    """
    if path.is_dir():
        inside = next((file for file in sorted(path.rglob("*.safetensors")) if _is_of(file, form)), None)
        raise InputError(f"{path}: is a folder: name a file" + (f", such as {inside}" if inside else ""))
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if form not in metadata:
                raise InputError(f"{path}: is no {form!r}: it has no such metadata key")
            about = json.loads(metadata[form])
            # copied, since a file does not align tensors: some processors then round otherwise
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        expected = about.pop(DIGEST, None)
    except InputError:
        raise
    except (OSError, SafetensorError, ValueError, AttributeError, TypeError, RecursionError) as fault:
        raise InputError(f"{path}: cannot be read ({' '.join(str(fault).split())[:200]})") from None
    if expected is not None and expected != _digest(tensors, about):
        raise InputError(f"{path}: is damaged: its content does not match its digest")
    return tensors, about


def _is_of(path: Path, form: str) -> bool:
    try:
        with safe_open(path, "pt") as file:
            return form in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def _digest(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
