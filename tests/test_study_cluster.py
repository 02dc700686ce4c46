"""Work on the workers of a real Dask scheduler, all started by their command lines on this machine."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cluster_machines import Machines, cluster_of, done, machines, wait_for
from cluster_tasks import faulty, tenfold
from distributed import Client
from refusals import refused
from stopped_runs import ROOT

from lowpix.errors import WorkError
from lowpix.image_study import Options, image_study
from lowpix.study.cluster import identity, on_cluster, source_digest
from lowpix.study.work import work

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn_images")]
SCENES: dict[str, Any] = {"scene_size": (24, 32), "scene_count": 4, "max_pixels": 7, "stop": "budget"}

UNDRAWN = """
import runpy, lowpix.image_study.study
lowpix.image_study.study.image_pictures = lambda *_, **__: {}
runpy.run_module("lowpix.image_study", run_name="__main__")
"""


def tables(out: Path) -> list[pd.DataFrame]:
    names = ("curves.parquet", "revealed.parquet")
    summary = pd.read_csv(out / "summary.csv", dtype=str)
    found = [pd.read_parquet(out / name) for name in names] + [summary]
    return [table.drop(columns="seconds", errors="ignore") for table in found]


def test_a_study_is_the_same_as_in_this_process(two: Machines, tmp_path: Path) -> None:
    """Its tables bit for bit, and its label maps; runs that are there are not done again."""
    options = Options(**SCENES, acquisition=("margin", "random"))
    image_study(replace(options, out=tmp_path / "here"))
    image_study(replace(options, scene_count=1, acquisition=("random",), out=tmp_path / "there"))
    (first,) = (tmp_path / "there").glob("runs/*/*/*.parquet")
    before = first.stat().st_mtime_ns
    image_study(replace(options, out=tmp_path / "there", cluster=two.address))
    assert first.stat().st_mtime_ns == before
    for one, other in zip(tables(tmp_path / "here"), tables(tmp_path / "there"), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    for file in (tmp_path / "here").glob("pseudo_labels/**/*.png"):
        assert (tmp_path / "there" / file.relative_to(tmp_path / "here")).read_bytes() == file.read_bytes()
    record = tomllib.loads((tmp_path / "there/study.toml").read_text())
    produced = record["produced"][0]
    made_on = set(pd.read_csv(tmp_path / "there/summary.csv")["machine"])
    assert made_on == {f"{produced['processor']}, {produced['precision']}"}
    assert "cluster" not in record["settings"]


def test_results_come_back_and_progress_is_shown(two: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    others = cluster_of(two.address, tenfold)
    assert sorted(work(tenfold, range(5), lambda result: -result, 1, total=5, cluster=others)) == [
        *range(-40, 1, 10)
    ]
    bar = capsys.readouterr().err
    assert "workers, " in bar
    assert "units in flight" in bar
    assert "5/5 [" in bar


def test_rounds_are_told_while_no_run_is_finished(
    two: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(two.address) as client:
        client.wait_for_workers(2)
    many = SCENES | {"scene_count": 2, "max_pixels": 400, "pixels_per_round": "1"}
    image_study(Options(**many, acquisition=("margin",), out=tmp_path, cluster=two.address))
    before_the_first = capsys.readouterr().err.split("1/2 [")[0]
    line = r"2 units in flight: scene_00\d: round \d+, \d+ pixels, [\d.]+ % right \(and 1 more\)"
    assert len(set(re.findall(line, before_the_first))) > 1


def test_what_a_unit_raises_is_raised_here(two: Machines) -> None:
    with pytest.raises(ZeroDivisionError):
        done(two, faulty, 3)
    assert done(two, tenfold, 3) == [0, 10, 20]  # the cluster is as before


def test_a_worker_of_another_version_is_refused_by_name(two: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it is this process that has another version than the worker."""
    other = replace(identity(), lowpix="0")
    monkeypatch.setattr("lowpix.study.cluster.identity", lambda: other)
    with refused("--cluster: worker tcp://127.0.0.1", "another version of lowpix"):
        done(two, tenfold, 2)


def test_a_function_of_ones_own_must_be_the_same_on_workers(
    two: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers' current directory is the folder of the scheduler's file."""
    source = "def own(p):\n    return 1 - p.mean(0).amax(-1)\n"
    options = Options(**SCENES | {"scene_count": 1}, acquisition=("own_scores_sent:own",), cluster=two.address)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_scores_sent.py").write_text(source)
    with refused("--cluster: worker tcp://127.0.0.1", "no module own_scores_sent", "copy it there"):
        image_study(replace(options, out=tmp_path / "none"))
    two.file.with_name("own_scores_sent.py").write_text(source)
    summary = image_study(replace(options, out=tmp_path / "same")).tables().summary
    assert list(summary["acquisition"]) == ["own_scores_sent.own"]
    (tmp_path / "own_scores_sent.py").write_text(source.replace("1 -", "2 -"))
    with refused("--cluster: worker tcp://127.0.0.1", "another own_scores_sent:own", "copy yours there"):
        image_study(replace(options, out=tmp_path / "other"))


def test_any_change_to_the_source_is_another_version(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "lowpix", tmp_path / "lowpix", ignore=shutil.ignore_patterns("__pycache__"))
    assert source_digest(tmp_path / "lowpix") == identity().lowpix
    with (tmp_path / "lowpix/metrics.py").open("a") as file:
        file.write("\n# another version\n")
    assert source_digest(tmp_path / "lowpix") != identity().lowpix


def test_without_a_worker_or_a_scheduler_one_is_told_after_a_bounded_wait(tmp_path: Path) -> None:
    with machines(tmp_path) as made:
        with pytest.raises(WorkError, match=r"no worker for 2 s: start one \(dask worker tcp://"):
            done(made, tenfold, 1, patience=2)
        address = made.address
    with refused(f"--cluster {address}: no scheduler answers"):
        list(on_cluster(cluster_of(address, tenfold, patience=2), [1], lambda text: None))


def test_ctrl_c_leaves_tables_and_no_work_on_the_cluster(two: Machines, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["--scene-size", "24", "32", "--scene-count", "20", "--max-pixels", "150", "--stop", "budget"]
    command = [sys.executable, "-c", UNDRAWN, *given, "--cluster", two.address, "--out", str(out)]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        env=paths,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_for(lambda: len(list(out.glob("runs/*/*/*.parquet"))) >= 2 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    assert said.rstrip().endswith("stopped; the same command goes on from here")
    assert 2 <= len(pd.read_csv(out / "summary.csv")) < 20
    with distributed.Client(two.address, set_as_default=False) as client:
        wait_for(lambda: not any(client.processing().values()))


def test_workers_can_be_started_here() -> None:
    found = on_cluster(cluster_of("local:1", tenfold), range(4), lambda text: None)
    assert sorted(found) == [0, 10, 20, 30]


@pytest.mark.parametrize("address", ["", "host", "local", "local:0", "local:x", "tcp://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with refused(f"--cluster {address}", "tcp://host:8786", "local:4"):
        Options(cluster=address).check()


def test_what_differs_between_machines_is_named() -> None:
    here = identity()
    assert here.difference(here) == ""
    other = replace(here, libraries=("torch 1.0", *here.libraries[1:]))
    assert other.difference(here) == f"torch 1.0 instead of {here.libraries[0]}"
    assert replace(here, lowpix="0").difference(here) == "another version of lowpix"
