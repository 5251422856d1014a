"""Where own measurements are kept: a folder of versions, each a table with its card.

A version is what one file added. It is never changed; the measurements of a folder are those of all of its
versions together, and the measurements as of version N those of the versions up to N. A removed version stays
in the folder's history and its number is not used again.

    FOLDER/v0001.csv    rows of the version, columns and units as its card says
    FOLDER/v0001.yaml   its card: file, checksums, rows, when, what for
    FOLDER/history.jsonl   a line for everything that was added or removed
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout

from softlyte.datasets.cards import CardError, TableCard, read_card
from softlyte.datasets.documents import read_json
from softlyte.datasets.errors import UserError
from softlyte.datasets.own.measurements import COLUMNS, NUMBERS, Measurements
from softlyte.datasets.own.quantities import QUANTITIES, SD, TEMPERATURE
from softlyte.datasets.tables import TableError, read_rows
from softlyte.datasets.vocabulary import COLUMNS as VOCABULARY
from softlyte.datasets.writing import content_checksum, csv_text, write_bytes

FOLDER_VARIABLE = "SOFTLYTE_DATA"
"""Environment variable that names the folder of own measurements."""

HISTORY = "history.jsonl"
DECIMALS = dict.fromkeys(NUMBERS, 6)
_VERSION = re.compile(r"^v(\d{4})$")


class StoreError(UserError):
    """A folder of own measurements that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Version:
    """One version of a folder.

    Attributes:
        number: 1, 2, ...
        card: of its table.
        file: what was added.
        file_sha256: checksum of that file.
        added: when, ISO 8601 in UTC.
    """

    number: int
    card: TableCard
    file: str
    file_sha256: str
    added: str


def default_folder() -> Path:
    """Return the folder of a user's measurements.

    $SOFTLYTE_DATA, else $XDG_DATA_HOME/softlyte/measurements, else ~/.local/share/softlyte/measurements.
    """
    stated = os.environ.get(FOLDER_VARIABLE)
    if stated:
        return Path(stated).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "softlyte" / "measurements"


def versions(folder: Path) -> list[Version]:
    """Return the versions of a folder, oldest first; none if it is empty or missing.

    Raises StoreError if a card is damaged or does not belong to the history.
    """
    added = {entry["version"]: entry for entry in history(folder) if entry["action"] == "added"}
    found = []
    for path in sorted(folder.glob("v*.yaml")):
        match = _VERSION.match(path.stem)
        if match is None:
            continue
        number = int(match[1])
        try:
            card = read_card(path)
        except CardError as error:
            raise StoreError(str(error)) from error
        if number not in added:
            raise StoreError(f"{path} is not in {folder / HISTORY}; remove it or restore that file")
        entry = added[number]
        found.append(Version(number, card, entry["file"], entry["file_sha256"], entry["at"]))
    return found


