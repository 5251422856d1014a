"""Fitted numbers of the mechanics and pressure models, read from the table `pressure_parameters`.

`python -m softlyte.screening.fit_parameters` makes that table; its rows name what each number was fitted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from softlyte.datasets.tables import load_table

TABLE = "pressure_parameters"


@dataclass(frozen=True)
class Parameter:
    """One fitted number: value and standard deviation in the unit that the table states."""

    value: float
    sd: float


_REPLACED: ContextVar[Mapping[str, Parameter] | None] = ContextVar("replaced", default=None)


@contextmanager
def replaced(values: Mapping[str, Parameter]) -> Iterator[None]:
    """Use other numbers than the table's, for a fit that builds on numbers that are not written yet."""
    token = _REPLACED.set(values)
    try:
        yield
    finally:
        _REPLACED.reset(token)


@lru_cache(maxsize=1)
def _parameters() -> dict[str, Parameter]:
    table = load_table(TABLE)
    return {
        str(name): Parameter(float(value), float(sd))
        for name, value, sd in zip(
            table["parameter"], table["value"], table["standard_deviation"], strict=True
        )
    }


def parameters() -> dict[str, Parameter]:
    """Return the table's numbers by name."""
    return dict(_parameters())


def parameter(name: str) -> Parameter:
    """Return one fitted number; raises KeyError naming the known ones."""
    values = _REPLACED.get()
    known = _parameters() if values is None else values
    if name not in known:
        raise KeyError(f"no parameter {name!r}; there are {', '.join(known)}")
    return known[name]
