"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import matplotlib as mpl
import pytest
import torch
from data_samples import DATA

if TYPE_CHECKING:
    from cluster_machines import Machines

mpl.use("Agg")
# A busy machine is no fault, and what passed must pass again: HYPOTHESIS_PROFILE=default looks for new examples.
hypothesis.settings.register_profile("lowpix", deadline=None, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lowpix"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a study: more threads change the last bits, and fight over small products."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real data sets; the test is skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there: set LOWPIX_DATA to the folder of the real data sets")
    return DATA


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Machines]":
    """A scheduler of dask, shared by all tests; `two` has its workers."""
    pytest.importorskip("distributed")
    from cluster_machines import machines  # imports the package, which other tests need not

    with machines(tmp_path_factory.mktemp("cluster"), SCHEDULER__ALLOWED_FAILURES=1) as made:
        yield made


@pytest.fixture
def two(farm: "Machines") -> "Machines":
    """A scheduler with at least two workers. They take seconds to start, so they live until a test kills them."""
    return farm.require(2)


@pytest.fixture
def undrawn_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image studies draw no pictures, which are most of the time of a tiny one."""
    monkeypatch.setattr("lowpix.image_study.study.image_pictures", lambda *_, **__: {})


@pytest.fixture
def undrawn(undrawn_images: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither image nor data-set studies draw pictures."""
    monkeypatch.setattr("lowpix.dataset_study.study.dataset_pictures", lambda *_, **__: {})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium, for the tests of the page."""
    sync_api = pytest.importorskip("playwright.sync_api")
    from annotate_pages import CHROMIUM  # imports the package, which other tests need not

    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def faults() -> list[str]:
    """Keeps the errors of scripts on the page."""
    return []
