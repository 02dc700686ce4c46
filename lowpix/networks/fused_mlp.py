"""`PixelMLP` evaluated in one pass on a CUDA device: features in; labels, confidence and scores out.

Plain tensors write every layer of every member to memory and read it back; here a program of the GPU reads the
features of its pixels once and keeps all else to itself. Triton, which comes with CUDA builds of torch, compiles
it. Compilers and GPUs differ: the first result of each kind is compared with the plain path, and after an error
or a mismatch the plain path serves for the rest of the process.
"""

import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import pad

from lowpix.networks.network import Network, Parameters
from lowpix.networks.pixel_mlp import PixelMLP

Judged = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Score = Callable[[torch.Tensor], torch.Tensor]

DEVICE, DTYPE = "cuda", torch.bfloat16  # of the features: elsewhere products of bfloat16 are not fast
SCORES = (None, "margin", "entropy", "least_confidence")  # of `lowpix.reveal.acquisition`; None leaves them out
MOST_CLASSES = 64  # mean probabilities of a block of pixels stay in registers
BLOCK, WARPS, STAGES = 128, 8, 2  # pixels of a program, its warps, members whose weights are on their way to it
# by how much two paths in bfloat16 may differ, in any pixel and on average: trained networks do by 0.02 and 0.001,
# single random ones by 0.04 and 0.01; one wrong matrix makes it 1 and 0.3
ANYWHERE, ON_AVERAGE = 0.15, 0.02

_trusted = True
_compared: set[object] = set()


def evaluate(network: Network, parameters: Parameters, inputs: torch.Tensor, score: Score | None) -> Judged | None:
    """What the members' mean says of every pixel, or None where the plain path must find out.

    That is anywhere but on a CUDA device with Triton; for a network that is no `PixelMLP` in bfloat16; for another
    score; for more than MOST_CLASSES classes. An error or a mismatch is a warning, the first and only one.

    Args:
        network: whose parameters these are.
        parameters: of one session, each `(M, …)` float32.
        inputs: `(N, F)` bfloat16, what `network.inputs` gave.
        score: a function of mean probabilities `(1, N, C)` that bears a name in SCORES, or None.

    Returns:
        Labels `(N,)` uint8, largest mean probabilities `(N,)` float32, 0 to 1, and scores `(N,)` float32, without
        meaning where `score` is None. Nothing waits for the device but the first comparison of a kind.
    """
    global _trusted
    if not (_trusted and isinstance(network, PixelMLP) and inputs.device.type == DEVICE):
        return None
    name = None if score is None else getattr(score, "__name__", "")
    members, classes = parameters["bias3"].shape[:2]
    if inputs.dtype != DTYPE or classes > MOST_CLASSES or name not in SCORES:
        return None
    try:
        kernel = _kernel()
        if kernel is None:
            return None
        judged = launch(kernel, parameters, inputs, name)
        kind = inputs.device, members, classes, name
        if kind not in _compared:
            _compare(judged, network, parameters, inputs, score)
            _compared.add(kind)
        return judged
    except Exception as fault:  # whatever a compiler or a driver may raise: the plain path needs neither
        _trusted = False
        what = " ".join(f"{type(fault).__name__}: {fault}".split())
        warnings.warn(f"networks are evaluated in the slower, plain way; the fused one: {what}", stacklevel=2)
        return None


def launch(kernel: Any, parameters: Parameters, inputs: torch.Tensor, score: str | None) -> Judged:
    """As `evaluate`, by this kernel and unchecked; inputs may be float32 too."""
    members, width, features = parameters["weight1"].shape
    classes = parameters["bias3"].shape[1]
    rooms = [_room(size) for size in (features, width, width, classes)]
    tensors = [inputs.contiguous()]
    for layer, (columns, rows) in enumerate(pairwise(rooms), 1):
        weight, bias = parameters[f"weight{layer}"], parameters[f"bias{layer}"][..., 0]
        weight = pad(weight, (0, columns - weight.shape[2], 0, rows - weight.shape[1]))
        # padding: a class gets probability 0; a unit needs no care, since the next layer weighs it 0
        nothing = float("-inf") if layer == 3 else 0.0
        tensors += [weight.to(inputs.dtype), pad(bias, (0, rows - bias.shape[1]), value=nothing).contiguous()]
    pixels = len(inputs)
    labels = inputs.new_empty(pixels, dtype=torch.uint8)
    confidence, scores = inputs.new_empty(2, pixels, dtype=torch.float32)
    with torch.cuda.device(inputs.get_device()):
        kernel[(-(-pixels // BLOCK),)](
            *(*tensors, labels, confidence, scores, pixels, features),
            *(score, members, BLOCK, rooms[0], rooms[1], rooms[3]),
            num_warps=WARPS,
            num_stages=STAGES,
        )
    return labels, confidence, scores


def _room(size: int) -> int:
    """Matrix products of the kernel come in powers of two from 16."""
    return max(16, 1 << (size - 1).bit_length())


@cache
def _kernel() -> Any | None:
    """The kernel, or None where there is no Triton."""
    try:
        from lowpix.networks.fused_kernel import judge
    except ImportError:
        return None
    return judge


def _compare(
    judged: Judged, network: Network, parameters: Parameters, inputs: torch.Tensor, score: Score | None
) -> None:
    """Raise ArithmeticError unless the first tile is what the plain path gives, but for rounding."""
    where, logits = next(iter(network.tiles(parameters, inputs)))
    mean = logits.float().softmax(1).mean(0)  # (C, n)
    labels, confidence, scores = (one[where] for one in judged)
    largest = mean.amax(0)
    # a label that is none would be an index out of range
    chosen = mean.gather(0, labels.long().clamp(max=len(mean) - 1)[None])[0]
    errors = {"a label": largest - chosen, "a probability": confidence - largest}
    if score is not None:
        errors["a score"] = scores - score(mean.T[None])
    if int(labels.max()) >= len(mean):
        raise ArithmeticError(f"a label is {int(labels.max())} with {len(mean)} classes")
    for what, error in errors.items():
        worst, average = float(error.abs().max()), float(error.abs().mean())
        if not (worst <= ANYWHERE and average <= ON_AVERAGE):  # nor if not a number
            raise ArithmeticError(
                f"{what} differs from the plain one by up to {worst:.2g}, {average:.2g} on average"
            )
