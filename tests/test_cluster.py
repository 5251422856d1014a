"""The funnel on Dask workers in processes of their own: the same files, also when one of them is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from softlyte.models.predictor import Predictor
from softlyte.screening.funnel import screen
from softlyte.screening.inputs import InputError
from softlyte.screening.run_record import RESULT_FILES

distributed = pytest.importorskip("distributed")

MEDIUM = Path(__file__).parent / "spaces" / "medium.toml"
OPTIONS = {"limit": 600, "refine": 40, "top": 30, "seed": 1}


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from softlyte.screening import selection, shortlist

    sizes = {"SMALLEST_SPACE": 100, "SAMPLE_ROWS": 200, "ROUND_ROWS": 60, "KEPT_ROWS": 400, "MOST_ROUNDS": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(shortlist, name, value)
    for name, value in {"PIECE_ROWS": 20, "SCORED_ROWS": 200, "REFINED_ROWS": 20}.items():
        monkeypatch.setattr(selection, name, value)


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULT_FILES}


def test_the_results_are_those_of_one_process_though_a_worker_is_killed(
    tmp_path: Path, predictor: Predictor, cluster: object
) -> None:
    screen(MEDIUM, out=tmp_path / "alone", predictor=predictor, **OPTIONS)
    with distributed.Client(cluster.scheduler_address) as client:
        before = client.run(os.getpid)
        victim = next(iter(before.values()))
        chunks = tmp_path / "cluster" / "chunks"

        def kill_in_the_middle() -> None:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and len(list(chunks.glob("sample-*.parquet"))) < 3:
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        screen(
            MEDIUM,
            out=tmp_path / "cluster",
            predictor=predictor,
            scheduler=cluster.scheduler_address,
            **OPTIONS,
        )
        killer.join()
        client.wait_for_workers(2, timeout=60)
        assert victim not in client.run(os.getpid).values()
    assert files(tmp_path / "alone") == files(tmp_path / "cluster")


def test_a_run_begun_here_is_finished_by_local_workers(
    tmp_path: Path, predictor: Predictor, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from softlyte.screening.chunk_store import ChunkStore

    options = {**OPTIONS, "weights": tiny_weights, "device": "cpu"}
    screen(MEDIUM, out=tmp_path / "alone", **options)
    save = ChunkStore.save

    def stop(self: ChunkStore, name: str, *args: object) -> None:
        if name.startswith("hull"):
            raise KeyboardInterrupt
        save(self, name, *args)

    monkeypatch.setattr(ChunkStore, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        screen(MEDIUM, out=tmp_path / "moved", **options)
    monkeypatch.setattr(ChunkStore, "save", save)
    screen(MEDIUM, out=tmp_path / "moved", local_workers=1, **options)
    assert files(tmp_path / "alone") == files(tmp_path / "moved")


def test_mistakes_are_named(tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    from softlyte.screening import cluster as own

    with pytest.raises(InputError, match="one of them"):
        screen(MEDIUM, out=tmp_path, scheduler="tcp://127.0.0.1:1", local_workers=2, predictor=predictor)
    with pytest.raises(InputError, match="local_workers is 0"):
        screen(MEDIUM, out=tmp_path, local_workers=0, predictor=predictor)
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        monkeypatch.setattr(own, "WAIT_SECONDS", 1)
        with pytest.raises(own.ClusterError, match="no worker joined"):
            screen(MEDIUM, out=tmp_path, scheduler=empty.scheduler_address, predictor=predictor)
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(own.ClusterError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:1"),
    ):
        screen(MEDIUM, out=tmp_path, scheduler="tcp://127.0.0.1:1", predictor=predictor)
    with pytest.raises(own.ClusterError, match="no Dask scheduler at nonsense"):
        screen(MEDIUM, out=tmp_path, scheduler="nonsense", predictor=predictor)
