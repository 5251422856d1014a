"""The data of the report: what the page's script draws, sorts and shows, as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element

from softlyte.datasets.columns import COLUMNS
from softlyte.screening.report.chances import chances
from softlyte.screening.report.known import facts_about, known_points
from softlyte.screening.report.pressure_lines import pressure_lines
from softlyte.screening.report.run import Run

BATCH_G = 10.0
"""Mass of product that a card's recipe is for."""

LEFT_OUT = ("log10_sigma_s_cm",)
"""Predicted columns that another one repeats in a unit that a person reads."""

_TERM = re.compile(r"(?:^|\s[+-]\s)(?:\d+(?:\.\d+)?\s)?(\S+)")
_DIGITS = 4

COMPARISONS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}


def payload(run: Run) -> dict[str, Any]:
    """Return everything that the page's script needs, made of JSON types without NaN.

    Tables are stored by column; a text column holds each distinct text once and a code for each row.
    """
    table = run.candidates
    judged = chances(table, run.targets)
    return {
        "rows": len(table),
        "columns": [_column(table, name) for name in _shown(table)],
        "targets": [
            {
                "column": chance.target.column,
                "comparison": COMPARISONS[chance.target.comparison],
                "value": chance.target.value,
                "low": chance.target.wants_low,
                "exact": chance.exact,
                "label": COLUMNS[chance.target.column].label,
                "unit": COLUMNS[chance.target.column].unit,
                "chance": _numbers(chance.probability, 3),
            }
            for chance in judged
        ],
        "batch_g": BATCH_G,
        "molar_masses": molar_masses(table),
        "facts": facts_about(table["nearest_known"].unique() if "nearest_known" in table else ()),
        "known": known_points(),
        "pressure": {
            "target_mpa": run.targets.pressure_mpa(),
            "lines": [
                {
                    "phase": line.phase,
                    "youngs_gpa": _number(line.youngs_gpa),
                    "low_gpa": _number(line.low_gpa),
                    "high_gpa": _number(line.high_gpa),
                }
                for line in pressure_lines(run.targets.pressure_mpa(), run.targets.conditions)
            ],
        },
        "funnel": [
            {"tier": str(tier), "in": int(given), "out": int(left), "removed": int(gone), "reason": str(why)}
            for tier, given, left, gone, why in run.funnel[
                ["tier", "in", "out", "removed", "reason"]
            ].itertuples(index=False, name=None)
        ],
        "elements": _periodic_table(),
    }


def script_json(content: object) -> str:
    """Return JSON that may stand inside an HTML script element: no text in it can end the element."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def molar_masses(candidates: pd.DataFrame) -> dict[str, float]:
    """Return g/mol of every candidate and of every compound in the precursor routes; unreadable ones lack."""
    names = set(candidates["formula"])
    for route in candidates.get("precursor_route", pd.Series(dtype=str)).unique():
        names.update(_TERM.findall(str(route)))
    masses = {}
    for name in sorted(names):
        try:
            masses[name] = float(f"{float(Composition(name).weight):.7g}")
        except (ValueError, KeyError, TypeError, IndexError):
            # A hand-edited file: the card says that there is no mass.
            continue
    return masses


def _shown(table: pd.DataFrame) -> list[str]:
    ends = ("", "_lower", "_upper")
    dropped = {f"{name}{end}" for name in LEFT_OUT for end in ends} if "sigma_ms_cm" in table else set()
    return [str(name) for name in table.columns if name not in dropped]


def _column(table: pd.DataFrame, name: str) -> dict[str, Any]:
    known = COLUMNS.get(name)
    head = {
        "name": name,
        "label": known.label if known else name,
        "unit": known.unit if known else "",
        "meaning": known.meaning if known else "",
    }
    values = table[name]
    if pd.api.types.is_bool_dtype(values):
        return head | {"kind": "flag", "data": [int(v) for v in values]}
    if pd.api.types.is_numeric_dtype(values):
        digits = 7 if name == "rank" else _DIGITS
        return head | {"kind": "number", "data": _numbers(values.to_numpy(np.float64), digits)}
    codes, texts = pd.factorize(values.fillna("").astype(str))
    return head | {"kind": "text", "codes": codes.tolist(), "texts": [str(t) for t in texts]}


def _numbers(values: Sequence[float] | np.ndarray, digits: int) -> list[float | int | None]:
    return [_number(float(v), digits) for v in values]


def _number(value: float, digits: int = _DIGITS) -> float | int | None:
    """Return a value at so many digits, whole numbers as such; None if it is not finite."""
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _periodic_table() -> list[dict[str, Any]]:
    """Return symbol, name, row (1-9, lanthanides 8, actinides 9) and column (1-18) of elements 1 to 103."""
    cells = []
    for number in range(1, 104):
        element = Element.from_Z(number)
        row, column = element.row, element.group
        if 57 <= number <= 71 or 89 <= number <= 103:
            row, column = (8, number - 54) if number <= 71 else (9, number - 86)
        cells.append(
            {"symbol": element.symbol, "name": element.long_name, "row": int(row), "column": int(column)}
        )
    return cells
