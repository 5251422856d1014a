"""What a user hands in: formulas or a CSV file, checked row by row before any work is done.

A row that cannot be used is set aside with its number, its value and a sentence that says what to do;
the others go on. Only what makes the whole file useless raises `InputError`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, FormulaError, symbols
from softlyte.featurize.charge import charge_imbalance, is_charge_balanced

MAX_FORMULA_LENGTH = 200
MAX_ELEMENTS = 16
"""`Compositions.keys` tells this many elements apart."""
MAX_AMOUNT = 10_000.0
"""Largest subscript: whole-number amounts must fit 32 bits at four decimals."""

_PARSE_BATCH = 2_000
_MP_ID = re.compile(r"(mp|mvc)-[0-9a-z]+")


class InputError(UserError):
    """A file or argument that cannot be used at all; the message names it and the remedy."""


class RepeatedWarning(UserWarning):
    """A formula given to a function repeats an earlier one and is kept once."""


class RejectedRow(NamedTuple):
    """One input row that has no result of its own: refused, or a repetition of an earlier one.

    Attributes:
        row: row number as a spreadsheet counts (the header is row 1), or the position of an argument.
        value: the cell as it was given.
        reason: one sentence with the remedy.
        repeats: number of the row that it repeats, which holds its result; 0 for a refused row.
    """

    row: int
    value: str
    reason: str
    repeats: int = 0


@dataclass(frozen=True)
class InputRows:
    """Rows as they were read, not yet understood.

    Attributes:
        source: what messages call the origin, for example a file name.
        row: row numbers, see `RejectedRow.row`.
        formula: formula texts.
        phase: phase texts, empty where none was given.
        rejected: rows refused while reading.
        mp_id: ids of the Materials Project, empty where none was given; no entries without such a column.
        name: what a list of refused rows calls each; no entries: its formula.
    """

    source: str
    row: list[int]
    formula: list[str]
    phase: list[str]
    rejected: list[RejectedRow] = field(default_factory=list)
    mp_id: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Inputs:
    """Checked candidates, one row for each composition and phase.

    Attributes:
        compositions: N compositions.
        phase: [N] uint8, index into `softlyte.datasets.columns.PHASES`.
        row: [N] int64, the input row each came from.
        rejected: refused and repeated rows, by row number.
        mp_id: [N] id of the Materials Project of each crystal, "" for a glass or where none was given; empty
            if no row came with one.
    """

    compositions: Compositions
    phase: NDArray[np.uint8]
    row: NDArray[np.int64]
    rejected: list[RejectedRow]
    mp_id: tuple[str, ...] = ()


def rows_from_formulas(formulas: Sequence[str]) -> InputRows:
    """Take formulas given as arguments or as a list; raises InputError if there is none."""
    if isinstance(formulas, str):
        raise InputError(
            f"one string {formulas!r} was given where a list of formulas belongs; write [{formulas!r}]"
        )
    texts = list(formulas)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InputError(f"formula {number} is {text!r}, not text; write it like Li3YCl6 or drop it")
    if not texts:
        raise InputError("no formula was given; name at least one, for example Li3YCl6")
    return InputRows("the formulas", list(range(1, len(texts) + 1)), texts, [""] * len(texts))


def read_rows(path: Path | str) -> InputRows:
    """Read a CSV file with a column `formula` and, if wanted, `phase` and `mp_id`; others are ignored.

    UTF-8 with or without a byte-order mark, any line ending; wholly blank rows are skipped. Raises
    InputError if there is no such file, it is empty, holds no rows, is not UTF-8 text, or has no or
    more than one `formula` column.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(_decode(path), newline=""), strict=True)
    try:
        header = next(reader)
        formula_at, phase_at, id_at = _locate(path, header)
        rows = InputRows(path.name, [], [], [])
        for number, cells in enumerate(reader, start=2):
            if any(cell.strip() for cell in cells):
                _take_row(rows, number, cells, len(header), (formula_at, phase_at, id_at))
    except csv.Error as error:
        raise InputError(
            f"the file {path} is not valid CSV near line {reader.line_num} ({error}); check the quotes there"
        ) from error
    if not rows.row and not rows.rejected:
        raise InputError(f"the file {path} has a header but no rows; add at least one formula")
    return rows


