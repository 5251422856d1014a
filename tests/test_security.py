"""What a hostile file cannot do, that nothing goes to the network by itself, and that secrets stay secret."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.build.artifacts import ArtifactError, open_artifact
from softlyte.datasets.cards import Artifact
from softlyte.models.checkpoint import (
    CARD,
    WEIGHTS,
    CheckpointError,
    check_resumable,
    file_sha256,
    load_checkpoint,
)
from softlyte.models.predictor import Predictor
from softlyte.screening.export import read_csv, write_csv

RUNNER = CliRunner()


class Attack:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def forged(tiny_weights: Path, folder: Path, content: bytes) -> Path:
    """Return a folder of weights with this content, whose card vouches for it."""
    shutil.copytree(tiny_weights, folder)
    (folder / WEIGHTS).write_bytes(content)
    card = json.loads((folder / CARD).read_text())
    card["weights_sha256"] = file_sha256(folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(card))
    return folder


def zipped_pickle(mark: Path) -> bytes:
    """Return what torch.save writes: a zip archive with a pickle in it."""
    buffer = io.BytesIO()
    torch.save({"member0.x": Attack(mark)}, buffer)
    return buffer.getvalue()


def header(text: bytes, stated: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if stated is None else stated) + text


HOSTILE_WEIGHTS = {
    "pickle": lambda mark: pickle.dumps(Attack(mark)),
    "torch archive": zipped_pickle,
    "header of 4 exabytes": lambda mark: header(b"{}", 1 << 62),
    "header of 200 MB": lambda mark: header(b" " * 64, 200_000_000),
    "header without end": lambda mark: header(b'{"member0.x": '),
    "nested header": lambda mark: header(b'{"a":' * 20_000),
    "tensor beyond the file": lambda mark: header(
        b'{"member0.x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    ),
    "empty": lambda mark: b"",
}


@pytest.mark.parametrize("kind", HOSTILE_WEIGHTS)
def test_hostile_weights_are_refused_and_run_nothing(kind: str, tiny_weights: Path, tmp_path: Path) -> None:
    mark = tmp_path / "attacked"
    folder = forged(tiny_weights, tmp_path / "weights", HOSTILE_WEIGHTS[kind](mark))
    with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
        load_checkpoint(folder)
    result = RUNNER.invoke(app, ["predict", "LiAlCl4", "--weights", str(folder)])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"members": 10**12},
        {"members": True},
        {"network": {"width": 10**9}},
        {"standardisation": None},
        {"elements": [10**6]},
        {"format": "other"},
    ],
    ids=str,
)
def test_hostile_cards_are_refused(change: dict[str, Any], tiny_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_weights, folder)
    card = json.loads((folder / CARD).read_text()) | change
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"copy it again|from `softlyte train`"):
        Predictor.load(folder, "cpu")


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe{", b"null", b"", b'{"format": 1'])
def test_cards_that_are_none_are_refused(content: bytes, tiny_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_weights, folder)
    (folder / CARD).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not readable JSON|is not a Softlyte ensemble"):
        load_checkpoint(folder)


def test_an_archive_is_no_folder_of_weights(tiny_weights: Path, tmp_path: Path) -> None:
    archive = tmp_path / "weights.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in tiny_weights.iterdir():
            file.write(path, f"../../{path.name}")
    before = sorted(tmp_path.parent.rglob("*"))
    result = RUNNER.invoke(app, ["predict", "LiAlCl4", "--weights", str(archive)])
    assert result.exit_code == 2
    assert "give a folder written by `softlyte train`" in result.stderr
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_resumed_training_runs_no_pickled_class(tmp_path: Path) -> None:
    mark, last = tmp_path / "attacked", tmp_path / "last.ckpt"
    assert check_resumable(last) is None
    torch.save({"state_dict": {"x": torch.zeros(2)}, "epoch": 3}, last)
    assert check_resumable(last) == last
    for content in (zipped_pickle(mark), pickle.dumps(Attack(mark)), b"", last.read_bytes()[:-200]):
        last.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"no state of a training .* delete it"):
            check_resumable(last)
    assert not mark.exists()


# Archives


def artifact(path: Path, kind: str) -> Artifact:
    return Artifact.model_validate(
        {
            "package": "x",
            "version": "1",
            "kind": kind,
            "filename": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "members": ["data.csv"],
        }
    )


def test_archives_are_read_in_memory_and_write_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = inside / "x-1.tar.gz"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../../escaped.csv", f"{tmp_path}/absolute.csv", "x-1/good.csv"):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"ok"))
        for name, kind in (("x-1/link.csv", tarfile.SYMTYPE), ("x-1/hard.csv", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    with open_artifact(path, artifact(path, "sdist")) as read:
        assert read("good.csv") == b"ok"
        for name in ("link.csv", "hard.csv", "../../../secret"):
            with pytest.raises(ArtifactError, match="holds no"):
                read(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_with_another_checksum_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x-1.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.csv", "a")
    described = artifact(path, "wheel")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match="has the sha256"), open_artifact(path, described):
        pass


# Spreadsheets


def test_what_a_spreadsheet_would_run_reads_back_unchanged(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''-x", "'x", "Li3YCl6", "NaN", "a=b", ""]
    frame = pd.DataFrame(
        {"value": texts, "number": [-1.5 * i for i in range(len(texts))], "row": range(len(texts))}
    )
    write_csv(tmp_path / "x.csv", frame)
    stored = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)["value"]
    assert not stored.str.match(r"[=+\-@\t\r]").any()
    back = read_csv(tmp_path / "x.csv")
    assert back["value"].fillna("").tolist() == texts
    assert back["number"].tolist() == frame["number"].tolist()
    # What Softlyte itself writes needs no apostrophe: pandas alone reads it as it is.
    assert stored[9:].tolist() == texts[9:]


# Network and secrets

WATCHED = """
import os, sys
MARK, VERBS = sys.argv[1], sys.argv[2:]

