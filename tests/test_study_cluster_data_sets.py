"""Networks of a data set, trained by workers of a real Dask scheduler, to which all that they need is sent."""

from pathlib import Path
from typing import Any

import active_runs
import dataset_runs
import pytest
from cluster_machines import Machines
from refusals import refused

from lowpix.active_study.tables import FIRST, state_name
from lowpix.segmenter import training
from lowpix.study import splits

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.slow
def test_networks_of_a_data_set_are_those_of_this_process(two: Machines, tmp_path: Path) -> None:
    """Of kinds of labels that read different files, none of which the workers see."""
    labels = dataset_runs.images(tmp_path / "labels", acquisition=("margin", "stratified"))
    kinds = ("full", "pseudo", "pseudo_stratified", "sparse_random", "pseudo_walker")
    given: dict[str, Any] = {"image_study": labels, "epochs": 1, "weigh_by_confidence": True}
    here = dataset_runs.study(tmp_path / "here", kinds, **given)
    there = dataset_runs.study(tmp_path / "there", kinds, **given, cluster=two.address)
    assert dataset_runs.same(here, there)
    for file in (tmp_path / "here").glob("models/*/*.safetensors"):
        assert (tmp_path / "there" / file.relative_to(tmp_path / "here")).read_bytes() == file.read_bytes()
    assert not list((tmp_path / "there").glob("state/*/*"))


@pytest.mark.slow
def test_a_run_that_began_here_goes_on_there(
    two: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its last epoch: the seconds of the epochs before are those of this process."""
    plain = training._epoch

    def stopped(*arguments: Any) -> dict[str, float]:
        if arguments[4] == 1:
            raise KeyboardInterrupt
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            dataset_runs.study(tmp_path / "out", ("full",), epochs=3)
    (state,) = (tmp_path / "out").glob("state/*/*.safetensors")
    begun = training.read_weights(state, training.FORMAT)[1]["history"]
    there = dataset_runs.study(tmp_path / "out", ("full",), epochs=3, cluster=two.address)
    here = dataset_runs.study(tmp_path / "here", ("full",), epochs=3)
    assert dataset_runs.same(here, there)
    assert there.history["seconds"].iloc[0] == begun[0]["seconds"]


@pytest.mark.slow
def test_runs_of_an_active_study_are_those_of_this_process(two: Machines, tmp_path: Path) -> None:
    """Also of settings that are added later, which go on from the first round that a worker did."""
    here = active_runs.study(tmp_path / "here", acquisition=("margin", "random"), full=False)
    active_runs.study(tmp_path / "there", acquisition=("random",), full=False, cluster=two.address)
    first = tmp_path / "there" / state_name(FIRST, 0)
    before = first.stat().st_mtime_ns
    there = active_runs.study(
        tmp_path / "there", acquisition=("margin", "random"), full=False, cluster=two.address
    )
    assert first.stat().st_mtime_ns == before
    assert active_runs.same(here, there)


def test_images_that_are_too_many_to_travel_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "MOST_SENT", 1000)
    for study in (dataset_runs.study, active_runs.study):
        with refused("--cluster tcp://h:1: 0.0 GB of images", "--jobs", "--limit"):
            study(tmp_path / "out", cluster="tcp://h:1")
    assert not (tmp_path / "out").exists()