def check_rows(rows: InputRows, known_elements: NDArray[np.bool_], phase: str | None = None) -> Inputs:
    """Parse and check rows; see `Inputs`.

    Refused are formulas that cannot be read, hold neither Li nor Na, hold an element outside the model,
    or are not charge balanced, and unknown phases. A repetition of an earlier row is no mistake: it is kept
    once and listed with the row that it repeats.

    Args:
        rows: what was read.
        known_elements: [104] bool by atomic number, True where the model was trained on the element.
        phase: "crystal", "glass" or None for both; a phase in the file goes before it.
    """
    default = _phase_codes(phase or "")
    if default is None:
        raise InputError(f"the phase {_short(str(phase))} is unknown; choose {' or '.join(PHASES)}")
    rejected = list(rows.rejected)
    phases = [_phase_codes(text) if text.strip() else default for text in rows.phase]
    compositions, position, unread = _parse_all(rows.formula)
    reasons = dict(unread)
    refusals = zip(position.tolist(), _refusals(compositions, known_elements), strict=True)
    reasons |= {i: text for i, text in refusals if text}
    for i, codes in enumerate(phases):
        if codes is None:
            reasons[i] = f"the phase {_short(rows.phase[i])} is unknown; write {' or '.join(PHASES)}"
    for i, text in enumerate(rows.mp_id):
        if text and i not in reasons and not _MP_ID.fullmatch(text):
            reasons[i] = f"{_short(text)} is no id of the Materials Project; write mp-149 or leave it empty"
    good = np.array([i not in reasons for i in position.tolist()], dtype=bool)
    compositions, position = _narrow(compositions[good]), position[good]
    row = np.array(rows.row, dtype=np.int64)[position]
    candidate, code, repeated = _distinct(compositions, [phases[i] or () for i in position.tolist()])
    repeats = dict(zip(position[repeated >= 0].tolist(), row[repeated[repeated >= 0]].tolist(), strict=True))
    for i, earlier in repeats.items():
        reasons[i] = f"it repeats row {earlier}; nothing to do, the composition is kept once"
    rejected += [
        RejectedRow(rows.row[i], _readable((rows.name or rows.formula)[i]), text, repeats.get(i, 0))
        for i, text in reasons.items()
        if text
    ]
    return Inputs(
        compositions[candidate],
        code,
        row[candidate],
        sorted(rejected, key=lambda r: r.row),
        _ids_of(rows, row[candidate], code.tolist()),
    )


