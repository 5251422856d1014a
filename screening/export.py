"""Files a person opens: CSV that spreadsheets read safely, written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

import pandas as pd

from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import spreadsheet_safe, spreadsheet_unsafe
from softlyte.screening.inputs import RejectedRow

FLOAT_FORMAT = "%.6g"
"""Six significant digits: more than any prediction is worth, few enough to read."""

REJECTED_FILE = "rejected.csv"


class OutputError(UserError):
    """A file or folder that cannot be written; the message names it and the remedy."""


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a temporary file beside path that takes its place when the block ends without error.

    The data are flushed to disk before the renaming, so a reader (or a crash) sees the old file or the
    new one, never half of it. Raises OutputError if the place cannot be written.
    """
    with atomic_place(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        yield handle


@contextmanager
def atomic_place(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside path; what the block writes there takes path's place at its end.

    Flushed to disk before the renaming, and the folder's entries after it; see `atomic_text`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); choose another place or free it"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def csv_text(frame: pd.DataFrame) -> str:
    """Return the frame as CSV: commas, newline ends, empty where a number is missing, safe texts."""
    safe = spreadsheet_safe(frame)
    # Python's writer leaves a carriage return unquoted, and readers take it for the end of a row.
    texts = [name for name in safe if not pd.api.types.is_numeric_dtype(safe[name])]
    returns = any("\r" in v for name in texts for v in safe[name].unique() if isinstance(v, str))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    text: str = safe.to_csv(index=False, float_format=FLOAT_FORMAT, lineterminator="\n", quoting=quoting)
    return text


def read_csv(path: Path | str) -> pd.DataFrame:
    """Read a CSV that Softlyte wrote, texts as they were before `spreadsheet_safe` made them harmless.

    pandas.read_csv gives the same but for the texts that a spreadsheet would have run, which keep their
    apostrophe; no formula, number or id is one.
    """
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    for name in frame.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]:
        frame[name] = frame[name].map(spreadsheet_unsafe, na_action="ignore")
    return frame


def json_text(frame: pd.DataFrame) -> str:
    """Return the frame as a JSON list of rows, numbers as in `csv_text`; missing ones are null."""
    rows = [{name: _json_value(value) for name, value in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


def _json_value(value: object) -> object:
    if isinstance(value, float):
        return None if value != value else float(FLOAT_FORMAT % value)
    return value


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV, whole or not at all; raises OutputError."""
    with atomic_text(path) as handle:
        handle.write(csv_text(frame))


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as Parquet, numbers in full, whole or not at all; raises OutputError."""
    with atomic_place(path) as temporary:
        frame.to_parquet(temporary, index=False)


def check_file_place(path: Path) -> None:
    """Raise OutputError, before any work, if a file could not be written at this path."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give a file name")
    check_writable(path.parent)


def check_free(path: Path) -> None:
    """Raise OutputError if a result at this path, or refused rows beside it, would be written over.

    A rejected.csv that lists nothing may be replaced.
    """
    beside = path.parent / REJECTED_FILE
    taken = [path] if path.exists() else []
    if beside.exists() and beside.read_bytes().count(b"\n") > 1:
        taken.append(beside)
    if taken:
        raise OutputError(
            f"{' and '.join(map(str, taken))} would be written over; give another --out or add --overwrite"
        )


def check_writable(folder: Path) -> None:
    """Make the folder and try to write in it; raises OutputError with the reason."""
    probe = folder / f".softlyte.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} is, or lies below, a file; give a folder") from None
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written ({error.strerror or error}); give another one"
        ) from error


def write_rejected(folder: Path, rejected: Iterable[RejectedRow]) -> Path:
    """Write refused and repeated rows to rejected.csv in a folder, the header alone if there are none."""
    path = folder / REJECTED_FILE
    write_csv(path, rejected_frame(rejected))
    return path


def rejected_frame(rejected: Iterable[RejectedRow]) -> pd.DataFrame:
    """Return input rows without a result of their own as a table with the columns row, value, reason."""
    return pd.DataFrame([row[:3] for row in rejected], columns=list(RejectedRow._fields[:3]))
