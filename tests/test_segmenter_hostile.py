"""Folders and files of networks that mean harm, or are broken: refused in one line, and no code is run."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from dataset_runs import save_tiny_segformer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refused
from safetensors.torch import load_file, save_file

from lowpix.errors import InputError
from lowpix.segmenter.model import FORMAT, Model, build, load_model, model_file
from lowpix.weights import read_weights, weights_file

# Folders of transformers


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_segformer(tmp_path_factory.mktemp("segformer"), 3)


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


class Marking:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def pickle_alone(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Marking(mark)))


def archive_alone(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Marking(mark)}, folder / "pytorch_model.bin")


def pickle_by_another_name(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Marking(mark)))


def pickle_in_an_index(folder: Path, mark: Path) -> None:
    pickle_alone(folder, mark)
    index = {"metadata": {}, "weight_map": {"weight": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def code_of_an_unknown_model(folder: Path, mark: Path) -> None:
    code = f"import os\nos.mkdir({str(mark)!r})\nfrom transformers import SegformerConfig as Config"
    (folder / "evil.py").write_text(code)
    described = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    change(folder, described)


@pytest.mark.filterwarnings("ignore:Detected pickle")
@pytest.mark.parametrize(
    "spoil",
    [
        pickle_alone,
        archive_alone,
        pickle_by_another_name,
        pickle_in_an_index,
        code_of_an_unknown_model,
    ],
)
def test_no_code_of_a_folder_is_run(folder: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]) -> None:
    mark = tmp_path / "mark"
    spoil(folder, mark)
    with refused(f"--network hf:{folder}: "):
        build(f"hf:{folder}", 3, 0, False, 0)
    assert not mark.exists()


def test_code_beside_a_known_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    code_of_an_unknown_model(folder, tmp_path / "mark")
    change(folder, {"model_type": "segformer"})
    build(f"hf:{folder}", 3, 0, False, 0)
    assert not (tmp_path / "mark").exists()


def test_the_marks_of_these_tests_are_left_by_who_runs_the_code(tmp_path: Path) -> None:
    """The test itself."""
    pickle.loads(pickle.dumps(Marking(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def change(folder: Path, described: dict[str, Any]) -> None:
    """Other entries in config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | described))


@pytest.mark.parametrize("scratch", [False, True])
@pytest.mark.parametrize(
    "described",
    [
        {"hidden_sizes": "x"},
        {"hidden_sizes": []},
        {"hidden_sizes": [-1, 1, 1, 1]},
        {"hidden_sizes": [10**12] * 4},
        {"decoder_hidden_size": float("nan")},
        {"decoder_hidden_size": 10**11},
        {"num_encoder_blocks": 10**5},
        {"num_channels": 1},
        {"strides": [0, 0, 0, 0]},
        {"hidden_dropout_prob": float("nan")},
        {"hidden_act": "os.system"},
        {"id2label": [1]},
        {"model_type": None},
        {"model_type": "segformer" * 1000},
    ],
    ids=str,
)
def test_a_folder_of_no_network_for_photographs_is_refused(
    folder: Path, described: dict[str, Any], scratch: bool
) -> None:
    """Wrong types, huge numbers, and what builds a network that no image can pass."""
    change(folder, described)
    with refused(f"--network hf:{folder}: ") as raised:
        build(f"hf:{folder}", 3, 0, scratch, 0)
    assert str(raised.value).isprintable()


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file({name: value * float("nan") for name, value in weights.items()}, file, {"format": "pt"})
    with refused(f"--network hf:{folder}: ", "finite logits of 3 classes"):
        build(f"hf:{folder}", 3, 0, False, 0)


DEEP = 10_000


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "NaN", "{", "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "\udcff"],
    ids=["empty", "list", "null", "nan", "cut", "deep lists", "deep objects", "bytes"],
)
def test_a_file_of_a_folder_that_is_no_description_is_refused(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text, errors="surrogateescape")
    with refused(f"--network hf:{folder}: "):
        build(f"hf:{folder}", 3, 0, False, 0)


