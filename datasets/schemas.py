"""Schemas made from cards: what a table's rows must obey, checked by pandera."""

from __future__ import annotations

import re

import pandas as pd
import pandera.pandas as pa

from softlyte.datasets.cards import ColumnCard, TableCard
from softlyte.datasets.tables import unfit_rows

_FLAG_CODE = re.compile(r"^(?:[a-z0-9_]+:)?([a-z0-9_]+)(?:=.*)?$")


def flag_codes(flags: pd.Series) -> set[str]:
    """Return the codes used in a flag column; an entry reads `code`, or `column:code=value`."""
    codes = set()
    for entry in {part for text in flags.unique() if text for part in text.split(";")}:
        match = _FLAG_CODE.match(entry)
        codes.add(match.group(1) if match else entry)
    return codes


def table_schema(card: TableCard) -> pa.DataFrameSchema:
    """Return the pandera schema of a card; ranges hold for rows not flagged as a whole."""
    checks = [_range_check(name, spec) for name, spec in card.columns.items() if spec.range is not None]
    if card.flags:
        allowed = set(card.flags)
        checks.append(
            pa.Check(
                lambda frame: flag_codes(frame["flag"]) <= allowed,
                error="flag: a code that the card does not explain",
            )
        )
    return pa.DataFrameSchema(
        {name: _column(name, spec) for name, spec in card.columns.items()},
        checks=checks,
        strict=True,
        ordered=True,
    )


def _column(name: str, spec: ColumnCard) -> pa.Column:
    checks = []
    if spec.allowed is not None:
        checks.append(pa.Check.isin(spec.allowed, error=f"{name}: only {', '.join(spec.allowed)}"))
    if spec.dtype == "text" and spec.required:
        checks.append(pa.Check(lambda column: column != "", error=f"{name}: must not be empty"))
    return pa.Column(nullable=spec.dtype == "number" and not spec.required, unique=spec.unique, checks=checks)


def _range_check(name: str, spec: ColumnCard) -> pa.Check:
    assert spec.range is not None  # noqa: S101 - the caller filters
    low, high = spec.range

    def within(frame: pd.DataFrame) -> pd.Series:
        fits = frame[name].between(low, high) | frame[name].isna()
        return fits | unfit_rows(frame["flag"]) if "flag" in frame else fits

    return pa.Check(within, error=f"{name}: outside {low} to {high} without a flag")


def schema_problems(frame: pd.DataFrame, card: TableCard) -> list[str]:
    """Return one sentence for each rule of the card that the rows break, with the first bad row."""
    try:
        table_schema(card).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        return [
            f"{card.name}: {check} ({len(group)} rows, first row {group['index'].iloc[0]}, "
            f"value {group['failure_case'].iloc[0]!r})"
            for check, group in cases.groupby(cases["check"].astype(str), sort=True)
        ]
    return []
