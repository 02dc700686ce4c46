"""What is shown to a reader must run: the README's example, the notebooks, the studies' files."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lowpix.image_study import Options

ROOT = Path(__file__).parents[1]


def test_readme_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(example.replace("range(30)", "range(12)"), names)
    labels, truth = names["labels"], names["truth"]
    assert isinstance(labels, np.ndarray)
    assert isinstance(truth, np.ndarray)
    commonest = np.bincount(truth[truth != 255]).max() / np.count_nonzero(truth != 255)
    assert np.mean(labels[truth != 255] == truth[truth != 255]) > commonest


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("study", sorted((ROOT / "studies").glob("*_image.toml")), ids=lambda path: path.stem)
def test_study_files_are_valid(study: Path) -> None:
    options = tomllib.loads(study.read_text(encoding="utf-8"))
    assert set(options) <= {field.name for field in fields(Options)}
    checked = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    Options(**checked).check()
    assert options["out"] == f"results/{study.stem}"


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWPIX_DATA", raising=False)  # a reader of the results need not have the images
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
