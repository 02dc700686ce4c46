"""Acquisition functions: probabilities to a score per pixel, larger = ask sooner.

Every function takes probabilities `p` `(…, M, N, C)` of M networks at N pixels over C classes and returns scores
`(…, N)`, finite for every valid input. A pixel's score depends on no other pixel, so tiles do not change it.
Functions that compare members are in `lowpix.reveal.bayesian`.
"""

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from traceback import extract_tb

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lowpix.errors import InputError
from lowpix.reveal.bayesian import (
    bald,
    balent,
    consensus_entropy,
    mean_of_members,
    mean_std,
    power_bald,
    variation_ratio,
    vote_entropy,
)
from lowpix.reveal.selection import spaced, stratified


def entropy(p: torch.Tensor) -> torch.Tensor:
    """H(m) = −Σ_c m_c ln m_c of the ensemble mean m (Shannon 1948), in nats: 0 (certain) to ln C."""
    terms: torch.Tensor = torch.special.entr(mean_of_members(p))
    return terms.sum(-1)


def least_confidence(p: torch.Tensor) -> torch.Tensor:
    """1 − max_c m_c (Lewis and Gale 1994): the chance that the predicted class is wrong, 0 to 1 − 1/C."""
    return 1 - mean_of_members(p).amax(-1)


def margin(p: torch.Tensor) -> torch.Tensor:
    """−(m₁ − m₂) of the two largest mean probabilities (Scheffer et al. 2001): −1 (certain) to 0 (a tie)."""
    largest, second = mean_of_members(p).topk(2, -1).values.unbind(-1)
    return second - largest


def random(p: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The noise itself, `(…, N)` uniform in [0, 1), drawn once a round: all pixels are equally likely."""
    return noise


def error_depth(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How deep each pixel lies inside a wrongly labelled region. This is privileged, because it reads the truth.

    The depth is the chessboard distance to the nearest pixel that is right, has another true class, or lies
    outside the image. The centre of the largest mistake comes first. The taxicab distance, scaled under 1, breaks
    ties.

    Args:
        prediction: `(H, W)` class ids.
        truth: `(H, W)` class ids. To leave a pixel out (void, revealed), give it its predicted class.

    Returns:
        `(H, W)` float32, in pixels; 0 where the prediction is right.
    """
    depth = np.zeros(truth.shape, np.float32)
    wrong = prediction != truth
    # each class is computed only inside the bounding box of its mistakes
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
    """A way to choose pixels by `score`, by `spread` or by the true labels, and the inputs that it needs."""

    name: str
    score: Callable[..., torch.Tensor] | None = None
    """A function of probabilities `(…, M, N, C)` and, if `noisy`, of noise `(…, N)`, uniform in [0, 1)."""
    noisy: bool = False
    members: bool = False
    """Whether `score` reads each member. Otherwise it gets the ensemble mean as M = 1."""
    least_members: int = 1
    """Minimum number of members."""
    spread: Callable[..., NDArray[np.int64]] | None = None
    """A selection without scores: a function of (askable, asked, count, draw) as in `lowpix.reveal.selection`."""
    facility: bool = False
    """Whether the first pixels are chosen by facility location (`lowpix.reveal.facility`), weighted by `score`."""
    privileged: bool = False
    """Whether it reads the true label map, so that no person could choose this way."""
    source: str = ""
    """A digest of the source of the user's own function, without what it calls; otherwise empty."""


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
        Acquisition("facility", margin, facility=True),
        _comparing("bald", bald),
        _comparing("mean_std", mean_std),
        _comparing("variation_ratio", variation_ratio),
        _comparing("vote_entropy", vote_entropy),
        _comparing("consensus_entropy", consensus_entropy),
        _comparing("power_bald", power_bald, noisy=True),
        _comparing("balent", balent),
        Acquisition("error_depth", privileged=True),
    )
}


def find_acquisition(name: str) -> Acquisition:
    """The registered acquisition of this name, or the user's own function given as `module:function`.

    The user's function takes the probabilities `(M, n, C)` of all members (also if M = 1) for a tile of n pixels.
    It returns finite floating-point scores `(n,)`, larger = ask sooner. Its module may lie in the current
    directory, as under `python -m`. The acquisition is named `module.function`.

    Raises:
        InputError: the name is not registered (the message lists the registered names), or the module or function
            does not exist or cannot be imported. `score` raises it if the function returns anything else.
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
    name, source = f"{module}.{function}", _source_digest(score)
    return Acquisition(name, partial(_checked, score, option), members=True, source=source)


def own_sources(names: Iterable[str]) -> dict[str, str]:
    """The digests of the user's own acquisition functions among these, by name."""
    acquisitions = map(find_acquisition, names)
    return {acquisition.name: acquisition.source for acquisition in acquisitions if acquisition.source}


def _source_digest(function: Callable[..., object]) -> str:
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # not written in Python, or an object without a source
        return ""


@contextmanager
def _current_directory_first() -> Iterator[None]:
    """Make modules in the current directory importable, as under `python -m`."""
    before = sys.path.copy()
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def _checked(function: Callable[[torch.Tensor], object], option: str, p: torch.Tensor) -> torch.Tensor:
    """The scores of the user's function for `p`. Raises InputError if it fails, or if they are not valid."""
    try:
        scores = function(p)
    except (Exception, SystemExit) as fault:
        place = extract_tb(fault.__traceback__)[:2][-1]  # in the user's function, if it is written in Python
        what = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
        raise InputError(f"{option}: raised {what} ({place.filename}, line {place.lineno})") from fault
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
