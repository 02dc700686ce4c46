"""What is shown to a reader must run: the README's example, the notebooks, the studies' files."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from command_lines import run_command
from nbclient import NotebookClient

from lowpix.command import parse

ROOT = Path(__file__).parents[1]


def test_readme_example_runs() -> None:
    example = next(block for block in _python_in_readme() if "ImageSession(" in block)
    names: dict[str, object] = {}
    exec(example.replace("range(30)", "range(12)"), names)
    labels, truth = names["labels"], names["truth"]
    assert isinstance(labels, np.ndarray)
    assert isinstance(truth, np.ndarray)
    commonest = np.bincount(truth[truth != 255]).max() / np.count_nonzero(truth != 255)
    assert np.mean(labels[truth != 255] == truth[truth != 255]) > commonest


def _python_in_readme() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_readme_example_of_an_own_acquisition_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the two commands as they stand, on fewer and smaller scenes."""
    (code,) = (block for block in _python_in_readme() if block.startswith("# mine.py"))
    (tmp_path / "mine.py").write_text(code, encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    study, comparison = re.findall(r"^    python (-m lowpix\.\w+ .*results/mine)$", readme, re.MULTILINE)
    small = ["--scene-count", "2", "--scene-size", "24", "32", "--max-pixels", "24", "--jobs", "2"]
    run = [sys.executable, *study.split(), *small]
    subprocess.run(run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    assert run_command("lowpix.compare", comparison.split()[2:]) == 0
    compared = pd.read_csv(tmp_path / "results" / "mine" / "comparison.csv")
    assert set(compared["setting"]) == {"mlp-mine.ratio-edges", "mlp-margin-edges", "mlp-stratified-edges"}


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    for link in links:
        name, _, anchor = link.partition("#")
        path = ROOT / (name or "README.md")
        assert path.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, link


@pytest.mark.parametrize("study", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_study_files_are_valid(study: Path) -> None:
    """As read by the command that the file names in its first lines."""
    (module,) = set(re.findall(r"python -m (lowpix\.\w+) --config", study.read_text(encoding="utf-8")))
    options = parse(import_module(module).Options, ["--config", str(study)], module)
    options.check()
    assert options.out == Path(f"results/{study.stem}")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWPIX_DATA", raising=False)  # a reader of the results need not have the images
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
