"""Element policies: elements to leave out by name, by supply risk or by price, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from softlyte.datasets.formulas import symbols
from softlyte.screening.prices import default_prices
from softlyte.screening.supply_risk import element_supply_risk


def check_element(symbol: object) -> str:
    """Return an element's symbol; raises ValueError with the remedy if there is no such element."""
    if not isinstance(symbol, str) or symbol not in symbols()[1:]:
        raise ValueError(f"{symbol!r} is not the symbol of an element; write one like 'Zr'")
    return symbol


def _as_reasons(elements: object) -> dict[str, str]:
    """Read a list of symbols, or a table of symbol and reason, into a table (empty reasons for a list)."""
    if isinstance(elements, list):
        elements = dict.fromkeys(map(check_element, elements), "")
    if not isinstance(elements, dict) or not all(isinstance(text, str) for text in elements.values()):
        raise ValueError('the elements are no list; write elements = ["Cd", "Hg"] or a table of reasons')
    return {check_element(symbol): text for symbol, text in elements.items()}


class ElementPolicy(BaseModel):
    """One named policy: elements to leave out, by a list, by limits, or by both.

    An element whose figure is unknown is left out by a limit on it, and the reason says so.

    Attributes:
        elements: symbol -> why this one (empty: the policy's reason says all).
        max_hhi_production: largest Herfindahl-Hirschman index of production that may stay, 0 to 10,000
            (see `supply_risk`).
        max_hhi_reserve: the same of reserves.
        max_price_usd_kg: largest price that may stay, in USD per kilogram of the element in its cheapest
            precursor (`PriceTable.usd_per_kg_of_element`); judges mobile ions and cations, since anions
            are priced with the cations that bring them.
        reason: why elements are on the list; limits give their own reason.
        source: where the criterion or the numbers come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: Annotated[dict[str, str], BeforeValidator(_as_reasons)] = {}
    max_hhi_production: float | None = Field(default=None, gt=0, le=10_000)
    max_hhi_reserve: float | None = Field(default=None, gt=0, le=10_000)
    max_price_usd_kg: float | None = Field(default=None, gt=0)
    reason: str = ""
    source: str = "the user's own list"

    @model_validator(mode="after")
    def _says_something(self) -> ElementPolicy:
        if not self.model_fields_set & set(_CRITERIA):
            raise ValueError(f"the policy leaves nothing out; give it one of {', '.join(_CRITERIA)}")
        if "elements" in self.model_fields_set and "reason" not in self.model_fields_set:
            raise ValueError('the list of elements has no reason; add reason = "..."')
        return self

    def left_out(self, declared: Sequence[str], cations: Sequence[str]) -> dict[str, str]:
        """Return the elements that the policy leaves out, each with its reason.

        Args:
            declared: elements that limits judge by supply risk.
            cations: elements that the limit on prices judges.
        """
        found = {element: reason or self.reason for element, reason in self.elements.items()}
        risk = element_supply_risk()
        for limit, values, judged, what, unit in (
            (self.max_hhi_production, risk[:, 0], declared, "supply risk of production", ""),
            (self.max_hhi_reserve, risk[:, 1], declared, "supply risk of reserves", ""),
            (self.max_price_usd_kg, _prices(), cations, "price in its cheapest precursor", " USD/kg"),
        ):
            if limit is None:
                continue
            for element in judged:
                value = float(values[symbols().index(element)])
                if not value <= limit:
                    known = f"{what} {value:,.4g}{unit} is above {limit:,.4g}" if value == value else ""
                    found.setdefault(
                        element, known or f"{what} is not known, so not below {limit:,.4g}{unit}"
                    )
        return found


_CRITERIA = ("elements", "max_hhi_production", "max_hhi_reserve", "max_price_usd_kg")


@lru_cache(maxsize=1)
def _prices() -> NDArray[np.float64]:
    return default_prices().usd_per_kg_of_element()


@lru_cache(maxsize=1)
def builtin_policies() -> Mapping[str, ElementPolicy]:
    """Return the shipped policies by name: toxic, radioactive, very_rare."""
    text = resources.files("softlyte.screening").joinpath("element_policies.toml").read_text("utf-8")
    return MappingProxyType(
        {name: ElementPolicy.model_validate(entry) for name, entry in tomllib.loads(text).items()}
    )


@dataclass(frozen=True)
class Exclusion:
    """Why one element is left out: `policy` is the list's name, `reason` a phrase for a person."""

    element: str
    policy: str
    reason: str


def exclusions(
    policies: Mapping[str, ElementPolicy],
    names: Iterable[str],
    declared: Sequence[str] = (),
    cations: Sequence[str] = (),
) -> dict[str, Exclusion]:
    """Return the excluded elements of the named policies; the first policy that names an element counts.

    Args:
        policies: all policies by name.
        names: those in force.
        declared: elements that limits on supply risk judge.
        cations: elements that limits on prices judge.

    Raises KeyError with the name if a policy does not exist.
    """
    found: dict[str, Exclusion] = {}
    for name in names:
        for element, reason in policies[name].left_out(declared, cations).items():
            found.setdefault(element, Exclusion(element, name, reason))
    return found
