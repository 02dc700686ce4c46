"""Which pixel to ask for: functions from probabilities to a score per pixel, larger = ask sooner.

Every function takes probabilities `p` `(…, M, N, C)` of M networks at N pixels over C classes and returns scores
`(…, N)`, finite for every valid input. A pixel's score depends on no other pixel, so tiles change nothing. Those
that compare members are in `lowpix.reveal.bayesian`.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lowpix.errors import InputError
from lowpix.reveal.bayesian import bald, balent, mean_of_members, mean_std, power_bald, variation_ratio
from lowpix.reveal.selection import spaced, stratified


def entropy(p: torch.Tensor) -> torch.Tensor:
    """H(m) = −Σ_c m_c ln m_c of the members' mean m (Shannon 1948), in nats: 0 (certain) to ln C."""
    terms: torch.Tensor = torch.special.entr(mean_of_members(p))
    return terms.sum(-1)


def least_confidence(p: torch.Tensor) -> torch.Tensor:
    """1 − max_c m_c (Lewis and Gale 1994): the chance that the predicted class is wrong, 0 to 1 − 1/C."""
    return 1 - mean_of_members(p).amax(-1)


def margin(p: torch.Tensor) -> torch.Tensor:
    """−(m₁ − m₂), the two largest mean probabilities (Scheffer et al. 2001): −1 (certain) to 0 (a tie)."""
    largest, second = mean_of_members(p).topk(2, -1).values.unbind(-1)
    return second - largest


def random(p: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The noise itself, `(…, N)` uniform in [0, 1) and drawn once a round: every pixel is as likely."""
    return noise


def error_depth(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How deep inside a wrongly labelled region each pixel lies; privileged, since it reads the truth.

    The chessboard distance to the nearest pixel that is right, of another true class, or outside the image,
    so the centre of the largest mistake comes first; the taxicab distance, scaled under 1, breaks ties.

    Args:
        prediction: `(H, W)` class ids.
        truth: `(H, W)` class ids. To leave a pixel out (void, revealed), give it its predicted class.

    Returns:
        `(H, W)` float32, in pixels; 0 where the prediction is right.
    """
    depth = np.zeros(truth.shape, np.float32)
    wrong = prediction != truth
    # one class at a time and only where it errs: slices of the boxes that hold each class's mistakes
    boxes = ndimage.find_objects(np.where(wrong, truth.astype(np.int32) + 1, 0))
    for label, box in enumerate(boxes):
        if box is None:
            continue
        errors = np.pad(wrong[box] & (truth[box] == label), 1)
        chessboard = ndimage.distance_transform_cdt(errors, "chessboard")
        taxicab = ndimage.distance_transform_cdt(errors, "taxicab")
        inside = (chessboard + taxicab / (taxicab.max() + 1))[1:-1, 1:-1]
        np.maximum(depth[box], inside.astype(np.float32), out=depth[box])
    return depth


@dataclass(frozen=True)
class Acquisition:
    """A way to choose pixels, by `score`, by `spread` or by the true labels, and what it must be given."""

    name: str
    score: Callable[..., torch.Tensor] | None = None
    """Of probabilities `(…, M, N, C)`, and of noise `(…, N)`, uniform in [0, 1), where `noisy`."""
    noisy: bool = False
    members: bool = False
    """Whether it reads each member for itself; the others are given the members' mean as M = 1."""
    least_members: int = 1
    """Below so many there is nothing to compare."""
    spread: Callable[..., NDArray[np.int64]] | None = None
    """A selection that needs no scores: of (askable, asked, count, draw), as in `lowpix.reveal.selection`."""
    privileged: bool = False
    """Whether it reads the true label map, so that no person could choose so."""


def _comparing(name: str, score: Callable[..., torch.Tensor], noisy: bool = False) -> Acquisition:
    return Acquisition(name, score, noisy, members=True, least_members=2)


ACQUISITIONS = {
    acquisition.name: acquisition
    for acquisition in (
        Acquisition("random", random, noisy=True),
        Acquisition("stratified", spread=stratified),
        Acquisition("spaced", spread=spaced),
        Acquisition("entropy", entropy),
        Acquisition("least_confidence", least_confidence),
        Acquisition("margin", margin),
        _comparing("bald", bald),
        _comparing("mean_std", mean_std),
        _comparing("variation_ratio", variation_ratio),
        _comparing("power_bald", power_bald, noisy=True),
        _comparing("balent", balent),
        Acquisition("error_depth", privileged=True),
    )
}


def find_acquisition(name: str) -> Acquisition:
    """The registered acquisition of this name, or a function of the user's own given as `module:function`.

    A function of one's own takes the probabilities `(M, n, C)` of all members, M = 1 included, for a tile of n
    pixels and returns floating, finite scores `(n,)`, larger = ask sooner. Its module is imported as by `python
    -m`: the current directory counts. It is known as `module.function`.

    Raises:
        InputError: nothing is registered under the name (the message lists what is), or there is no such module or
            function, or importing it fails. `score` raises it when the function returned something else.
    """
    if ":" in name:
        return _own(name)
    if name not in ACQUISITIONS:
        known = ", ".join(ACQUISITIONS)
        raise InputError(
            f"--acquisition {name}: unknown; choose from {known}, or give your own as module:function"
        )
    return ACQUISITIONS[name]


def _own(name: str) -> Acquisition:
    """The user's own function as an acquisition."""
    module, _, function = name.partition(":")
    option = f"--acquisition {name}"
    if not (function.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise InputError(f"{option}: must be module:function, both as in Python, without .py")
    try:
        with _current_directory_first():
            score = getattr(importlib.import_module(module), function, None)
    except (Exception, SystemExit) as fault:
        if isinstance(fault, ModuleNotFoundError) and f"{module}.".startswith(f"{fault.name}."):
            raise InputError(f"{option}: no module {fault.name} in {os.getcwd()} or installed") from None
        what = " ".join(f"{type(fault).__name__}: {fault}".split())
        raise InputError(f"{option}: importing {module} raised {what}") from fault
    if score is None:
        raise InputError(f"{option}: {module} has no function {function}")
    if not callable(score):
        raise InputError(f"{option}: {function} is a {type(score).__name__}, not a function")
    return Acquisition(f"{module}.{function}", partial(_checked, score, option), members=True)


@contextmanager
def _current_directory_first() -> Iterator[None]:
    """Modules of the current directory can be imported, as under `python -m`."""
    before = sys.path.copy()
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def _checked(function: Callable[[torch.Tensor], object], option: str, p: torch.Tensor) -> torch.Tensor:
    """What the user's function says of `p`, if those are scores."""
    scores = function(p)
    shape = (*p.shape[:-3], p.shape[-2])
    if not isinstance(scores, torch.Tensor):
        raise InputError(f"{option}: returned a {type(scores).__name__}; must be a torch tensor")
    if scores.shape != shape:
        raise InputError(f"{option}: returned {tuple(scores.shape)}; must be one score a pixel, {shape}")
    if not scores.is_floating_point():
        raise InputError(f"{option}: returned {scores.dtype}; must be floating")
    if not scores.isfinite().all():
        bad = int((~scores.isfinite()).sum())
        raise InputError(f"{option}: {bad} of {scores.numel()} scores are not finite; all must be")
    return scores
