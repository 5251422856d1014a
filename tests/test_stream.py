"""Pieces of a run: whole, computed once, in order; a killed run ends as an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from softlyte.models.predictor import Predictor
from softlyte.screening import chunk_store, selection, shortlist
from softlyte.screening.chunk_store import CHUNK_FOLDER, ChunkStore, chunk_name
from softlyte.screening.export import OutputError
from softlyte.screening.front import FrontRows
from softlyte.screening.funnel import screen
from softlyte.screening.run_record import RESULT_FILES
from softlyte.screening.stage import Piece
from softlyte.screening.stream import Stream, Workers

MEDIUM = Path(__file__).parent / "spaces" / "medium.toml"
TABLE = pa.table({"place": [3, 1], "score": [0.5, 0.25]})


def test_a_piece_comes_back_with_its_notes(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "chunks")
    assert "network-000000" not in store
    store.save(chunk_name("network", 0), TABLE, {"removed": {"too dear": 2}})
    assert chunk_name("network", 0) in store
    table, notes = store.load("network-000000")
    assert table.to_pydict() == TABLE.to_pydict()
    assert notes == {"removed": {"too dear": 2}}
    assert [path.name for path in store.files("network")] == ["network-000000.parquet"]


def test_what_an_interrupted_write_left_is_never_read(tmp_path: Path) -> None:
    ChunkStore(tmp_path)
    (tmp_path / ".network-000000.parquet.77.tmp").write_bytes(b"half")
    store = ChunkStore(tmp_path)
    assert chunk_name("network", 0) not in store
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [10, 200])
def test_a_damaged_piece_is_named(tmp_path: Path, cut: int) -> None:
    store = ChunkStore(tmp_path)
    store.save("network-000000", pa.table({"place": list(range(1000))}))
    path = tmp_path / "network-000000.parquet"
    content = bytearray(path.read_bytes())
    content[cut] ^= 0xFF
    path.write_bytes(content if cut > 100 else content[:-cut])
    with pytest.raises(OutputError, match=r"network-000000.parquet is damaged .* remove it and run"):
        store.load("network-000000")


def test_a_full_disk_is_named_and_loses_no_finished_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChunkStore(tmp_path)
    store.save("network-000000", TABLE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device.*1 finished chunks are kept"):
        store.save("network-000001", TABLE)
    assert [path.name for path in tmp_path.iterdir()] == ["network-000000.parquet"]


class Squares:
    """Counts how often each number is squared; waits so that later tasks end before earlier ones."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def __call__(self, method: str, number: int) -> Piece:
        assert method == "square"
        time.sleep(0.02 * (3 - number % 3))
        if number == 5 and len(self.done) < 8:
            raise RuntimeError("worker 5 fell over")
        self.done.append(number)
        return Piece(pa.table({"value": [number**2]}), {"number": number})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


