"""The fused evaluation of PixelMLP: what plain tensors give, and what happens where it fails.

The kernel runs on the GPU if there is one, else in Triton's interpreter, else not at all; its place in a session
is tested everywhere, with other kernels.
"""

import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from network_samples import plain_mean

from lowpix.networks import PixelMLP, UNet
from lowpix.networks.fused_mlp import MOST_CLASSES, Fused, find_kernel, launch
from lowpix.networks.learner import train
from lowpix.networks.network import Parameters
from lowpix.reveal.acquisition import entropy, least_confidence, margin
from lowpix.reveal.session import ImageSession, fit

INTERPRETED = not torch.cuda.is_available()
if INTERPRETED and find_spec("triton"):
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported

DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
FEATURES = 71
SCORES = {"margin": margin, "entropy": entropy, "least_confidence": least_confidence}
SIZE = (13, 21)  # two blocks of pixels and a part of one


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("triton")
    if INTERPRETED:
        _multiply_bfloat16(monkeypatch)
    return find_kernel()


def _multiply_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter keeps bfloat16 as integers, and multiplies those: make it multiply the numbers."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    multiply = InterpreterBuilder.create_dot

    def of_numbers(self: Any, left: Any, right: Any, *rest: Any) -> Any:
        if left.dtype.scalar == tl.bfloat16:
            left, right = (self.cast_impl(one, tl.float32) for one in (left, right))
        return multiply(self, left, right, *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", of_numbers)


def sample(pixels: int, classes: int, members: int) -> tuple[Parameters, torch.Tensor]:
    """Random parameters, no bias of them 0, and features."""
    draw = torch.Generator().manual_seed(classes)
    inputs = torch.randn(pixels, FEATURES, generator=draw)
    parameters = PixelMLP().initial(inputs, classes, members, draw)
    moved = {name: value + 0.2 * torch.randn(value.shape, generator=draw) for name, value in parameters.items()}
    return {name: value.to(DEVICE) for name, value in moved.items()}, inputs.to(DEVICE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("pixels", [1, 128, 300])
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", [2, 11, 40])
def test_kernel_gives_what_plain_float64_gives(
    kernel: Any, classes: int, members: int, pixels: int, dtype: torch.dtype
) -> None:
    parameters, inputs = sample(pixels, classes, members)
    inputs = inputs.to(dtype)
    mean = plain_mean(parameters, inputs)
    close = {"rtol": 0, "atol": 5e-6 if dtype == torch.float32 else 0.05}
    for name, score in SCORES.items():
        labels, confidence, scores = launch(kernel, parameters, inputs, name)
        assert (labels.dtype, confidence.dtype, scores.dtype) == (torch.uint8, torch.float32, torch.float32)
        assert labels.shape == confidence.shape == scores.shape == (pixels,)
        of_label = mean.gather(1, labels.long()[:, None])[:, 0]
        torch.testing.assert_close(of_label, mean.amax(1), **close)  # the same label, but for near ties
        torch.testing.assert_close(confidence.double(), mean.amax(1), **close)
        more = 1 + (name == "entropy") * np.log(classes)  # a slip in every probability adds up
        expected = score(mean[None])
        torch.testing.assert_close(scores.double(), expected, rtol=0, atol=close["atol"] * more)


def test_kernel_without_a_score(kernel: Any) -> None:
    parameters, inputs = sample(300, 5, 2)
    plain, scored = (launch(kernel, parameters, inputs, name) for name in (None, "margin"))
    assert all(torch.equal(a, b) for a, b in zip(plain[:2], scored[:2], strict=True))


def test_kernel_is_sure_where_one_class_is(kernel: Any) -> None:
    """Saturated members: nothing overflows, and no score is NaN."""
    parameters, inputs = sample(130, 3, 2)
    parameters["bias3"][:, 1] = 1e4
    for name in SCORES:
        labels, confidence, scores = launch(kernel, parameters, inputs, name)
        assert (labels == 1).all()
        assert (confidence == 1).all()
        assert (scores.abs() == (name == "margin")).all()


def session(acquisition: str = "margin", classes: int = 3, **options: Any) -> ImageSession:
    """Of noise, with six pixels revealed and trained."""
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    plain = {"acquisition": acquisition, "smoothing": "none", "device": DEVICE}
    one = ImageSession(image, np.ones(SIZE, np.bool_), classes, **plain | options)
    one.inputs = one.inputs.float()
    one.tell(np.argwhere(np.ones(SIZE))[::50], np.arange(6, dtype=np.uint8) % classes)
    fit([one])
    return one


def fused_by(kernel: Any, device: str = DEVICE.type, dtype: torch.dtype = torch.float32) -> Fused:
    """Evaluation of float32 features on this device by this kernel."""
    return Fused(lambda: kernel, device, dtype)


def served(monkeypatch: pytest.MonkeyPatch, kernel: Any) -> Fused:
    """Have sessions ask it first."""
    fused = fused_by(kernel)
    monkeypatch.setattr("lowpix.reveal.session.evaluate", fused.evaluate)
    return fused


class Kernel:
    """Called as Triton's are; counts, and does what `write(labels, confidence, scores)` does."""

    def __init__(self, write: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object]) -> None:
        self.write = write
        self.launches = 0

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        assert grid == (3,)

        def launch(*arguments: Any, **options: Any) -> None:
            self.launches += 1
            self.write(*arguments[7:10])

        return launch


@pytest.mark.parametrize("acquisition", ["margin", "entropy", "least_confidence", "error_depth"])
def test_a_session_predicts_as_on_the_plain_path(
    monkeypatch: pytest.MonkeyPatch, kernel: Any, acquisition: str
) -> None:
    options: dict[str, Any] = {"truth": np.zeros(SIZE, np.uint8)} if acquisition == "error_depth" else {}
    one = session(acquisition, **options)
    plain, plain_scores = one.predict(), one.scores
    by = served(monkeypatch, kernel)
    fused, fused_scores = one.predict(), one.scores
    assert by.trusted
    assert len(by.compared) == 1
    assert np.array_equal(fused.labels, plain.labels)
    np.testing.assert_allclose(fused.confidence, plain.confidence, atol=1e-5)
    np.testing.assert_allclose(fused_scores, plain_scores, atol=1e-5)


def judged(one: ImageSession) -> list[torch.Tensor]:
    """Labels, confidence and scores `(N,)` of a session on its device."""
    prediction = one.predict()
    assert one.scores is not None
    return [
        torch.from_numpy(plane).ravel().to(DEVICE)
        for plane in (prediction.labels, prediction.confidence, one.scores)
    ]


def broken(*tensors: torch.Tensor) -> None:
    raise RuntimeError("no register\nis left")


def wrong_labels(labels: torch.Tensor, confidence: torch.Tensor, scores: torch.Tensor) -> None:
    labels.fill_(200)


def wrong_probabilities(labels: torch.Tensor, confidence: torch.Tensor, scores: torch.Tensor) -> None:
    for tensor, right in zip((labels, confidence, scores), RIGHT, strict=True):
        tensor.copy_(right)
    confidence[-1] = float("nan")


def wrong_scores(labels: torch.Tensor, confidence: torch.Tensor, scores: torch.Tensor) -> None:
    for tensor, right in zip((labels, confidence, scores), RIGHT, strict=True):
        tensor.copy_(right)
    scores *= 0.9


RIGHT: list[torch.Tensor] = []


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (broken, r"RuntimeError: no register is left$"),
        (wrong_labels, r"a label is 200 with 3 classes$"),
        (wrong_probabilities, r"a probability differs from the plain one by up to nan, nan on average$"),
        (wrong_scores, r"a score differs from the plain one by up to 0\.\d+, 0\.\d+ on average$"),
    ],
)
def test_a_kernel_that_fails_warns_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., None], says: str
) -> None:
    one = session()
    plain = judged(one)
    RIGHT[:] = plain
    kernel = Kernel(write)
    served(monkeypatch, kernel)
    with pytest.warns(UserWarning, match=says) as caught:
        first = judged(one)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = judged(one)
    for again in (first, second):
        assert all(torch.equal(a, b) for a, b in zip(again, plain, strict=True))
    assert kernel.launches == 1


