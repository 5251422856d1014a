"""Questions to the results of a screening, in SQL: DuckDB over the Parquet files of its folder."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

from softlyte.datasets.errors import UserError
from softlyte.screening.chunk_store import CHUNK_FOLDER
from softlyte.screening.run_record import FUNNEL_FILE, TABLE_FILE

EVALUATED_TIERS = ("sample", "network")
"""Tiers whose pieces hold what the networks said."""


class QueryError(UserError):
    """A folder or a question that cannot be used; the message names it and the remedy."""


def query_results(
    folder: Path | str, where: str | None = None, top: int | None = None, sql: str | None = None
) -> pd.DataFrame:
    """Return rows of a finished screening.

    Tables that the SQL may name: `candidates` (every candidate with a hull calculation, ranked; the columns
    of candidates.csv, numbers in full), `evaluated` (every candidate that the networks were asked about:
    place, formula, phase, p_without_hull and the medians of the targets' columns) and `funnel`.

    Args:
        folder: that `screen` wrote.
        where: an SQL condition on `candidates`, such as "phase = 'glass' AND oxidation_v > 4".
        top: as many rows at most.
        sql: a whole SELECT in place of `where`.

    Raises:
        QueryError: the folder holds no finished screening, or DuckDB does not understand the question.
    """
    folder = Path(folder)
    if sql is not None and where is not None:
        raise QueryError("a condition and a whole SELECT were given; give one of them")
    if not (folder / TABLE_FILE).exists():
        raise QueryError(
            f"{folder} holds no {TABLE_FILE}; give the folder of a finished softlyte screen "
            "(an unfinished one goes on when the same command is run again)"
        )
    try:
        with duckdb.connect() as database:
            _tables(database, folder)
            if sql is None:
                ranked = database.view("candidates")
                found = (ranked.filter(where) if where else ranked).order("rank")
            else:
                found = database.sql(sql)
            if found is None:
                raise QueryError(f"{sql!r} returns no rows; ask with SELECT")
            return (found if top is None else found.limit(top)).df()
    except duckdb.Error as error:
        raise QueryError(
            f"{str(error).strip().splitlines()[0]} (in {sql or where!r}); correct the SQL"
        ) from error


def _tables(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Make the tables known by their names; files are read when they are asked for."""
    database.read_parquet(str(folder / TABLE_FILE)).create_view("candidates")
    database.read_csv(str(folder / FUNNEL_FILE)).create_view("funnel")
    pieces = [
        str(path)
        for tier in EVALUATED_TIERS
        for path in sorted((folder / CHUNK_FOLDER).glob(f"{tier}-*.parquet"))
    ]
    if pieces:
        database.read_parquet(pieces).create_view("evaluated")
