"""Tables as text that is the same, byte for byte, wherever it is written."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class BuiltTable:
    """What a builder returns.

    Attributes:
        frame: the rows; text columns without missing values ("" instead), numbers with NaN where empty.
        decimals: digits behind the point for each number column; floats are only ever written so.
        dropped: rows of the source that did not make it, by reason.
    """

    frame: pd.DataFrame
    decimals: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict)


def csv_text(frame: pd.DataFrame, decimals: Mapping[str, int]) -> str:
    """Return the table as CSV text with fixed decimals, Unix line ends and a header.

    Raises ValueError where a float column has no entry in decimals: the default float format may change
    with the version of pandas or numpy, and the checksum with it.
    """
    written: dict[str, pd.Series] = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_float_dtype(column.dtype):
            if name not in decimals:
                raise ValueError(f"number column {name!r} needs a number of decimals to be written with")
            values = column.to_numpy(dtype=np.float64)
            text = np.char.mod(f"%.{decimals[name]}f", values)
            zero = f"{0:.{decimals[name]}f}"
            text = np.where(text == f"-{zero}", zero, text)
            written[name] = pd.Series(np.where(np.isnan(values), "", text), index=frame.index)
        elif column.isna().any():
            raise ValueError(f"column {name!r} has missing values; write them as empty text")
        else:
            written[name] = column.astype(str)
    return pd.DataFrame(written).to_csv(index=False, lineterminator="\n")


_RISKY = re.compile(r"'*[=+\-@\t\r]")


def spreadsheet_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an apostrophe before each text that a spreadsheet would run as a formula.

    Texts that begin with = + - @ tab or carriage return are meant, and those that begin with apostrophes
    before one of these, so that the apostrophe can be taken off again; numbers are left alone.
    """
    safe = frame.copy()
    for name in safe.columns:
        if pd.api.types.is_string_dtype(safe[name]) or safe[name].dtype == object:
            risky = safe[name].map(lambda v: isinstance(v, str) and _RISKY.match(v) is not None)
            if risky.any():
                safe.loc[risky, name] = "'" + safe.loc[risky, name].astype(str)
    return safe


def spreadsheet_unsafe(text: object) -> object:
    """Return a cell as it was before `spreadsheet_safe`."""
    marked = isinstance(text, str) and text.startswith("'") and _RISKY.match(text) is not None
    return str(text)[1:] if marked else text


def write_bytes(path: Path, content: bytes) -> None:
    """Write to a temporary name, flush to disk, then rename: neither reader nor crash sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_table(table: BuiltTable, path: Path) -> Path:
    """Write `NAME.csv` or, if the path ends in .gz, the gzipped CSV without a time stamp; returns path."""
    content = csv_text(table.frame, table.decimals).encode("utf-8")
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        # No file name and no time in the header: the same rows give the same file.
        with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as packed:
            packed.write(content)
        content = buffer.getvalue()
    write_bytes(path, content)
    return path


def content_of(path: Path) -> bytes:
    """Return the uncompressed CSV bytes of a table file."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if path.suffix == ".gz" else raw


def content_checksum(path: Path) -> str:
    """Return the sha256 of the uncompressed CSV; compressed bytes may differ between zlib versions."""
    return hashlib.sha256(content_of(path)).hexdigest()


def seal_card(card: Path, table: Path, dropped: Mapping[str, int] | None = None) -> None:
    """Write checksum, row count and flagged rows of the table file into its card, comments kept.

    The card must already hold the lines `rows:`, `flagged_rows:` and `sha256:` at the start of a line (any
    value), and `dropped:` as one line if dropped is given.
    """
    text = card.read_text(encoding="utf-8")
    frame = pd.read_csv(io.BytesIO(content_of(table)), dtype=str, keep_default_na=False)
    flagged = int((frame["flag"] != "").sum()) if "flag" in frame else 0
    values = {"rows": str(len(frame)), "flagged_rows": str(flagged), "sha256": content_checksum(table)}
    if dropped is not None:
        values["dropped"] = "{" + ", ".join(f"{reason}: {count}" for reason, count in dropped.items()) + "}"
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key}:.*$", f"{key}: {value}", text)
        if count != 1:
            raise ValueError(f"the card {card.name} needs exactly one line that starts with '{key}:'")
    write_bytes(card, text.encode("utf-8"))
