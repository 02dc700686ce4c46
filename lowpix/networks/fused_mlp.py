"""`PixelMLP` evaluated in one pass on a CUDA device: features in; labels, confidence and scores out.

The plain path writes every layer of every member to memory and reads it back. The fused kernel reads the features
once and keeps all else in registers. Triton, which comes with CUDA builds of torch, compiles the kernel. Compilers
and GPUs differ, so the first result of each kind is compared with the plain path. After an error or a mismatch the
rest of the process uses the plain path.
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

SCORES = (None, "margin", "entropy", "least_confidence")  # of `lowpix.reveal.acquisition`; None computes no scores
MOST_CLASSES = 64  # limit for keeping the mean probabilities of a block of pixels in registers
BLOCK, WARPS, STAGES = 128, 8, 2  # pixels and warps per GPU program; stages of its pipelined loop over members
# Largest allowed differences between the two paths in bfloat16, in any pixel and on average. Trained networks
# differ by 0.02 and 0.001, single random ones by 0.04 and 0.01. One wrong matrix gives 1 and 0.3.
ANYWHERE, ON_AVERAGE = 0.15, 0.02


class Fused:
    """Evaluation with a kernel, until it fails once.

    Args:
        find_kernel: returns the kernel, or None if there is none. It is called only when a kernel is needed.
        device: type of device on which the kernel runs.
        dtype: dtype of the features for which the kernel is used.
    """

    def __init__(
        self, find_kernel: Callable[[], Any | None], device: str = "cuda", dtype: torch.dtype = torch.bfloat16
    ) -> None:
        self.find_kernel = find_kernel
        self.device = device
        self.dtype = dtype
        self.trusted = True
        self.compared: set[object] = set()
        """Kinds of results that were already compared with the plain path."""

    def evaluate(
        self, network: Network, parameters: Parameters, inputs: torch.Tensor, score: Score | None
    ) -> Judged | None:
        """Labels, confidence and scores of every pixel from the ensemble mean, or None: then use the plain path.

        The kernel serves a `PixelMLP` on `device`, features of `dtype`, the scores in SCORES and at most
        MOST_CLASSES classes. After the first error or mismatch it warns once and is not used again.

        Args:
            network: the network of these parameters.
            parameters: of one session, each `(M, …)` float32.
            inputs: `(N, F)`, the result of `network.inputs`.
            score: a function of mean probabilities `(1, N, C)` with a name in SCORES, or None.

        Returns:
            Labels `(N,)` uint8, largest mean probabilities `(N,)` float32, 0 to 1, and scores `(N,)` float32,
            which are undefined if `score` is None. Only the first comparison of a kind waits for the device.
        """
        if not (self.trusted and isinstance(network, PixelMLP) and inputs.device.type == self.device):
            return None
        name = None if score is None else getattr(score, "__name__", "")
        members, classes = parameters["bias3"].shape[:2]
        if inputs.dtype != self.dtype or classes > MOST_CLASSES or name not in SCORES:
            return None
        try:
            kernel = self.find_kernel()
            if kernel is None:
                return None
            judged = launch(kernel, parameters, inputs, name)
            kind = inputs.device, members, classes, name
            if kind not in self.compared:
                _compare(judged, network, parameters, inputs, score)
                self.compared.add(kind)
            return judged
        except Exception as fault:  # compilers and drivers raise exceptions of many kinds
            self.trusted = False
            what = " ".join(f"{type(fault).__name__}: {fault}".split())
            warnings.warn(f"the fused kernel failed, so networks are evaluated more slowly: {what}", stacklevel=2)
            return None


def launch(kernel: Any, parameters: Parameters, inputs: torch.Tensor, score: str | None) -> Judged:
    """Like `evaluate`, with this kernel and without checks. Inputs may also be float32."""
    members, width, features = parameters["weight1"].shape
    classes = parameters["bias3"].shape[1]
    sizes = [_padded_size(size) for size in (features, width, width, classes)]
    tensors = [inputs.contiguous()]
    for layer, (columns, rows) in enumerate(pairwise(sizes), 1):
        weight, bias = parameters[f"weight{layer}"], parameters[f"bias{layer}"][..., 0]
        weight = pad(weight, (0, columns - weight.shape[2], 0, rows - weight.shape[1]))
        # bias −inf gives padding classes probability 0; padding units have weight 0 in the next layer
        padding = float("-inf") if layer == 3 else 0.0
        tensors += [weight.to(inputs.dtype), pad(bias, (0, rows - bias.shape[1]), value=padding).contiguous()]
    pixels = len(inputs)
    labels = inputs.new_empty(pixels, dtype=torch.uint8)
    confidence, scores = inputs.new_empty(2, pixels, dtype=torch.float32)
    with torch.cuda.device(inputs.get_device()):
        kernel[(-(-pixels // BLOCK),)](
            *(*tensors, labels, confidence, scores, pixels, features),
            *(score, members, BLOCK, sizes[0], sizes[1], sizes[3]),
            num_warps=WARPS,
            num_stages=STAGES,
        )
    return labels, confidence, scores


def _padded_size(size: int) -> int:
    """The next power of two, at least 16, as Triton's matrix products require."""
    return max(16, 1 << (size - 1).bit_length())


@cache
def find_kernel() -> Any | None:
    """The kernel, or None without Triton."""
    try:
        from lowpix.networks.fused_kernel import judge
    except ImportError:
        return None
    return judge


def _compare(
    judged: Judged, network: Network, parameters: Parameters, inputs: torch.Tensor, score: Score | None
) -> None:
    """Raise ArithmeticError if the first tile differs from the plain path by more than rounding."""
    where, logits = next(iter(network.tiles(parameters, inputs)))
    mean = logits.float().softmax(1).mean(0)  # (C, n)
    labels, confidence, scores = (result[where] for result in judged)
    largest = mean.amax(0)
    # clamped, because a wrong label may be out of range
    chosen = mean.gather(0, labels.long().clamp(max=len(mean) - 1)[None])[0]
    errors = {"a label": largest - chosen, "a probability": confidence - largest}
    if score is not None:
        errors["a score"] = scores - score(mean.T[None])
    if int(labels.max()) >= len(mean):
        raise ArithmeticError(f"a label is {int(labels.max())} with {len(mean)} classes")
    for what, error in errors.items():
        worst, average = float(error.abs().max()), float(error.abs().mean())
        if not (worst <= ANYWHERE and average <= ON_AVERAGE):  # this form also fails for NaN
            raise ArithmeticError(
                f"{what} differs from the plain one by up to {worst:.2g}, {average:.2g} on average"
            )


evaluate = Fused(find_kernel).evaluate
"""Shared by the whole process: after one failure, all sessions use the plain path."""
