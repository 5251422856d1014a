"""What brought cells below a pressure that their electrolyte alone does not reach, with source.

The rows are those of `pressure_cited` that another lever than the electrolyte carried (interlayers, hosts,
binders, isostatic holders, springs, cut-off voltage, temperature) and the functional layers of
`interface_layers_cited`. They are quoted, never fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from softlyte.datasets.tables import load_table

OTHER_LEVER = "other_lever"


@dataclass(frozen=True)
class Strategy:
    """One cell that ran at a low pressure with help.

    Attributes:
        strategy: what kept the contact.
        electrolyte: name of the electrolyte or cell part, as the source has it.
        kind: first word of the electrolyte's class, such as "sulfide"; "" where it is not stated.
        stack_pressure_mpa: reported; 0 is without external pressure.
        result: what was reported, "" if nothing.
        temperature_c: of the cell where it was heated, NaN else.
        source: title and address of what was read.
    """

    strategy: str
    electrolyte: str
    kind: str
    stack_pressure_mpa: float
    result: str
    temperature_c: float
    source: str


@dataclass(frozen=True)
class Layer:
    """One functional layer or interphase.

    Attributes:
        name: of the layer.
        where: interface that it sits at.
        what: what it is and does.
        stack_pressure_mpa: of the cell, NaN where it is not stated.
        source: title and address of what was read.
    """

    name: str
    where: str
    what: str
    stack_pressure_mpa: float
    source: str


@lru_cache(maxsize=1)
def class_moduli_gpa() -> dict[str, float]:
    """Return the median Young's modulus of the cited materials of each kind of electrolyte, in GPa."""
    table = load_table("mechanics_cited", drop_flagged=True)
    young = table[["youngs_modulus_gpa_min", "youngs_modulus_gpa_max"]].mean(axis=1)
    kinds = table["class"].map(_kind)
    return {str(kind): float(value) for kind, value in young.groupby(kinds).median().dropna().items() if kind}


def strategies_below(pressure_mpa: float, youngs_modulus_gpa: float) -> list[Strategy]:
    """Return the strategies that reached a pressure, those that carry over best first.

    What kept the contact of an electrolyte at least as stiff will keep that of a softer one: strategies shown
    on electrolytes with at least half of the candidate's modulus come first (the nearest modulus first), then
    those whose electrolyte is not stated, then those shown on softer ones.

    Args:
        pressure_mpa: highest stack pressure.
        youngs_modulus_gpa: of the candidate.
    """
    table = load_table("pressure_cited")
    table = table[(table["flag"] == OTHER_LEVER) & (table["stack_pressure_mpa_max"] <= pressure_mpa)]
    found = [
        Strategy(
            strategy=str(row["strategy"]),
            electrolyte=str(row["name"]),
            kind=_kind(str(row["class"])),
            stack_pressure_mpa=float(row["stack_pressure_mpa_max"]),
            result=str(row["performance"]),
            temperature_c=float(row["temperature_c"]),
            source=_source(row),
        )
        for _, row in table.iterrows()
    ]

    def order(strategy: Strategy) -> tuple[int, float, float]:
        modulus = class_moduli_gpa().get(strategy.kind)
        if modulus is None:
            return 1, 0.0, strategy.stack_pressure_mpa
        near = abs(math.log(modulus / youngs_modulus_gpa))
        return (0 if modulus >= 0.5 * youngs_modulus_gpa else 2), near, strategy.stack_pressure_mpa

    return sorted(found, key=order)


def interface_layers() -> list[Layer]:
    """Return the functional layers and interphases, those with a stated pressure first."""
    table = load_table("interface_layers_cited").sort_values(
        "stack_pressure_mpa", kind="stable", na_position="last"
    )
    return [
        Layer(
            str(row["name"]),
            str(row["where"]),
            str(row["what"]),
            float(row["stack_pressure_mpa"]),
            _source(row),
        )
        for _, row in table.iterrows()
    ]


def _kind(text: str) -> str:
    """Return the first word of a class, without its doubt: "sulfide (to check)" is a sulfide."""
    return text.split()[0] if text.strip() else ""


def _source(row: pd.Series) -> str:
    return ", ".join(part for part in (str(row["source_title"]), str(row["source_address"])) if part)
