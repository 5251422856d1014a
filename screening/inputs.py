"""What a user hands in, checked row by row before any work is done.

A row that cannot be used is set aside with its number, its value and a sentence that says what to do;
the others go on. Only what makes the whole file useless raises `InputError`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
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
_ANY_PHASE = 255
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
class RowBatches:
    """Rows that are read a batch at a time.

    Attributes:
        most: rows that there may be, for a progress bar.
        batches: of rows, each read when it is asked for.
    """

    most: int
    batches: Iterator[InputRows]


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


def check_rows(rows: InputRows, known_elements: NDArray[np.bool_], phase: str | None = None) -> Inputs:
    """Parse and check rows that were read at once; see `check_batches`."""
    return check_batches([rows], known_elements, phase)


def check_batches(
    batches: Iterable[InputRows],
    known_elements: NDArray[np.bool_],
    phase: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Inputs:
    """Parse and check rows, one batch at a time; see `Inputs`.

    Refused are formulas that cannot be read, hold neither Li nor Na, hold an element outside the model,
    or are not charge balanced, and unknown phases. A repetition of an earlier row is no mistake: it is kept
    once and listed with the row that it repeats. Of a batch that has been checked only arrays stay.

    Args:
        batches: what was read.
        known_elements: [104] bool by atomic number, True where the model was trained on the element.
        phase: "crystal", "glass" or None for both; a phase in the file goes before it.
        progress: called with the number of rows just checked.
    """
    default = _phase_code(phase or "")
    if default is None:
        raise InputError(f"the phase {quoted(str(phase))} is unknown; choose {' or '.join(PHASES)}")
    rejected, parts = list[RejectedRow](), [_no_rows()]
    for rows in batches:
        parts.append(_checked(rows, known_elements, default, rejected))
        if progress is not None:
            progress(len(rows.row) + len(rows.rejected))
    compositions = Compositions.concatenate([part.compositions for part in parts])
    row = np.concatenate([part.row for part in parts])
    candidate, code, repeated = _distinct(compositions, np.concatenate([part.code for part in parts]))
    names = pa.chunked_array([part.name for part in parts])
    again = np.flatnonzero(repeated >= 0)
    for i, name in zip(again.tolist(), names.take(again).to_pylist(), strict=True):
        earlier = int(row[repeated[i]])
        text = f"it repeats row {earlier}; nothing to do, the composition is kept once"
        rejected.append(RejectedRow(int(row[i]), name, text, earlier))
    ids = pa.chunked_array([part.mp_id for part in parts])
    return Inputs(
        compositions[candidate],
        code,
        row[candidate],
        sorted(rejected, key=lambda r: r.row),
        _ids_of(ids, candidate, code),
    )


class _Checked(NamedTuple):
    """The good rows of a batch.

    Attributes:
        compositions: n compositions.
        row: [n] row numbers.
        code: [n] index into PHASES, or _ANY_PHASE.
        name: [n] what a list of refused rows calls each.
        mp_id: [n] ids of the Materials Project, empty texts for none.
    """

    compositions: Compositions
    row: NDArray[np.int64]
    code: NDArray[np.uint8]
    name: pa.Array
    mp_id: pa.Array


def _no_rows() -> _Checked:
    text = pa.array([], pa.string())
    return _Checked(Compositions.concatenate([]), np.zeros(0, np.int64), np.zeros(0, np.uint8), text, text)


def _checked(
    rows: InputRows, known_elements: NDArray[np.bool_], default: int, rejected: list[RejectedRow]
) -> _Checked:
    """Return the good rows of a batch; the others are added to `rejected`."""
    phases = [_phase_code(text) if text.strip() else default for text in rows.phase]
    compositions, position, reasons = _parse_all(rows.formula)
    found = zip(position.tolist(), refusals(compositions, known_elements), strict=True)
    reasons |= {i: text for i, text in found if text}
    for i, code in enumerate(phases):
        if code is None:
            reasons[i] = f"the phase {quoted(rows.phase[i])} is unknown; write {' or '.join(PHASES)}"
    for i, text in enumerate(rows.mp_id):
        if text and i not in reasons and not _MP_ID.fullmatch(text):
            reasons[i] = f"{quoted(text)} is no id of the Materials Project; write mp-149 or leave it empty"
    names = [readable(name) for name in rows.name or rows.formula]
    rejected += rows.rejected
    rejected += [RejectedRow(rows.row[i], names[i], text) for i, text in reasons.items()]
    good = np.array([i not in reasons for i in position.tolist()], dtype=bool)
    chosen = position[good].tolist()
    return _Checked(
        _narrow(compositions[good]),
        np.array([rows.row[i] for i in chosen], dtype=np.int64),
        np.array([phases[i] for i in chosen], dtype=np.uint8),
        pa.array([names[i] for i in chosen], pa.string()),
        pa.array([rows.mp_id[i] if rows.mp_id else "" for i in chosen], pa.string()),
    )


def _distinct(
    compositions: Compositions, asked: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return which rows to keep in which phase, and what the others repeat.

    Args:
        compositions: N compositions.
        asked: [N] the phase that each row asks for, _ANY_PHASE for all of them.

    Returns:
        The row and the phase of each candidate that no earlier row has asked for, and for each row, [N], the
        one that holds its result, or -1 where it has one of its own.
    """
    count = np.where(asked == _ANY_PHASE, len(PHASES), 1)
    row = np.repeat(np.arange(len(asked)), count)
    begins = np.cumsum(count) - count
    code = np.where(asked[row] == _ANY_PHASE, np.arange(len(row)) - begins[row], asked[row]).astype(np.uint8)
    pair = compositions.groups()[row] * len(PHASES) + code
    _, first, which = np.unique(pair, return_index=True, return_inverse=True)
    new = first[which.ravel()] == np.arange(len(pair))
    repeated = np.full(len(asked), -1, dtype=np.int64)
    own = np.zeros(len(asked), dtype=bool)
    own[row[new]] = True
    repeated[~own] = row[first[which.ravel()[begins[~own]]]]
    return row[new], code[new], repeated


