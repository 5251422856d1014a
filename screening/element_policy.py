"""Element policies: named lists of elements to leave out, each with its reason and source."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from softlyte.datasets.formulas import symbols


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
    """One named list of elements to leave out.

    Attributes:
        elements: symbol -> why this one (empty: the policy's reason says all).
        reason: why elements are on the list.
        source: where the criterion or the numbers come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    elements: Annotated[dict[str, str], BeforeValidator(_as_reasons)]
    reason: str
    source: str = "the user's own list"


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


def exclusions(policies: Mapping[str, ElementPolicy], names: Iterable[str]) -> dict[str, Exclusion]:
    """Return the excluded elements of the named policies; the first policy that names an element counts.

    Raises KeyError with the name if a policy does not exist.
    """
    found: dict[str, Exclusion] = {}
    for name in names:
        policy = policies[name]
        for element, reason in policy.elements.items():
            found.setdefault(element, Exclusion(element, name, reason or policy.reason))
    return found
