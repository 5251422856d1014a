"""Load and check the vendored tables.

To add a table NAME:
    1. make the rows: a `BuiltTable` (softlyte.datasets.writing) and `write_table(table, path)` with path
       `tables/NAME.csv`, or `tables/NAME.csv.gz` for more than about 500 kB;
    2. write `tables/NAME.yaml` like its neighbours (softlyte.datasets.cards explains the fields), with
       `rows: 1`, `flagged_rows: 0` and 64 zeros as `sha256`;
    3. `seal_card(card, table)` (softlyte.datasets.writing) fills those three in;
    4. `check_tables()` must come back without problems. A table that is rebuilt from a published artifact
       also gets a line in `softlyte.datasets.build.BUILDERS`.
Nothing else lists the tables: a card in the folder is a table.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from softlyte.datasets.cards import CardError, TableCard, read_card
from softlyte.datasets.errors import UserError
from softlyte.datasets.writing import content_of


class TableError(UserError):
    """A table that is unknown, missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of checking one table: ok, and one sentence for each problem."""

    name: str
    ok: bool
    problems: tuple[str, ...] = ()


def tables_folder() -> Path:
    """Return the folder that holds the tables and their cards."""
    return Path(__file__).resolve().parent


def table_names() -> tuple[str, ...]:
    """Return the names of all tables, alphabetical."""
    return tuple(sorted(path.stem for path in tables_folder().glob("*.yaml")))


@cache
def load_card(name: str) -> TableCard:
    """Return the card of a table; raises TableError if the name is unknown or the card is broken."""
    if name not in table_names():
        raise TableError(f"there is no table {name!r}; the tables are {', '.join(table_names())}")
    try:
        return read_card(tables_folder() / f"{name}.yaml")
    except CardError as error:
        raise TableError(str(error)) from error


def table_path(name: str, folder: Path | None = None) -> Path:
    """Return the file of a table (.csv or .csv.gz); raises TableError if there is none or both."""
    folder = tables_folder() if folder is None else folder
    found = [path for suffix in (".csv", ".csv.gz") if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) != 1:
        there = "missing" if not found else "there twice (.csv and .csv.gz)"
        raise TableError(
            f"the file of table {name!r} is {there} in {folder}; reinstall softlyte or run "
            f"`softlyte data build {name}`"
        )
    return found[0]


def table_checksum(name: str) -> str:
    """Return the sha256 of the table's uncompressed CSV bytes as they are on this machine."""
    return hashlib.sha256(_content(table_path(name))).hexdigest()


def load_table(name: str, *, drop_flagged: bool = False) -> pd.DataFrame:
    """Return a table, columns and types as its card says; the checksum is verified.

    Args:
        name: one of table_names().
        drop_flagged: leave out the rows that are flagged as a whole (an entry `code`). Entries of the form
            `column:code=value` name a value that was taken out; such rows stay.

    Raises TableError for an unknown name, a missing or a damaged file. Text columns hold "" where empty,
    number columns NaN. The formula "NaN" is sodium nitride and stays text.
    """
    card = load_card(name)
    path = table_path(name)
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise TableError(
            f"the table {name!r} ({path.name}) does not have the checksum of its card; it was changed or "
            f"cut short: reinstall softlyte or run `softlyte data build {name}`"
        )
    frame = read_rows(content, card)
    if drop_flagged and "flag" in frame:
        frame = frame[~unfit_rows(frame["flag"])].reset_index(drop=True)
    return frame


def read_rows(content: bytes, card: TableCard) -> pd.DataFrame:
    """Parse CSV bytes with the types of a card; raises TableError naming the column that does not fit."""
    kinds: dict[str, Any] = {"text": str, "number": "float64", "integer": "int64", "boolean": "bool"}
    try:
        header = pd.read_csv(io.BytesIO(content), nrows=0, dtype=str, keep_default_na=False).columns
        if list(header) != list(card.columns):
            raise TableError(
                f"the table {card.name!r} has the columns {', '.join(header)}; its card says "
                f"{', '.join(card.columns)}"
            )
        return pd.read_csv(
            io.BytesIO(content),
            dtype={column: kinds[spec.dtype] for column, spec in card.columns.items()},
            na_values={column: [""] for column, spec in card.columns.items() if spec.dtype == "number"},
            keep_default_na=False,
        )
    except (ValueError, UnicodeDecodeError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"the table {card.name!r} does not fit its card: {error}") from error


def unfit_rows(flags: pd.Series) -> pd.Series:
    """Return True for each row that is flagged as a whole, not only for a value that was taken out."""
    # An entry for one value holds a colon after the column's name; one without makes the row unfit.
    return flags.str.contains(r"(?:^|;)[a-z0-9_]+(?:;|$)", regex=True)


def check_tables(names: tuple[str, ...] | None = None) -> list[CheckResult]:
    """Check tables (all by default) against their cards.

    Checksum, row counts, columns and types, licence notice, and a schema made from the card: no empty
    required value, allowed values, unique values, known flag codes, and ranges for rows without a flag.
    """
    results = []
    for name in table_names() if names is None else names:
        try:
            card = load_card(name)
            problems = _problems(card, table_path(name))
        except TableError as error:
            problems = [str(error)]
        results.append(CheckResult(name, ok=not problems, problems=tuple(problems)))
    return results


def _content(path: Path) -> bytes:
    try:
        return content_of(path)
    except (OSError, EOFError) as error:
        raise TableError(
            f"the table file {path} cannot be read ({error}); reinstall softlyte or run "
            f"`softlyte data build {path.name.split('.')[0]}`"
        ) from error


def _problems(card: TableCard, path: Path) -> list[str]:
    from softlyte.datasets.schemas import schema_problems  # pandera is slow to import

    content = _content(path)
    problems = []
    if hashlib.sha256(content).hexdigest() != card.sha256:
        problems.append(f"{path.name}: the checksum differs from the card's")
    if card.licence_notice is not None and not (path.parent / card.licence_notice).is_file():
        problems.append(f"{path.name}: its licence notice {card.licence_notice} is missing beside it")
    frame = read_rows(content, card)
    if len(frame) != card.rows:
        problems.append(f"{path.name}: {len(frame)} rows, the card says {card.rows}")
    flagged = int((frame["flag"] != "").sum()) if "flag" in frame else 0
    if flagged != card.flagged_rows:
        problems.append(f"{path.name}: {flagged} flagged rows, the card says {card.flagged_rows}")
    return problems + schema_problems(frame, card)
