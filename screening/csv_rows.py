"""Candidates in a CSV file, read a batch of rows at a time."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softlyte.screening.inputs import (
    MAX_FORMULA_LENGTH,
    InputError,
    InputRows,
    RejectedRow,
    RowBatches,
    quoted,
    readable,
)

BATCH_ROWS = 65_536
"""Rows of a batch."""

Places = tuple[int, int | None, int | None]
"""Of the columns formula, phase and mp_id."""


def read_rows(path: Path | str) -> InputRows:
    """Read a CSV file at once; see `row_batches`."""
    path = Path(path)
    rows = InputRows(path.name, [], [], [])
    for part in row_batches(path).batches:
        rows.row.extend(part.row)
        rows.formula.extend(part.formula)
        rows.phase.extend(part.phase)
        rows.mp_id.extend(part.mp_id)
        rows.rejected.extend(part.rejected)
    return rows


def row_batches(path: Path | str) -> RowBatches:
    """Read a CSV file with a column `formula` and, if wanted, `phase` and `mp_id`; others are ignored.

    UTF-8 with or without a byte-order mark, any line ending; wholly blank rows are skipped. The header is
    read at once, the rows when they are asked for. Raises InputError, then or now, if there is no such file,
    it is empty, holds no rows, is not UTF-8 text, or has no or more than one `formula` column.
    """
    path = Path(path)
    text = _decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader)
    except csv.Error as error:
        raise _not_csv(path, reader.line_num, error) from error
    lines = max(text.count("\n"), text.count("\r")) + (not text.endswith(("\n", "\r")))
    return RowBatches(max(lines - 1, 1), _batches(path, reader, len(header), _locate(path, header)))


def _batches(path: Path, reader: Any, width: int, places: Places) -> Iterator[InputRows]:
    """Yield the rows after the header, BATCH_ROWS at a time."""
    rows, empty = InputRows(path.name, [], [], []), True
    try:
        for number, cells in enumerate(reader, start=2):
            if any(cell.strip() for cell in cells):
                _take_row(rows, number, cells, width, places)
            if len(rows.row) + len(rows.rejected) == BATCH_ROWS:
                yield rows
                rows, empty = InputRows(path.name, [], [], []), False
    except csv.Error as error:
        raise _not_csv(path, reader.line_num, error) from error
    if rows.row or rows.rejected:
        yield rows
    elif empty:
        raise InputError(f"the file {path} has a header but no rows; add at least one formula")


def _not_csv(path: Path, line: int, error: csv.Error) -> InputError:
    return InputError(f"the file {path} is not valid CSV near line {line} ({error}); check the quotes there")


def _decode(path: Path) -> str:
    """Return the file's text; bytes that are not UTF-8 become surrogates, judged row by row later."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give a file") from None
    except OSError as error:
        raise InputError(
            f"the file {path} cannot be read ({error.strerror}); check its permissions"
        ) from error
    for mark, name in (
        (codecs.BOM_UTF32_LE, "UTF-32"),
        (codecs.BOM_UTF32_BE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if data.startswith(mark):
            raise InputError(f"the file {path} has the encoding {name}, not UTF-8; save it as CSV UTF-8")
    if b"\0" in data:
        raise InputError(f"the file {path} is not text (NUL at byte {data.index(0)}); save it as CSV UTF-8")
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise InputError(f"the file {path} is empty; give a CSV file with a column named formula")
    return data.decode("utf-8-sig", errors="surrogateescape").lstrip("\r\n")


def _locate(path: Path, header: list[str]) -> Places:
    """Return the places of the columns formula, phase and mp_id."""
    names = [name.strip().casefold() for name in header]
    shown = ", ".join(quoted(name) for name in header[:10])
    if any(_foreign_byte(name) for name in header):
        raise InputError(
            f"the header (row 1) of {path} is not UTF-8 but perhaps Latin-1: {shown}; save it as UTF-8"
        )
    for name in ("formula", "phase", "mp_id"):
        if names.count(name) > 1:
            raise InputError(
                f"the file {path} has {names.count(name)} columns named {name} (row 1: {shown}); keep one"
            )
    if "formula" not in names:
        remedy = "name one column formula in row 1"
        for delimiter, word in ((";", "semicolons"), ("\t", "tabs")):
            if any("formula" in name.split(delimiter) for name in names):
                remedy = f"its columns are separated by {word}: save it with commas"
        raise InputError(f"the file {path} has no column named formula (row 1: {shown}); {remedy}")
    phase, mp_id = (names.index(name) if name in names else None for name in ("phase", "mp_id"))
    return names.index("formula"), phase, mp_id


def _take_row(rows: InputRows, number: int, cells: list[str], width: int, places: Places) -> None:
    """Append one row, or set it aside if its cells do not fit the header or the encoding.

    Args:
        rows: is added to.
        number: of the row.
        cells: of the row.
        width: cells of the header.
        places: of the columns formula, phase and mp_id.
    """
    formula_at, phase_at, id_at = places

    def cell(at: int | None) -> str:
        return cells[at].strip() if at is not None and at < len(cells) else ""

    text = ",".join(cells)
    byte = _foreign_byte(text)
    if byte is not None:
        value = cell(formula_at) or text
        reason = (
            f"its byte 0x{byte:02X} is not UTF-8 (Latin-1 perhaps); save the file with the encoding UTF-8"
        )
        rows.rejected.append(RejectedRow(number, readable(value), reason))
    elif len(cells) > width:
        reason = (
            f"the row has {len(cells)} cells and the header {width}; put text that holds commas in quotes"
        )
        rows.rejected.append(RejectedRow(number, text[:MAX_FORMULA_LENGTH], reason))
    else:
        rows.row.append(number)
        rows.formula.append(cell(formula_at))
        rows.phase.append(cell(phase_at))
        if id_at is not None:
            rows.mp_id.append(cell(id_at))


def _foreign_byte(text: str) -> int | None:
    """Return the first byte that was not UTF-8 (kept as a surrogate), None if there is none."""
    return next((ord(c) - 0xDC00 for c in text if 0xDC80 <= ord(c) <= 0xDCFF), None)
