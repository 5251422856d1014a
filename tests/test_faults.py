"""What can go wrong around a run: full and read-only disks, a jumping clock, two processes, memory, GPU."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.cli.failures import machine_failure
from softlyte.models import run_folder as run_folder_file
from softlyte.models import train as train_file
from softlyte.models.config import ConfigError, TrainingConfig
from softlyte.models.predictor import DeviceError, Predictor
from softlyte.models.run_folder import run_folder
from softlyte.models.train import train
from softlyte.models.tune import tune
from softlyte.models.tuning_config import TuneConfig
from softlyte.screening.chunk_store import CHUNK_FOLDER
from softlyte.screening.export import OutputError
from softlyte.screening.funnel import screen
from softlyte.screening.physics import verify as verify_file
from softlyte.screening.progress import Bars
from softlyte.screening.run_record import RESULT_FILES

RUNNER = CliRunner()
MEDIUM = Path(__file__).parent / "spaces" / "medium.toml"
OPTIONS = {"limit": 300, "refine": 40, "top": 20, "seed": 2, "report": False}
SMALL = TrainingConfig.model_validate(
    {
        "network": {"width": 8, "layers": 1, "heads": 2, "head_width": 8},
        "ensemble": {"members": 4, "processes": 1},
        "data": {"folds": 2},
    }
)


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    screen(MEDIUM, out=folder, predictor=predictor, **OPTIONS)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULT_FILES}


def mounted(place: Path, *options: str) -> None:
    """Mount a small disk in memory; the test is skipped where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk; softlyte's own errors are tested elsewhere")
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting a small disk is not allowed here ({done.stderr.strip()})")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    place = tmp_path / "small"
    mounted(place, "size=512k")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, left_bytes: int) -> Path:
    """Fill a disk but for so many bytes; returns the file that does."""
    free = shutil.disk_usage(disk).free
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * max(0, free - left_bytes))
    return ballast


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written: for root, whom permissions do not stop, a disk that cannot."""
    place = tmp_path / "fixed"
    if os.geteuid() != 0:
        place.mkdir(mode=0o555)
        yield place
        place.chmod(0o755)
        return
    mounted(place, "size=64k", "ro")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def command(*words: object) -> str:
    """Call a verb that must fail in one sentence; returns the sentence. Progress may stand before it."""
    result = RUNNER.invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, (words, result.output, result.exception)
    said = [line for line in result.stderr.splitlines(keepends=True) if "━" not in line]
    assert len(said) == 1, result.stderr
    assert said[0].startswith("error: ")
    return said[0]


# Disks


def test_a_full_disk_is_named_by_every_verb_that_writes(
    small_disk: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("formula,phase,sigma (mS/cm),source\nLi3YCl6,crystal,0.5,x\n")
    config = tmp_path / "train.toml"
    config.write_text("[ensemble]\nmembers = 4\nprocesses = 1\n[data]\nfolds = 2\n")
    fill(small_disk, 0)
    weights = ("--weights", tiny_weights)
    for words in (
        ("predict", "Li3YCl6", *weights, "--out", small_disk / "x.csv"),
        ("screen", MEDIUM, "--limit", 50, "--no-report", *weights, "--out", small_disk / "screen"),
        ("screen", "--candidates", mine, *weights, "--out", small_disk / "own"),
        ("train", config, "--out", small_disk / "train", "--device", "cpu"),
        ("data", "add", mine, "--to", small_disk / "data", "--quiet"),
    ):
        assert "No space left on device" in command(*words), words
    left = [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    assert [path.name for path in left] == ["ballast"]


def test_a_screening_that_filled_the_disk_goes_on_when_there_is_room(
    small_disk: Path, predictor: Predictor, undisturbed: dict[str, bytes]
) -> None:
    ballast = fill(small_disk, 60_000)
    with pytest.raises(OutputError, match=r"No space left on device.*finished chunks are kept|No space left"):
        screen(MEDIUM, out=small_disk / "out", predictor=predictor, **OPTIONS)
    kept = {p: p.stat().st_mtime_ns for p in (small_disk / "out" / CHUNK_FOLDER).glob("*.parquet")}
    assert kept
    ballast.unlink()
    screen(MEDIUM, out=small_disk / "out", predictor=predictor, **OPTIONS)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert files(small_disk / "out") == undisturbed


def test_a_full_disk_in_the_middle_of_a_training_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning's loggers write too: their error is no UserError, but no traceback either."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log/metrics.csv")

    monkeypatch.setattr(train_file, "rows_of", full)
    config = tmp_path / "train.toml"
    config.write_text("[ensemble]\nmembers = 4\nprocesses = 1\n[data]\nfolds = 2\n")
    said = command("train", config, "--out", tmp_path / "out", "--device", "cpu")
    assert "log/metrics.csv cannot be written (No space left on device)" in said
    assert "run the same command again" in said


def test_a_read_only_folder_is_named_before_the_work(
    read_only: Path, tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: object, **__: object) -> None:
        raise AssertionError("it has begun to work")

    monkeypatch.setattr(train_file, "rows_of", worked)
    monkeypatch.setattr(Predictor, "predict", worked)
    monkeypatch.setattr(verify_file, "place_on_hull", worked)
    mine, config = tmp_path / "mine.csv", tmp_path / "train.toml"
    mine.write_text("formula,phase,sigma (mS/cm),source\nLi3YCl6,crystal,0.5,x\n")
    config.write_text("[tune.space]\nnetwork.width = {choices = [8, 16]}\n")
    weights = ("--weights", tiny_weights)
    for words in (
        ("predict", "Li3YCl6", *weights, "--out", read_only / "x.csv"),
        ("cost", "Li3YCl6", "--out", read_only / "x.csv"),
        ("screen", MEDIUM, *weights, "--out", read_only / "screen"),
        ("train", config, "--out", read_only / "train", "--device", "cpu"),
        ("tune", config, "--out", read_only / "tune", "--device", "cpu"),
        ("data", "add", mine, "--to", read_only / "data", "--quiet"),
        ("data", "build", "exchange_rates", "--out", read_only / "built"),
        ("pressure", "Li3YCl6", *weights, "--plot", read_only / "x.png"),
    ):
        said = command(*words)
        assert "Read-only file system" in said or "Permission denied" in said, said


# Clock


def test_a_clock_that_runs_backwards_changes_no_result(
    tmp_path: Path, predictor: Predictor, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [2e9]

    def backwards() -> float:
        now[0] -= 1000.0
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    screen(MEDIUM, out=tmp_path, predictor=predictor, progress=Bars(0.0), **OPTIONS)
    assert files(tmp_path) == undisturbed
    monkeypatch.undo()
    # Pieces from the future and from 1970 are as good as any.
    pieces = sorted((tmp_path / CHUNK_FOLDER).glob("*.parquet"))
    for number, piece in enumerate(pieces):
        os.utime(piece, (4e9, 4e9) if number % 2 else (0, 0))
    before = {piece: piece.stat().st_mtime for piece in pieces}
    (tmp_path / "candidates.csv").unlink()
    screen(MEDIUM, out=tmp_path, predictor=predictor, **OPTIONS)
    assert {piece: piece.stat().st_mtime for piece in pieces} == before
    assert files(tmp_path) == undisturbed


# Two processes

HOLD = """
import sys
from pathlib import Path
from softlyte.models.run_folder import run_folder
with run_folder(Path(sys.argv[1]), "{}", shared=len(sys.argv) > 2) as held:
    held.share() if len(sys.argv) > 2 else None
    print("held", flush=True)
    input()