def test_what_a_trusted_kernel_says_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one = session()
    RIGHT[:] = judged(one)
    shade = [0.0]

    def write(*tensors: torch.Tensor) -> None:
        for tensor, right in zip(tensors, RIGHT, strict=True):
            tensor.copy_(right)
        tensors[1].add_(shade[0])

    served(monkeypatch, Kernel(write))
    one.predict()  # compared
    shade[0] = 5
    assert (one.predict().confidence > 5).all()  # not compared again


@pytest.mark.parametrize(
    ("network", "classes", "options"),
    [
        (PixelMLP(), 3, {"device": "none such"}),
        (PixelMLP(), 3, {"dtype": torch.bfloat16}),
        (PixelMLP(), MOST_CLASSES + 1, {}),
        (PixelMLP(), 3, {"kernel": None}),
        (UNet(), 3, {}),
    ],
    ids=["device", "float32", "classes", "no Triton", "network"],
)
def test_elsewhere_the_plain_path_serves(network: Any, classes: int, options: dict[str, Any]) -> None:
    kernel = Kernel(broken)
    fused = fused_by(**{"kernel": kernel} | options)
    assert fused.evaluate(network, *sample(300, classes, 2), margin) is None
    assert not kernel.launches
    assert fused.trusted


@pytest.mark.parametrize(
    "options", [{"acquisition": "bald"}, {"acquisition": "random"}, {"dropout": 0.5, "samples": 3}]
)
def test_the_plain_path_serves_what_needs_more_than_the_mean(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    kernel = Kernel(broken)
    served(monkeypatch, kernel)
    session(**options).predict()
    assert not kernel.launches


def test_other_scores_are_left_to_the_plain_path() -> None:
    kernel = Kernel(broken)
    assert fused_by(kernel).evaluate(PixelMLP(), *sample(300, 3, 2), lambda p: p.amax((-3, -1))) is None
    assert not kernel.launches


@pytest.mark.skipif(INTERPRETED, reason="needs a CUDA device")
def test_on_a_gpu_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch, kernel: Any) -> None:
    """But for the first comparison: no copy, no question, in evaluation and in training."""
    fused = Fused(lambda: kernel)
    monkeypatch.setattr("lowpix.reveal.session.evaluate", fused.evaluate)
    one = session()
    one.inputs = one.inputs.bfloat16()
    one.predict()
    assert len(fused.compared) == 1
    pixels, answers = one.training_rows()
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert fused.evaluate(one.network, one.learner.parameters, one.inputs, margin)
        train(one.network, [one.learner], [one.network.rows(one.inputs, pixels)], [answers], 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