@pytest.mark.parametrize(
    "declared",
    [
        {"image_mean": "x"},
        {"image_mean": [0.5]},
        {"image_mean": [0.5] * 4, "image_std": [0.5] * 4},
        {"image_mean": [float("nan"), 1, 1]},
        {"image_mean": [1e300, 1, 1]},
        {"image_mean": [0.5] * 3, "image_std": [0, 1, 1]},
        {"image_mean": [0.5] * 3, "image_std": [-1, 1, 1]},
        {"image_mean": [0.5] * 3, "image_std": [float("inf"), 1, 1]},
        {"rescale_factor": 0},
        {"rescale_factor": "x"},
        {"rescale_factor": 1e-320},
    ],
    ids=str,
)
def test_what_no_image_can_be_normalised_by_is_refused(folder: Path, declared: dict[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(declared))
    with refused(f"--network hf:{folder}: "):
        build(f"hf:{folder}", 3, 0, False, 0)


# Model files


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> dict[str, Path]:
    """A model file of each kind of network."""
    found = {}
    for kind, name in (("unet", "unet"), ("hf", f"hf:{tiny}")):
        network = build(name, 3, 2, False, 0)
        model = Model(network, ("a", "b", "c"), torch.arange(9).reshape(3, 3).byte().numpy(), 0.5, (24, 32))
        found[kind] = tmp_path_factory.mktemp(kind) / "0.safetensors"
        found[kind].write_bytes(model_file(model))
    return found


numbers = st.floats() | st.integers() | st.sampled_from([0, -1, 1e308, 10**30, float("nan"), float("inf")])
anything = st.recursive(
    numbers | st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
KEYS = ["description", "classes", "palette", "scale", "size", "mean", "std"]


def read(kind: str, models: dict[str, Path], keys: list[str], value: Any) -> Model | None:
    """The model in a file with another value at a place of its metadata; None if it is refused in one line."""
    tensors, about = read_weights(models[kind], FORMAT)
    inner = about
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    with TemporaryDirectory() as folder:
        file = Path(folder, "x.safetensors")
        file.write_bytes(weights_file(tensors, FORMAT, about))
        try:
            return load_model(file)
        except InputError as fault:
            said = str(fault)
    assert said.startswith((f"{file}: ", "--network hf:"))
    assert said.isprintable()
    return None


@settings(max_examples=150)
@given(st.sampled_from(["unet", "hf"]), st.sampled_from(KEYS), anything)
@example("unet", "scale", float("nan"))
@example("unet", "scale", 1e300)
@example("unet", "size", [10**30, 1])
@example("unet", "palette", [[0, 0, float("nan")]] * 3)
@example("unet", "palette", [[0, 0, 256]] * 3)
@example("unet", "classes", ["a\nb", "b", "c"])
@example("unet", "description", {"network": "unet", "classes": 10**9, "width": 10**9})
@example("unet", "description", {"network": "unet", "classes": 3, "width": float("nan")})
def test_any_metadata_of_a_model_is_read_or_refused(
    models: dict[str, Path], kind: str, key: str, value: Any
) -> None:
    model = read(kind, models, [key], value)
    if model is not None:
        assert (len(model.classes), model.palette.shape) == (3, (3, 3))
        assert all(name.isprintable() for name in model.classes)
        assert 0 < model.scale < 2000
        assert all(side >= 1 for side in model.size)


@settings(max_examples=60)
@given(st.sampled_from(["mean", "std", "bgr", "config", "network"]), anything)
@example("mean", [float("nan")] * 3)
@example("std", [0.0] * 3)
@example("std", [1e-320] * 3)
@example("config", {"model_type": "segformer", "hidden_sizes": [10**12] * 4})
@example("config", {})
def test_any_description_of_a_network_of_transformers_is_read_or_refused(
    models: dict[str, Path], key: str, value: Any
) -> None:
    model = read("hf", models, ["description", key], value)
    if model is not None:
        with torch.no_grad():
            assert model.network(torch.zeros(1, 3, 64, 64)).isfinite().all()