def history(folder: Path) -> list[dict[str, Any]]:
    """Return what was added and removed, oldest first; raises StoreError if the file is damaged."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    try:
        entries = [read_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); restore it from a copy") from error
    for number, entry in enumerate(entries, start=1):
        if not _is_entry(entry):
            raise StoreError(f"{path}, line {number} is no entry of a history; restore the file from a copy")
    return entries


def _is_entry(entry: Any) -> bool:
    """Tell whether a line of the history says what was added or removed."""
    if not isinstance(entry, dict) or type(entry.get("version")) is not int:
        return False
    texts = {"added": ("at", "file", "file_sha256"), "removed": ("at",)}.get(str(entry.get("action")))
    return texts is not None and all(isinstance(entry.get(name), str) for name in texts)


def load_own(folder: Path | str | None = None, version: int | None = None) -> pd.DataFrame:
    """Return the measurements of a folder, the version of each row in the column `version`.

    Args:
        folder: None for `default_folder`.
        version: take the versions up to this one; None for all.

    Raises:
        StoreError: the folder holds no measurements, no such version, or a table is damaged.
    """
    place = default_folder() if folder is None else Path(folder)
    found = versions(place)
    if not found:
        raise StoreError(
            f"there are no measurements in {place}; add some with softlyte data add FILE --to {place}"
        )
    if version is not None and version not in {v.number for v in found}:
        numbers = ", ".join(str(v.number) for v in found)
        raise StoreError(f"there is no version {version} in {place}; it holds {numbers}")
    parts = []
    for one in found:
        if version is None or one.number <= version:
            parts.append(load_version(place, one).assign(version=one.number))
    return pd.concat(parts, ignore_index=True)


def load_version(folder: Path, version: Version) -> pd.DataFrame:
    """Return the rows of one version; raises StoreError if its table is missing or altered."""
    path = folder / f"{version.card.name}.csv"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); restore it from a copy") from error
    if hashlib.sha256(content).hexdigest() != version.card.sha256:
        raise StoreError(
            f"{path} does not have the checksum of its card; restore it, or remove and add the version again"
        )
    try:
        return read_rows(content, version.card)
    except TableError as error:
        raise StoreError(str(error)) from error


def state_sha256(folder: Path) -> str:
    """Return one checksum of everything that a folder holds, for run records and weights."""
    text = ";".join(f"{v.number}:{v.card.sha256}" for v in versions(folder))
    return hashlib.sha256(text.encode()).hexdigest()


def add_version(folder: Path, rows: pd.DataFrame, origin: Measurements, package: str) -> Version:
    """Write rows as the next version and return it.

    Args:
        folder: made if missing.
        rows: COLUMNS, at least one row.
        origin: the file that they were read from.
        package: version of Softlyte, for the card.

    Raises:
        StoreError: the folder cannot be written, or lies inside the package.
    """
    check_place(folder)
    with _locked(folder):
        number = 1 + max((entry["version"] for entry in history(folder)), default=0)
        name, now = f"v{number:04d}", datetime.now(UTC).isoformat(timespec="seconds")
        content = csv_text(rows[list(COLUMNS)].reset_index(drop=True), DECIMALS).encode()
        write_bytes(folder / f"{name}.csv", content)
        checksum = content_checksum(folder / f"{name}.csv")
        card = _card(name, number, rows, origin, package, now, checksum)
        entry = {
            "action": "added",
            "version": number,
            "at": now,
            "file": origin.file,
            "file_sha256": origin.sha256,
            "rows": len(rows),
            "sha256": checksum,
        }
        # The card comes last but the history's line: a table without either is no version.
        _append(folder, entry)
        write_bytes(folder / f"{name}.yaml", yaml.safe_dump(card, sort_keys=False, width=110).encode())
    return Version(number, read_card(folder / f"{name}.yaml"), origin.file, origin.sha256, now)


def remove_version(folder: Path, number: int) -> Version:
    """Remove a version's rows and card; the history keeps that it was there. Returns what was removed.

    Raises StoreError if there is no such version.
    """
    found = {v.number: v for v in versions(folder)}
    if number not in found:
        there = ", ".join(map(str, found)) or "none"
        raise StoreError(f"there is no version {number} in {folder}; it holds {there}")
    check_place(folder)
    with _locked(folder):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _append(folder, {"action": "removed", "version": number, "at": now})
        (folder / f"v{number:04d}.yaml").unlink()
        (folder / f"v{number:04d}.csv").unlink(missing_ok=True)
    return found[number]


def check_place(folder: Path) -> None:
    """Make the folder; raises StoreError if it cannot be written or is part of the installed package."""
    package = Path(__file__).resolve().parents[1]
    place = folder.expanduser().resolve()
    if place == package or package in place.parents:
        raise StoreError(f"{folder} lies inside Softlyte's own tables; give a folder of your own with --to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".softlyte.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StoreError(
            f"the folder {folder} cannot be written ({error.strerror or error}); give another with --to"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".softlyte.lock")
    try:
        with lock.acquire(timeout=10):
            yield
    except Timeout:
        raise StoreError(
            f"another process is writing into {folder}; wait until it ends, then run the command again"
        ) from None


def _append(folder: Path, entry: dict[str, Any]) -> None:
    path = folder / HISTORY
    before = path.read_bytes() if path.is_file() else b""
    write_bytes(path, before + json.dumps(entry, sort_keys=True).encode() + b"\n")


def _card(
    name: str, number: int, rows: pd.DataFrame, origin: Measurements, package: str, now: str, checksum: str
) -> dict[str, Any]:
    taken = ", ".join(f"{h.text!r} as {h.column or 'a note'}" for h in origin.headers)
    card = {
        "name": name,
        "title": f"Own measurements, version {number}",
        "description": f"{len(rows)} rows that were measured in the laboratory and added from {origin.file}.",
        "source": "; ".join(dict.fromkeys(rows["source"])),
        "source_url": "",
        "licence": "private; the owner decides",
        "version": str(number),
        "origin": "curated",
        "how_built": f"softlyte {package} data add {origin.file} on {now}; sha256 of the file "
        f"{origin.sha256}; columns read: {taken}.",
        "rows": len(rows),
        "flagged_rows": 0,
        "sha256": checksum,
        "columns": {column: _column(column) for column in COLUMNS},
        "cautions": list(origin.remarks),
    }
    TableCard.model_validate(card)
    return card


def _column(name: str) -> dict[str, Any]:
    base = name.removesuffix(SD)
    if base == "temperature_c":
        return {"meaning": "Temperature of the measurement.", "unit": "C"}
    if name in NUMBERS:
        known = VOCABULARY[base]
        meaning = known.meaning if name == base else f"One standard deviation of {base}."
        spec: dict[str, Any] = {"meaning": meaning, "unit": known.unit}
        return spec
    if name == "censored":
        return {"meaning": "True where the conductivity is an upper bound.", "dtype": "boolean"}
    if name == "file_row":
        return {"meaning": "Row of the file that was added; its header is row 1.", "dtype": "integer"}
    required = name in ("formula", "phase", "source")
    return {"meaning": _TEXT_MEANINGS[name], "dtype": "text", **({"required": True} if required else {})}


_TEXT_MEANINGS = {
    "formula": "Composition in normal form.",
    "formula_as_written": "Formula as the file has it.",
    "phase": "crystal or glass.",
    "sample": "Name of the sample in the laboratory.",
    "source": "Where the measurement is written down.",
    "measured_on": "Date of the measurement as written.",
    "synthesis": "How the sample was made.",
    "pressing": "How the pellet was pressed.",
    "note": "Remarks, and columns of the file that mean nothing known.",
}

assert {q.column for q in (*QUANTITIES, TEMPERATURE)} <= NUMBERS  # noqa: S101 - a table of constants
