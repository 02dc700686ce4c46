"""Where networks are trained, and in which precision."""

import re

import torch

from lowpix.errors import InputError


def find_device(name: str) -> torch.device:
    """The device of `--device`: auto, cpu, cuda or cuda:1. Raises InputError where there is none of that name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?", name):
        raise InputError(f"--device {name}: must be auto, cpu, cuda or cuda:1")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which products are bfloat16 where the device multiplies it faster than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 are faster than those of float32: elsewhere they are emulated, and slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