def _distinct(
    compositions: Compositions, phases: list[tuple[int, ...]]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return which rows to keep in which phase, and what the others repeat.

    Args:
        compositions: N compositions.
        phases: [N] codes of the phases that each row asks for, one at least.

    Returns:
        The row and the phase of each candidate that no earlier row has asked for, and for each row, [N], the
        one that holds its result, or -1 where it has one of its own.
    """
    asked = np.array([len(codes) for codes in phases], dtype=np.int64)
    row = np.repeat(np.arange(len(phases)), asked)
    code = np.array([code for codes in phases for code in codes], dtype=np.uint8)
    pair = compositions.groups()[row] * len(PHASES) + code
    _, first, which = np.unique(pair, return_index=True, return_inverse=True)
    new = first[which.ravel()] == np.arange(len(pair))
    repeated = np.full(len(phases), -1, dtype=np.int64)
    begins = np.cumsum(asked) - asked
    own = np.zeros(len(phases), dtype=bool)
    own[row[new]] = True
    repeated[~own] = row[first[which.ravel()[begins[~own]]]]
    return row[new], code[new], repeated


def _ids_of(rows: InputRows, kept_row: NDArray[np.int64], kept_phase: Sequence[int]) -> tuple[str, ...]:
    """Return the id of each kept candidate: an entry of the Materials Project is a crystal, no glass."""
    if not any(rows.mp_id):
        return ()
    named = dict(zip(rows.row, rows.mp_id, strict=True))
    crystal = PHASES.index("crystal")
    return tuple(
        named[row] if phase == crystal else ""
        for row, phase in zip(kept_row.tolist(), kept_phase, strict=True)
    )


def refused(rows: Sequence[RejectedRow]) -> list[RejectedRow]:
    """Return the rows that could not be used, without the repetitions of usable ones."""
    return [row for row in rows if not row.repeats]


def usable(rejected: Sequence[RejectedRow]) -> None:
    """Accept formulas given to a function: a refused one raises InputError, one repeated RepeatedWarning.

    The message names the first refused formula and how many more there are.
    """
    wrong = refused(rejected)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"formula {wrong[0].row}, {wrong[0].value!r}: {wrong[0].reason}{more}")
    for row in rejected:
        text = f"formula {row.row}, {row.value!r}: {row.reason}"
        warnings.warn(text, RepeatedWarning, stacklevel=3)


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


def _locate(path: Path, header: list[str]) -> tuple[int, int | None, int | None]:
    """Return the places of the columns formula, phase and mp_id."""
    names = [name.strip().casefold() for name in header]
    shown = ", ".join(_short(name) for name in header[:10])
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


def _take_row(
    rows: InputRows, number: int, cells: list[str], width: int, places: tuple[int, int | None, int | None]
) -> None:
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
        rows.rejected.append(RejectedRow(number, _readable(value), reason))
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


def _readable(text: str) -> str:
    """Show bytes that are not UTF-8 as Latin-1, so that a person recognises the cell, and can be given it."""
    shown = "".join(chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
    return shown.encode("utf-8", "replace").decode("utf-8")


def _phase_codes(text: str) -> tuple[int, ...] | None:
    """Return phase codes of a word, both for an empty one, None for an unknown one."""
    word = text.strip().casefold()
    if not word:
        return tuple(range(len(PHASES)))
    return (PHASES.index(word),) if word in PHASES else None


def _parse_all(texts: list[str]) -> tuple[Compositions, NDArray[np.int64], dict[int, str]]:
    """Parse what can be parsed; returns compositions, their positions, and a reason for each other."""
    parts, positions, unread = [], [], {}
    for start in range(0, len(texts), _PARSE_BATCH):
        batch = range(start, min(start + _PARSE_BATCH, len(texts)))
        good: Iterable[int] = batch
        try:
            parts.append(Compositions.from_formulas([_bounded(texts[i]) for i in batch]))
        except FormulaError:
            # Only a batch with a bad formula pays for looking at each of its rows.
            good = []
            for i in batch:
                try:
                    Compositions.from_formulas([_bounded(texts[i])])
                    good.append(i)
                except FormulaError as error:
                    unread[i] = str(error)
            parts.append(Compositions.from_formulas([texts[i] for i in good]))
        positions += list(good)
    return Compositions.concatenate(parts), np.array(positions, dtype=np.int64), unread


def _narrow(compositions: Compositions) -> Compositions:
    """Drop columns that are padding in every row: a refused row may have been the widest."""
    width = max(1, int((compositions.atomic_numbers > 0).sum(axis=1).max(initial=1)))
    return Compositions(compositions.atomic_numbers[:, :width], compositions.amounts[:, :width])


def _bounded(text: str) -> str:
    if len(text) > MAX_FORMULA_LENGTH:
        raise FormulaError(
            f"the formula {_short(text)} has {len(text)} characters; write at most {MAX_FORMULA_LENGTH}"
        )
    return text


def _refusals(compositions: Compositions, known_elements: NDArray[np.bool_]) -> list[str]:
    """Return the reason to refuse each composition, empty where it is fine, [N]."""
    reasons = np.full(len(compositions), "", dtype=object)
    numbers = compositions.atomic_numbers
    wide = (numbers > 0).sum(axis=1) > MAX_ELEMENTS
    reasons[wide] = f"it has more than {MAX_ELEMENTS} elements; write a simpler formula"
    large = (compositions.amounts.max(axis=1, initial=0) > MAX_AMOUNT) & (reasons == "")
    reasons[large] = f"a subscript is above {MAX_AMOUNT:.0f}; write the reduced formula"
    ionless = (compositions.amount_of("Li") + compositions.amount_of("Na") == 0) & (reasons == "")
    reasons[ionless] = "it holds neither Li nor Na, so no mobile ion; add one of them or drop the row"
    outside = (numbers > 0) & ~known_elements[numbers]
    for i in np.flatnonzero(outside.any(axis=1) & (reasons == "")):
        names = ", ".join(symbols()[z] for z in numbers[i][outside[i]])
        reasons[i] = f"the model was not trained on {names}; replace that element or drop the row"
    unbalanced = np.flatnonzero((reasons == "") & ~is_charge_balanced(compositions))
    for i, charge in zip(unbalanced, charge_imbalance(compositions[unbalanced]), strict=True):
        left = "" if np.isnan(charge) else f" (a charge of {charge:+.4g} per formula is left)"
        reasons[i] = f"it is not charge balanced with common oxidation states{left}; check the subscripts"
    return reasons.tolist()


def _short(text: str) -> str:
    """Quote a value for a message, cut to a readable length."""
    shown = _readable(text)
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")
