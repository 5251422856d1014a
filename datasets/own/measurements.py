"""Read a file of measurements: every cell understood or refused with row, value and remedy."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from softlyte.datasets.columns import PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import FormulaError, normalise_formula
from softlyte.datasets.own.quantities import (
    BY_COLUMN,
    QUANTITIES,
    SD,
    TEMPERATURE,
    TEXTS,
    Header,
    HeaderError,
    deviation,
    in_own_unit,
    shown_headers,
    understand,
)

ROOM_C = 25.0
PHASE_WORDS = {
    "crystal": "crystal",
    "crystalline": "crystal",
    "glass": "glass",
    "glassy": "glass",
    "amorphous": "glass",
    "glass-ceramic": "glass",
    "glass ceramic": "glass",
}
"""Phases as written; a glass-ceramic counts as its glass, as in conductivity_cited."""

COLUMNS: tuple[str, ...] = (
    "formula",
    "formula_as_written",
    "phase",
    "temperature_c",
    *(name for q in QUANTITIES for name in (q.column, q.column + SD)),
    "censored",
    "sample",
    "source",
    "measured_on",
    "synthesis",
    "pressing",
    "note",
    "file_row",
)
"""Columns of a table of own measurements, in order; numbers in the units of the vocabulary."""

EMPTY_ROW = "the row holds no measured value; add one or drop the row"

NUMBERS = frozenset({"temperature_c", *(n for q in QUANTITIES for n in (q.column, q.column + SD))})


class MeasurementsError(UserError):
    """A file of measurements with mistakes: one line for each, with row, value and remedy."""


@dataclass(frozen=True)
class Measurements:
    """A file that was read and is in order.

    Attributes:
        frame: COLUMNS; texts "" and numbers NaN where empty.
        file: its name.
        sha256: of its bytes.
        headers: what each of its columns was taken for.
        remarks: sentences about what was assumed or kept as a note.
    """

    frame: pd.DataFrame
    file: str
    sha256: str
    headers: tuple[Header, ...]
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)


def read_measurements(path: Path | str, source: str = "") -> Measurements:
    """Read and check a CSV file of measurements; nothing is taken from a file with a mistake.

    Args:
        path: UTF-8 CSV with a header. It needs formula, phase, and at least one quantity with its unit; docs/
            own-data.md lists the columns.
        source: where the measurements come from, for rows without a source of their own.

    Raises:
        MeasurementsError: the file cannot be read, or one line for each mistake: file, row, value, remedy.
    """
    place = Path(path)
    content = _bytes(place)
    header, rows = _cells(place, content)
    headers = _headers(place, header)
    mistakes: list[tuple[int, str]] = []
    frame = _frame(headers, rows, source, mistakes)
    # A conductivity without a temperature counts as one at room temperature, which is said.
    assumed = frame["log10_sigma_s_cm"].notna() & frame["temperature_c"].isna()
    frame.loc[assumed, "temperature_c"] = ROOM_C
    unread = {row for row, _ in mistakes}
    # A cell that is no number already has its sentence; its row is not also called empty.
    broken = _broken_rules(frame, headers, rows)
    mistakes += [(row, text) for row, text in broken if row not in unread or text != EMPTY_ROW]
    if mistakes:
        lines = [f"{place.name}, row {row}: {text}" for row, text in sorted(mistakes)]
        raise MeasurementsError("\n".join(lines))
    return Measurements(
        frame,
        place.name,
        hashlib.sha256(content).hexdigest(),
        tuple(headers),
        _remarks(headers, frame, int(assumed.sum())),
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MeasurementsError(
            f"the file {path} cannot be read ({error.strerror or error}); give a CSV file of measurements"
        ) from error


def _cells(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and the row number (the header is row 1) and cells of each row that is not blank."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MeasurementsError(
            f"{path.name}, line {line}: a byte is not UTF-8; save the file as CSV UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        header = next(reader, [])
        for number, cells in enumerate(reader, start=2):
            if any(cell.strip() for cell in cells):
                rows.append((number, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise MeasurementsError(
            f"{path.name} is not valid CSV near line {reader.line_num} ({error}); check the quotes there"
        ) from error
    if not rows:
        raise MeasurementsError(f"the file {path} holds no rows; give a header and a row a measurement")
    wide = [number for number, cells in rows if len(cells) > len(header)]
    if wide:
        raise MeasurementsError(
            f"{path.name}, row {wide[0]}: it has more cells than the header; quote text that holds commas"
        )
    return header, [(n, cells + [""] * (len(header) - len(cells))) for n, cells in rows]


def _headers(path: Path, header: list[str]) -> list[Header]:
    headers, wrong = [], []
    for text in header:
        try:
            headers.append(understand(text) if text.strip() else Header(text, "", "remark"))
        except HeaderError as error:
            wrong.append(str(error))
    known = [h.column for h in headers if h.column]
    for column in sorted({c for c in known if known.count(c) > 1}):
        both = " and ".join(repr(h.text) for h in headers if h.column == column)
        wrong.append(f"the columns {both} mean the same; keep one")
    if not wrong:
        wrong += [f"there is no column {c}; add one" for c in ("formula", "phase") if c not in known]
        if not any(h.kind == "value" and h.column != TEMPERATURE.column for h in headers):
            wrong.append(f"there is no measured quantity; add a column such as {shown_headers()}")
        for column in (c for c in known if c.endswith(SD) and c.removesuffix(SD) not in known):
            text = next(h.text for h in headers if h.column == column)
            wrong.append(f"the column {text!r} is the uncertainty of a column that is not there; add it")
    if wrong:
        raise MeasurementsError("\n".join(f"{path.name}, row 1: {text}" for text in wrong))
    return headers


def _frame(
    headers: list[Header],
    rows: list[tuple[int, list[str]]],
    source: str,
    mistakes: list[tuple[int, str]],
) -> pd.DataFrame:
    """Return COLUMNS for the rows, indexed by row number; adds what cannot be understood to the mistakes."""
    index = [number for number, _ in rows]
    columns: dict[str, Any] = {
        c: np.full(len(rows), np.nan) if c in NUMBERS else np.full(len(rows), "", dtype=object)
        for c in COLUMNS
    }
    columns["censored"], columns["file_row"] = np.zeros(len(rows), bool), np.array(index, np.int64)
    cells = {
        h.column: [row[i] for _, row in rows] for i, h in enumerate(headers) if h.kind in ("text", "value")
    }
    for name in TEXTS:
        columns[name] = np.array(cells.get(name, [""] * len(rows)), dtype=object)
    columns["source"] = np.where(columns["source"] == "", source, columns["source"])
    columns["formula_as_written"] = columns["formula"].copy()
    columns["formula"] = _each(columns["formula"], index, _normal, mistakes)
    columns["phase"] = _each(columns["phase"], index, _phase, mistakes)
    linear: dict[str, np.ndarray] = {}
    for place, header in enumerate(headers):
        texts = [row[place] for _, row in rows]
        if header.kind == "value":
            bounds = [header.column == "log10_sigma_s_cm" and t.startswith("<") for t in texts]
            columns["censored"] |= bounds
            bare = [t.removeprefix("<").strip() if b else t for t, b in zip(texts, bounds, strict=True)]
            linear[header.column] = in_own_unit(_numbers(bare, index, header.text, mistakes), header)
    for place, header in enumerate(headers):
        if header.kind == "uncertainty":
            spread = _numbers([row[place] for _, row in rows], index, header.text, mistakes)
            columns[header.column] = deviation(spread, linear[header.column.removesuffix(SD)], header)
    for name, values in linear.items():
        logarithmic = name in BY_COLUMN and BY_COLUMN[name].logarithmic
        for row in np.array(index)[(values <= 0) & logarithmic]:
            mistakes.append((int(row), "the conductivity must be above 0; write a bound as <1e-9"))
        with np.errstate(divide="ignore", invalid="ignore"):
            columns[name] = np.log10(values) if logarithmic else values
    remarks = [(i, h.text) for i, h in enumerate(headers) if h.kind == "remark"]
    for i, name in remarks:
        kept = [f"{name}: {row[i]}" if row[i] else "" for _, row in rows]
        columns["note"] = [
            "; ".join(t for t in (note, more) if t) for note, more in zip(columns["note"], kept, strict=True)
        ]
    return pd.DataFrame(columns, index=index)[list(COLUMNS)]


def _each(
    values: np.ndarray, index: list[int], read: Callable[[str], str], mistakes: list[tuple[int, str]]
) -> np.ndarray:
    out = []
    for row, value in zip(index, values, strict=True):
        try:
            out.append(read(str(value)))
        except UserError as error:
            mistakes.append((row, str(error)))
            out.append("")
    return np.array(out, dtype=object)


def _normal(text: str) -> str:
    try:
        return normalise_formula(text)
    except FormulaError as error:
        raise MeasurementsError(str(error)) from error


def _phase(text: str) -> str:
    if not text:
        raise MeasurementsError(f"phase is empty; write {' or '.join(PHASES)}")
    if text.casefold() not in PHASE_WORDS:
        raise MeasurementsError(f"phase {text!r} is unknown; write {' or '.join(PHASES)}")
    return PHASE_WORDS[text.casefold()]


def _numbers(texts: list[str], index: list[int], header: str, mistakes: list[tuple[int, str]]) -> np.ndarray:
    out = np.full(len(texts), np.nan)
    for place, (row, text) in enumerate(zip(index, texts, strict=True)):
        if not text:
            continue
        try:
            out[place] = float(text)
        except ValueError:
            remedy = "write a decimal point" if "," in text else "write a number alone, or leave it empty"
            mistakes.append((row, f"{header} is {text!r}, no number; {remedy}"))
            continue
        if not np.isfinite(out[place]):
            mistakes.append((row, f"{header} is {text!r}; write a number, or leave the cell empty"))
            out[place] = np.nan
    return out


def rules() -> pa.DataFrameSchema:
    """Return the pandera schema that a table of own measurements obeys (the frame of `Measurements`)."""
    columns = {}
    for q in (*QUANTITIES, TEMPERATURE):
        low, high = (np.log10(q.low), np.log10(q.high)) if q.logarithmic else (q.low, q.high)
        text = f"it should lie between {q.low:g} and {q.high:g} {q.unit}; check value and unit"
        columns[q.column] = pa.Column(float, pa.Check.in_range(low, high, error=text), nullable=True)
        if q is not TEMPERATURE:
            above = pa.Check.gt(0, error="an uncertainty must be above 0; leave it empty if it is not known")
            columns[q.column + SD] = pa.Column(float, above, nullable=True)
    columns["source"] = pa.Column(
        checks=pa.Check.ne("", error="say where the value is written down (column source, or --source)")
    )
    measured = [q.column for q in QUANTITIES]
    whole = (
        pa.Check(
            lambda f: f[measured].notna().any(axis=1),
            error=EMPTY_ROW,
            ignore_na=False,
        ),
        pa.Check(
            lambda f: ~(f["reduction_v"] >= f["oxidation_v"]),
            error="the reduction limit is not below the oxidation limit; correct them",
            ignore_na=False,
        ),
    )
    return pa.DataFrameSchema(columns, checks=list(whole))


def _broken_rules(
    frame: pd.DataFrame, headers: list[Header], rows: list[tuple[int, list[str]]]
) -> list[tuple[int, str]]:
    """Return row and sentence of every rule that is broken, with the cell as it was written."""
    try:
        rules().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        place, cells = {h.column: i for i, h in enumerate(headers)}, dict(rows)
        out = []
        # A rule over several columns is listed once a column.
        for case in error.failure_cases.drop_duplicates(["index", "check"]).to_dict("records"):
            row, text, column = int(case["index"]), str(case["check"]), str(case["column"])
            if case["schema_context"] == "Column":
                written = column in place
                name = headers[place[column]].text if written else column
                text = f"{name} is {cells[row][place[column]] if written else ''!r}; {text}"
            out.append((row, text))
        return out
    return []


def _remarks(headers: list[Header], frame: pd.DataFrame, assumed: int) -> tuple[str, ...]:
    out = []
    kept = [h.text for h in headers if h.kind == "remark" and h.text.strip()]
    if kept:
        out.append(f"kept as notes, since they mean nothing known: {', '.join(kept)}")
    if assumed:
        out.append(f"{assumed} conductivities state no temperature: they count as measured at {ROOM_C:g} C")
    bounds = int(frame["censored"].sum())
    if bounds:
        out.append(f"{bounds} conductivities are upper bounds (<)")
    return tuple(out)