def _ids_of(ids: pa.ChunkedArray, candidate: NDArray[np.int64], code: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return the id of each candidate: an entry of the Materials Project is a crystal, no glass."""
    found = np.where(code == PHASES.index("crystal"), ids.take(candidate).to_numpy(), "")
    return tuple(found.tolist()) if (found != "").any() else ()


def refused(rows: Sequence[RejectedRow]) -> list[RejectedRow]:
    """Return the rows that could not be used, without the repetitions of usable ones."""
    return [row for row in rows if not row.repeats]


def usable(rejected: Sequence[RejectedRow], what: str = "formula") -> None:
    """Accept formulas given to a function: a refused one raises InputError, one repeated RepeatedWarning.

    The message names the first refused formula and how many more there are.

    Args:
        rejected: refused and repeated rows.
        what: the message calls each, "formula" or "structure".
    """
    wrong = refused(rejected)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{what} {wrong[0].row}, {wrong[0].value!r}: {wrong[0].reason}{more}")
    for row in rejected:
        text = f"{what} {row.row}, {row.value!r}: {row.reason}"
        warnings.warn(text, RepeatedWarning, stacklevel=3)


def _phase_code(text: str) -> int | None:
    """Return the code of a phase's word, _ANY_PHASE for an empty one, None for an unknown one."""
    word = text.strip().casefold()
    if not word:
        return _ANY_PHASE
    return PHASES.index(word) if word in PHASES else None


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
            f"the formula {quoted(text)} has {len(text)} characters; write at most {MAX_FORMULA_LENGTH}"
        )
    return text


def refusals(compositions: Compositions, known_elements: NDArray[np.bool_]) -> list[str]:
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


def readable(text: str) -> str:
    """Show bytes that are not UTF-8 as Latin-1, so that a person recognises the cell, and can be given it."""
    shown = "".join(chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
    return shown.encode("utf-8", "replace").decode("utf-8")


def quoted(text: str) -> str:
    """Quote a value for a message, cut to a readable length."""
    shown = readable(text)
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")