ASKING = {
    "socket.connect": lambda connection, address: isinstance(address, tuple),
    "socket.sendto": lambda connection, address: isinstance(address, tuple),
    "socket.getaddrinfo": lambda *parts: True,
    "socket.gethostbyname": lambda *parts: True,
}

def watch(event, parts):
    if event in ASKING and ASKING[event](*parts):
        with open(MARK, "a") as file:
            file.write(f"{event} {parts}")
        os._exit(99)

sys.addaudithook(watch)
from typer.testing import CliRunner
from softlyte.cli.app import app
for words in VERBS:
    result = CliRunner().invoke(app, words.split("|"))
    print(result.output)
    assert result.exit_code == 0, (words, result.output, result.exception)
"""


def test_predicting_and_screening_ask_no_network_and_keep_no_secret(
    tiny_weights: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "mine.csv"
    listed.write_text("formula,phase\nLiAlCl4,crystal\nLi3YCl6,glass\n")
    weights, out = f"--weights|{tiny_weights}", tmp_path / "out"
    verbs = [
        f"predict|LiAlCl4|{weights}|--out|{tmp_path / 'predicted.csv'}",
        f"screen|--candidates|{listed}|--out|{out}|{weights}",
        f"report|{out}",
        f"window|LiAlCl4|{weights}",
        f"pressure|LiAlCl4|{weights}",
        f"cost|LiAlCl4|{weights}",
        "doctor",
    ]
    secret = 4 * "S3cretK3"
    mark = tmp_path / "asked"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", WATCHED, str(mark), *verbs],
        capture_output=True,
        text=True,
        env=os.environ | {"MP_API_KEY": secret},
    )
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "candidates.csv").exists()
    assert (out / "report.html").exists()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert secret not in done.stdout + done.stderr


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    script = WATCHED.replace(
        "from typer", "import socket\nsocket.create_connection(('127.0.0.1', 9))\nfrom typer"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "asked")], capture_output=True)
    assert done.returncode == 99
    assert "socket." in (tmp_path / "asked").read_text()
