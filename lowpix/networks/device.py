"""The device on which networks are trained, the precision of their products, and the kind of machine."""

import platform
import re
from functools import cache
from pathlib import Path

import torch

from lowpix.errors import InputError


def find_device(name: str) -> torch.device:
    """The device that `--device` names: auto, cpu, cuda or cuda:1. Raises InputError if there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?", name):
        raise InputError(f"--device {name}: must be auto, cpu, cuda or cuda:1")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context that computes products in bfloat16 if that is faster than float32 on the device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device))


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32. Devices that emulate them are slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def precision(device: torch.device) -> str:
    """The precision of the fastest products on a device: bfloat16 or float32."""
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def machine(device: torch.device) -> str:
    """The kind of machine that a run is made on: its processor, and the precision of its fastest products.

    The default network is evaluated in this precision; mlp_float32, gp and unet of an image are in float32.

    Machines of one kind give the same tables bit for bit. On another kind a run takes another path after the first
    few choices, because some probabilities differ in the last bits.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return f"{name}, {precision(device)}"


@cache
def processor() -> str:
    """The kind of processor of this machine. Its family and model tell more than a name like `AMD EPYC`."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    if "model name" not in about:
        return platform.machine()
    number = ", model ".join(about[key] for key in ("cpu family", "model") if key in about)
    return f"{about['model name']} (family {number})" if number else about["model name"]
