"""How the command line speaks: results on stdout, everything else on stderr, colours only on a terminal.

Rich leaves colours out where the output is no terminal or NO_COLOR is set.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from softlyte.screening.inputs import RejectedRow

PIPE_WIDTH = 100
"""Columns of a table that goes to a file or a pipe."""

SHOWN_REJECTED = 20

LEAST_PROBABILITY = 1e-6
"""Smaller probabilities are shown as below this: no prediction tells them apart. Files keep the number."""


_quiet = False


def set_quiet(wanted: bool) -> bool:
    """Keep remarks and progress bars back from here on, or let them through again; returns `wanted`."""
    global _quiet
    _quiet = wanted
    return wanted


def is_quiet() -> bool:
    """Return whether only results and errors are wanted."""
    return _quiet


def print_json(value: object) -> None:
    """Print one value of JSON types on stdout; what is not a number is null."""
    import typer

    typer.echo(json.dumps(_plain(value), ensure_ascii=False, indent=1, allow_nan=False))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def console(stderr: bool = False) -> Console:
    """Return a console for stdout or stderr; off a terminal it has PIPE_WIDTH columns and no colours."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def fail(message: str) -> None:
    """Print one error on stderr, a line for each mistake."""
    from rich.text import Text

    out = console(stderr=True)
    for line in message.splitlines():
        out.print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)


def note(message: str) -> None:
    """Print one remark on stderr, unless it is to be quiet."""
    if _quiet:
        return
    from rich.text import Text

    console(stderr=True).print(Text(message), soft_wrap=True)


@contextmanager
def repetitions_noted() -> Iterator[None]:
    """Print warnings of repeated formulas, raised in the block, as remarks on stderr."""
    from softlyte.screening.inputs import RepeatedWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RepeatedWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, RepeatedWarning):
            note(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> None:
    """Print a table on stdout.

    Args:
        columns: headings.
        rows: cells as text.
        title: heading of the whole.
        right: headings of the columns to align right.
        whole: headings of the columns whose cells are never broken over lines.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numeric, unbroken = set(right), set(whole)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in numeric else "left",
            overflow="fold",
            no_wrap=name in unbroken,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def number_text(value: object, name: str = "") -> str:
    """Return a cell as a person reads it: text as it is, numbers to three digits, missing ones empty.

    Args:
        value: text, number, None or NaN.
        name: column; a probability (`p_...`) above 0 and below LEAST_PROBABILITY is shown as just that.
    """
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    number = float(f"{value:.3g}")
    if name.startswith("p_") and 0 < number < LEAST_PROBABILITY:
        return f"<{LEAST_PROBABILITY:.0e}".replace("e-0", "e-")
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"


def report_rejected(rejected: Sequence[RejectedRow], place: str, written: Path | None) -> None:
    """Print one sentence for each refused or repeated row on stderr (the first SHOWN_REJECTED of them).

    Args:
        rejected: refused rows, as errors, and repeated ones, as remarks.
        place: what stands before a row's number, such as "formula" or "candidates.csv, row".
        written: file that holds all of them, None if there is none.
    """
    for row in rejected[:SHOWN_REJECTED]:
        # A reason from the parser begins with the formula; any other gets it put before.
        named = row.reason if repr(row.value) in row.reason else f"{row.value!r}: {row.reason}"
        (note if row.repeats else fail)(f"{place} {row.row}: {named}")
    if len(rejected) > SHOWN_REJECTED:
        note(f"... and {len(rejected) - SHOWN_REJECTED} more rows")
    if rejected and written is not None:
        repeated = sum(row.repeats > 0 for row in rejected)
        counts = ((len(rejected) - repeated, "refused"), (repeated, "repeated"))
        text = " and ".join(f"{count} rows {kind}" for count, kind in counts if count)
        note(f"{text}, see {written}")
