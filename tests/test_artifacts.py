"""Artifacts: download through pip with a checksum, caching, members."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from softlyte.datasets.build import artifacts, build_table, default_cache_dir
from softlyte.datasets.build.artifacts import ArtifactError, fetch, file_checksum, open_artifact, pip_command
from softlyte.datasets.cards import Artifact
from softlyte.datasets.tables import TableError, load_card


def small(folder: Path, kind: str) -> tuple[Path, Artifact]:
    """A wheel or sdist that holds one member, a.csv."""
    path = folder / ("small-1.0-py3-none-any.whl" if kind == "wheel" else "small-1.0.tar.gz")
    if kind == "wheel":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", b"x")
    else:
        with tarfile.open(path, "w:gz") as package:
            info = tarfile.TarInfo("small-1.0/a.csv")
            info.size = 1
            package.addfile(info, io.BytesIO(b"x"))
    return path, Artifact(
        package="small",
        version="1.0",
        kind=kind,
        filename=path.name,
        sha256=file_checksum(path),
        members=("a.csv",),
    )


def test_cached_artifact_is_used_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, artifact = small(tmp_path, "wheel")

    def no_pip(*_: object, **__: object) -> None:
        raise AssertionError("pip was called")

    monkeypatch.setattr(artifacts.subprocess, "run", no_pip)
    assert fetch(artifact, tmp_path) == path


def test_damaged_cached_artifact_is_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, artifact = small(tmp_path, "wheel")
    good = path.read_bytes()
    path.write_bytes(good[:20])

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        (folder / artifact.filename).write_bytes(good)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(artifacts.subprocess, "run", pip)
    assert fetch(artifact, tmp_path).read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == [artifact.filename]


def test_failed_download_says_how_to_do_it_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, artifact = small(tmp_path, "wheel")
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution found\n")
    monkeypatch.setattr(artifacts.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ArtifactError, match=r"No matching distribution found.*put small-1\.0-py3.* by hand"):
        fetch(artifact, tmp_path / "cache")


def test_pip_is_told_the_checksum_and_the_kind() -> None:
    command = pip_command(load_card("elastic_moduli").artifact, Path("r.txt"), Path("d"))
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(command)
    assert command[-2:] == ["--python-version", "3.9"]
    command = pip_command(load_card("conductivity_obelix").artifact, Path("r.txt"), Path("d"))
    assert "--no-binary=obelix-data" in command


def test_wrong_artifact_is_not_opened(tmp_path: Path) -> None:
    path, artifact = small(tmp_path, "wheel")
    path.write_bytes(b"not a zip")
    with pytest.raises(ArtifactError, match=r"has the sha256 .* expected"), open_artifact(path, artifact):
        pass


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_missing_member_is_named(tmp_path: Path, kind: str) -> None:
    path, artifact = small(tmp_path, kind)
    with open_artifact(path, artifact) as read:
        assert read("a.csv") == b"x"
        with pytest.raises(ArtifactError, match=r"holds no b\.csv"):
            read("b.csv")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/softlyte/artifacts")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "softlyte" / "artifacts"


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    _, artifact = small(tmp_path, "wheel")
    with pytest.raises(ArtifactError, match=r"cache folder .*file.* cannot be written to .* XDG_CACHE_HOME"):
        fetch(artifact, tmp_path / "file")
    with pytest.raises(TableError, match=r"the folder .*file cannot be made"):
        build_table("conductivity_obelix", tmp_path / "file", tmp_path)