"""


def holding(*words: object) -> subprocess.Popen[str]:
    """Start a process that holds a folder."""
    command = [sys.executable, "-c", HOLD, *map(str, words)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_training_has_its_folder_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder_file, "SHARING_S", 0.1)
    holder = holding(tmp_path)
    tuning = TuneConfig.model_validate({"space": {"network.width": {"choices": [8, 16]}}})
    try:
        for work in (
            lambda: train(SMALL, tmp_path, device="cpu", progress=False),
            lambda: tune((SMALL, tuning), tmp_path, device="cpu"),
        ):
            with pytest.raises(ConfigError, match=r"another process is working in .* give another --out"):
                work()
    finally:
        holder.kill()
        holder.wait()
    # A process that is dead holds nothing; one that works excludes this one too.
    (tmp_path / "config.json").unlink()
    with (
        run_folder(tmp_path, "{}") as held,
        pytest.raises(ConfigError, match="another process"),
        run_folder(held.path, "{}"),
    ):
        pass
    with run_folder(tmp_path, "{}") as held:
        assert held.alone


def test_calls_of_one_search_share_a_folder_and_know_that_they_do(tmp_path: Path) -> None:
    holder = holding(tmp_path, "shared")
    try:
        with run_folder(tmp_path, "{}", shared=True) as held:
            assert not held.alone
        with pytest.raises(ConfigError, match="another process"), run_folder(tmp_path, "{}"):
            pass
        with (
            pytest.raises(ConfigError, match="another configuration"),
            run_folder(tmp_path, "[]", shared=True),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    with run_folder(tmp_path, "{}", shared=True) as held:
        assert held.alone


# Memory


@pytest.mark.slow
def test_a_worker_that_runs_out_of_memory_is_named_and_loses_no_finished_piece(
    tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    import dask
    from memory_hog import HungryPredictor

    from softlyte.screening import cluster as own
    from softlyte.screening import selection

    for name, value in {"PIECE_ROWS": 40, "SCORED_ROWS": 200, "REFINED_ROWS": 20}.items():
        monkeypatch.setattr(selection, name, value)
    hungry = HungryPredictor.of(predictor, "800 MiB", after=2)
    support = str(Path(__file__).parent / "support")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([support, os.environ.get("PYTHONPATH", "")]))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="1 GiB", dashboard_address=":0"
        ) as cluster,
        pytest.raises(own.ClusterError, match=r"killed several workers .*give them more memory.*kept"),
    ):
        screen(
            MEDIUM,
            out=tmp_path,
            predictor=hungry,
            scheduler=cluster.scheduler_address,
            exhaustive=True,
            **OPTIONS,
        )
    kept = sorted(path.name for path in (tmp_path / CHUNK_FOLDER).glob("*.parquet"))
    assert kept


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "memory is used up"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
            "memory",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), "memory is used up"),
        (
            BrokenProcessPool("A process in the process pool was terminated abruptly"),
            "a process that computed",
        ),
        (
            RuntimeError("CUDA error: device-side assert\nCUDA kernel errors might be"),
            "the GPU failed or is gone",
        ),
        (RuntimeError("No CUDA GPUs are available"), "give --device cpu"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "the file /x cannot be written"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "make room"),
    ],
)
def test_what_the_machine_lacks_is_a_sentence(
    error: BaseException, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("softlyte.datasets.tables.table_names", raises)
    assert words in command("data", "list")


def test_other_errors_keep_their_traceback() -> None:
    assert machine_failure(RuntimeError("a mistake of ours")) is None
    assert machine_failure(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert machine_failure(ValueError("CUDA error")) is None


# GPU


def test_without_a_gpu_every_verb_that_could_use_one_says_so(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tmp_path / "tune.toml"
    config.write_text("[tune.space]\nnetwork.width = {choices = [8, 16]}\n")
    for words in (
        ("predict", "Li3YCl6", "--weights", tiny_weights),
        ("screen", MEDIUM, "--weights", tiny_weights, "--out", tmp_path / "screen"),
        ("train", config, "--out", tmp_path / "train"),
        ("tune", config, "--out", tmp_path / "tune"),
    ):
        said = command(*words, "--device", "cuda")
        assert "no CUDA device is available; use --device cpu or auto" in said
    assert not [path for name in ("screen", "train", "tune") for path in (tmp_path / name).rglob("*.json")]


def test_a_screening_that_was_begun_on_a_gpu_is_not_mixed_with_a_cpu(
    tmp_path: Path, predictor: Predictor, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(Predictor):
        """Says that it computes on a GPU."""

        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return torch.device("cuda")

        @device.setter
        def device(self, value: torch.device) -> None:
            pass

    def gone(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: the GPU has fallen off the bus")

    begun = Elsewhere.__new__(Elsewhere)
    begun.__dict__.update({k: v for k, v in predictor.__dict__.items() if k != "device"})
    monkeypatch.setattr(Elsewhere, "raw", gone)
    with pytest.raises(RuntimeError, match="fallen off"):
        screen(MEDIUM, out=tmp_path, predictor=begun, **OPTIONS)
    with pytest.raises(OutputError, match=r"another device \(cuda before, cpu now\).*--overwrite"):
        screen(MEDIUM, out=tmp_path, predictor=predictor, **OPTIONS)
    with pytest.raises(DeviceError, match="no CUDA device is available"):
        predictor.moved("cuda")
    screen(MEDIUM, out=tmp_path, predictor=predictor, overwrite=True, **OPTIONS)
    assert files(tmp_path) == undisturbed