def test_pieces_come_in_order_and_each_is_computed_once(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    squares = Squares()
    stream = Stream(Workers(pool, squares, lambda: 3), ChunkStore(tmp_path))
    with pytest.raises(RuntimeError, match="worker 5"):
        list(stream.run("square", "square", 12, lambda number: (number,)))
    # What was under way beside the failed one is kept too.
    kept = len(stream.store.files("square"))
    assert kept == len(squares.done) >= 5
    squares.done += [0] * 8
    before = len(squares.done)
    again = list(stream.run("square", "square", 12, lambda number: (number,)))
    assert [piece.table["value"].to_pylist()[0] for piece in again] == [n**2 for n in range(12)]
    assert [piece.notes["number"] for piece in again] == list(range(12))
    assert len(squares.done) - before == 12 - kept


def test_the_front_of_a_stream_is_that_of_everything() -> None:
    import numpy as np

    from softlyte.screening.decision import pareto_front

    rng = np.random.default_rng(1)
    values = rng.normal(size=(3000, 3)).round(1)
    values[rng.random(3000) < 0.05, 1] = np.nan
    wants_low = [True, False, True]
    expected = np.flatnonzero(pareto_front(values, wants_low))
    for piece in (1000, 77):
        front = FrontRows(wants_low)
        for start in range(0, 3000, piece):
            rows = slice(start, start + piece)
            front.offer(values[rows], np.arange(3000)[rows])
        np.testing.assert_array_equal(front.places(), expected)


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


SMALL = {
    shortlist: {
        "SMALLEST_SPACE": 100,
        "SAMPLE_ROWS": 300,
        "ROUND_ROWS": 60,
        "KEPT_ROWS": 400,
        "MOST_ROUNDS": 3,
    },
    selection: {"PIECE_ROWS": 40, "SCORED_ROWS": 200, "REFINED_ROWS": 20},
}


def small_student(patch: pytest.MonkeyPatch) -> None:
    for module, sizes in SMALL.items():
        for name, value in sizes.items():
            patch.setattr(module, name, value)


OPTIONS = {"limit": 700, "refine": 40, "top": 30, "seed": 1}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        small_student(patch)
        screen(MEDIUM, out=folder, predictor=predictor, **OPTIONS)
    return folder


def assert_same_files(one: Path, other: Path) -> None:
    for name in RESULT_FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_run_stopped_after_any_piece_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_student(monkeypatch)
    save, saved = ChunkStore.save, []

    def stop_after_two(self: ChunkStore, name: str, *args: object) -> None:
        if len(saved) % 3 == 2:
            saved.append("stopped")
            raise KeyboardInterrupt
        save(self, name, *args)
        saved.append(name)

    monkeypatch.setattr(chunk_store.ChunkStore, "save", stop_after_two)
    stops = 0
    for _ in range(40):
        try:
            result = screen(MEDIUM, out=tmp_path, predictor=predictor, **OPTIONS)
            break
        except KeyboardInterrupt:
            stops += 1
            record = json.loads((tmp_path / "run.json").read_text())
            assert record["status"] == "failed"
            assert not (tmp_path / "candidates.csv").exists()
    assert stops > 3, saved
    assert {name.split("-")[0] for name in saved} == {
        "stopped",
        "sample",
        "learned",
        "student",
        "network",
        "hull",
    }
    computed = [name for name in saved if name != "stopped"]
    assert len(computed) == len(set(computed))
    assert result.recall is not None
    assert json.loads((tmp_path / "run.json").read_text())["attempts"] == stops + 1
    assert_same_files(tmp_path, undisturbed)
    # A finished run is not computed again, and a run with another configuration is refused.
    before = len(saved)
    monkeypatch.setattr(chunk_store.ChunkStore, "save", save)
    screen(MEDIUM, out=tmp_path, predictor=predictor, **OPTIONS)
    assert len(saved) == before
    assert_same_files(tmp_path, undisturbed)
    with pytest.raises(OutputError, match=r"another run's results .*another seed"):
        screen(MEDIUM, out=tmp_path, predictor=predictor, **{**OPTIONS, "seed": 2})
    assert_same_files(tmp_path, undisturbed)
    screen(MEDIUM, out=tmp_path, predictor=predictor, overwrite=True, **{**OPTIONS, "limit": 200})
    assert not any("learned" in path.name for path in (tmp_path / CHUNK_FOLDER).iterdir())


def test_a_killed_process_is_resumed(tmp_path: Path, predictor: Predictor, tiny_weights: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"limit": 200, "refine": 20, "top": 10, "seed": 3, "exhaustive": True}
    screen(MEDIUM, out=whole, predictor=predictor, **options)
    # The process stops itself half-way through a write, which is where a kill does most harm.
    code = (
        "import os, signal, pyarrow.parquet as pq\n"
        "from softlyte.screening.funnel import screen\n"
        "write = pq.write_table\n"
        "def half(table, path, **options):\n"
        "    write(table, path, **options)\n"
        "    if 'hull' in str(path):\n"
        "        os.truncate(path, 300); os.kill(os.getpid(), signal.SIGKILL)\n"
        "pq.write_table = half\n"
        f"screen({str(MEDIUM)!r}, out={str(killed)!r}, weights={str(tiny_weights)!r},\n"
        f"       device='cpu', **{options!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert json.loads((killed / "run.json").read_text())["status"] == "running"
    assert [path.suffix for path in (killed / CHUNK_FOLDER).glob(".*")] == [".tmp"]
    screen(MEDIUM, out=killed, weights=tiny_weights, device="cpu", **options)
    assert_same_files(killed, whole)
