"""From families and mixtures to arrays: element choices times whole-number formulas.

A `Pattern` is one family, mixture or substitution with the charge of every slot fixed. All its candidates
are the product of two small arrays, the element choices and the templates, so nothing is ever laid out row
by row before a chunk is asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import DECIMALS, symbols
from softlyte.screening.space_mistakes import Mistakes, mistake
from softlyte.screening.space_schema import Family, Limits, Mixture, is_slot_name
from softlyte.screening.species import (
    FRAMEWORK,
    HALOGEN,
    MOBILE,
    OXYGEN,
    Species,
    SpeciesTable,
    alike_slots,
    charge_choices,
    element_choices,
)
from softlyte.screening.stoichiometry import GridError, Total, balanced_templates, distinct_rows, lay_grid


@dataclass(frozen=True)
class Pattern:
    """One family, mixture or substitution with fixed charges; its candidates are elements x templates.

    Attributes:
        origin: where it comes from, such as "family A_a M X_x" or "mixture A2O-MX4-M'X3".
        roles: S roles, one for each slot.
        charges: S oxidation states.
        elements: [E, S] uint8 atomic numbers, distinct within a row.
        templates: [T, S] int64 reduced whole-number amounts, all positive.
        element_provenance: [E] int32 index of the provenance of each element choice, or -1.
        template_provenance: [T] int32 index of the provenance of each template where the former is -1.
    """

    origin: str
    roles: tuple[int, ...]
    charges: tuple[int, ...]
    elements: NDArray[np.uint8]
    templates: NDArray[np.int64]
    element_provenance: NDArray[np.int32]
    template_provenance: NDArray[np.int32]


class ProvenanceBook:
    """Provenance strings and their indices, in order of first use."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def index(self, text: str) -> int:
        """Return the index of a string, adding it if new."""
        return self._index.setdefault(text, len(self._index))

    def strings(self) -> tuple[str, ...]:
        """Return all strings in index order."""
        return tuple(self._index)


@dataclass(frozen=True)
class Compiler:
    """What families, mixtures and substitutions are compiled with.

    Attributes:
        table: the declared species.
        book: collects provenance.
        source: the file, for messages.
    """

    table: SpeciesTable
    book: ProvenanceBook
    source: str

    def family(self, family: Family, key: str, limits: Limits) -> list[Pattern]:
        """Return the patterns of one family; raises SpaceError if it holds no composition."""
        names = list(family.slots)
        pools = self.pools(
            {f"{key}.slots.{n}.species": (n, slot.species or (n,)) for n, slot in family.slots.items()}
        )
        self._check_mobile(pools, names, key)
        totals = [Total(tuple(names.index(n) for n in t.of), t.amount.values or ()) for t in family.totals]
        amounts = [slot.amount for slot in family.slots.values()]

        def same(first: int, second: int) -> bool:
            # A slot that balances has no amounts of its own and is like no other.
            together = all((first in t.of) == (second in t.of) for t in totals)
            equal = amounts[first] == amounts[second] and not amounts[first].balances
            return together and equal and pools[first] == pools[second]

        alike, patterns = alike_slots(len(names), same), list[Pattern]()
        for choice in charge_choices(pools, alike):
            charges, roles = tuple(s[0].charge for s in choice), tuple(s[0].role for s in choice)
            elements = self.table.admissible(element_choices(choice, alike), charges, roles)
            try:
                templates = balanced_templates(amounts, charges, totals)
            except GridError as error:
                raise self.too_large(key, family.name, error) from None
            templates = templates[within_limits(templates, roles, limits)]
            if len(elements) and len(templates):
                texts = [f"family {text}" for text in _formula_texts(templates, roles, names)]
                patterns.append(
                    Pattern(
                        f"family {family.name}",
                        roles,
                        charges,
                        elements,
                        templates,
                        element_provenance=np.full(len(elements), -1, np.int32),
                        template_provenance=np.array([self.book.index(t) for t in texts], np.int32),
                    )
                )
        return self.not_empty(patterns, f"{key}.name", family.name)

    def mixture(self, mixture: Mixture, key: str, limits: Limits) -> list[Pattern]:
        """Return the patterns of one mixture: its end members neutral, its moles on the grid."""
        mistakes, parsed = Mistakes(), list[dict[str, int]]()
        for number, member in enumerate(mixture.end_members, start=1):
            with mistakes.noted():
                place = f"{key}.end_members[{number}].formula"
                parsed.append(_parse_member(member.formula, mixture, place, self.source))
        names = list(dict.fromkeys(name for member in parsed for name in member))
        unused = [slot for slot in mixture.slots if slot not in names] if not mistakes else []
        for slot in unused:
            problem, remedy = "no end member has this slot", "use it in a formula or remove it"
            mistakes.add(str(mistake(self.source, f"{key}.slots.{slot}", slot, problem, remedy)))
        pools: list[list[Species]] = []
        with mistakes.noted():
            pools = self.pools({f"{key}.slots.{n}": (n, mixture.slots.get(n, (n,))) for n in names})
        mistakes.raise_any()
        members = np.array([[member.get(name, 0) for name in names] for member in parsed], dtype=np.int64)
        self._check_mobile(pools, names, key)
        formulas = [m.formula for m in mixture.end_members]
        totals = [
            Total(tuple(formulas.index(n) for n in t.of), t.amount.values or ()) for t in mixture.totals
        ]
        try:
            grid, _ = lay_grid([m.amount.values or () for m in mixture.end_members], totals)
        except GridError as error:
            raise self.too_large(key, mixture.name, error) from None
        mixed = distinct_rows(grid @ members)

        def same(first: int, second: int) -> bool:
            swapped = members.copy()
            swapped[:, [first, second]] = members[:, [second, first]]
            return pools[first] == pools[second] and _recipes(mixture, swapped) == _recipes(mixture, members)

        alike, patterns = alike_slots(len(names), same), list[Pattern]()
        for choice in charge_choices(pools, alike):
            charges, roles = tuple(s[0].charge for s in choice), tuple(s[0].role for s in choice)
            if (members @ np.array(charges)).any():
                continue  # an end member is not neutral with these oxidation states
            elements = self.table.admissible(element_choices(choice, alike), charges, roles)
            templates = mixed[within_limits(mixed, roles, limits)]
            if len(elements) and len(templates):
                texts = [f"mixture {text}" for text in _mixture_texts(parsed, names, elements)]
                patterns.append(
                    self.by_elements(f"mixture {mixture.name}", choice, elements, templates, texts)
                )
        return self.not_empty(patterns, f"{key}.end_members", mixture.name)

    def by_elements(
        self,
        origin: str,
        choice: Sequence[Sequence[Species]],
        elements: NDArray[np.uint8],
        templates: NDArray[np.int64],
        texts: Sequence[str],
    ) -> Pattern:
        """Return a pattern whose provenance (`texts`, one for each element choice) the elements decide."""
        return Pattern(
            origin,
            tuple(s[0].role for s in choice),
            tuple(s[0].charge for s in choice),
            elements,
            templates,
            element_provenance=np.array([self.book.index(t) for t in texts], np.int32),
            template_provenance=np.full(len(templates), -1, np.int32),
        )

    def pools(self, slots: Mapping[str, tuple[str, Sequence[str]]]) -> list[list[Species]]:
        """Return the species of each slot; raises one SpaceError for all slots that name none.

        Args:
            slots: place in the file -> the slot's name and the names of its species.
        """
        mistakes, pools = Mistakes(), list[list[Species]]()
        for key, (name, species) in slots.items():
            with mistakes.noted():
                pools.append(self.table.find(species, key))
                if not pools[-1]:
                    problem, remedy = (
                        "every species of it is excluded by a policy",
                        "add species or drop the policy",
                    )
                    place = key.removesuffix(".species")
                    raise mistake(self.source, place, name, problem, remedy, consequent=True)
        mistakes.raise_any()
        return pools

    def too_large(self, key: str, name: str, error: GridError) -> Exception:
        """Return the mistake of a grid that is too large."""
        return mistake(self.source, key, name, f"it lays out {error}", "narrow the amounts")

    def not_empty(self, patterns: list[Pattern], key: str, name: str) -> list[Pattern]:
        """Return the patterns; raises SpaceError if there are none."""
        if not patterns:
            problem = "it holds no neutral composition within the limits"
            remedy = "widen its amounts, species or limits"
            raise mistake(self.source, key, name, problem, remedy, consequent=True)
        return patterns

    def _check_mobile(self, pools: Sequence[Sequence[Species]], names: Sequence[str], key: str) -> None:
        if not any(species.role == MOBILE for pool in pools for species in pool):
            problem, remedy = "no slot holds a mobile ion", 'add a slot with species = "mobile_ions"'
            raise mistake(self.source, f"{key}.slots", list(names), problem, remedy, consequent=True)


def within_limits(templates: NDArray[np.int64], roles: Sequence[int], limits: Limits) -> NDArray[np.bool_]:
    """Return which templates meet the limits, [T]; a ratio to nothing meets no upper limit."""
    role = np.array(roles)
    mobile, framework, oxygen, halogen = (
        templates[:, role == r].sum(axis=1).astype(float) for r in (MOBILE, FRAMEWORK, OXYGEN, HALOGEN)
    )
    atoms = templates.sum(axis=1).astype(float)
    keep = np.ones(len(templates), dtype=np.bool_)
    # A tolerance of 1e-9 keeps compositions that lie exactly on a limit.
    for low, high, part, whole in (
        (None, limits.max_atoms, atoms, np.ones(len(templates))),
        (limits.min_mobile_fraction, limits.max_mobile_fraction, mobile, atoms),
        (limits.min_mobile_per_framework, limits.max_mobile_per_framework, mobile, framework),
        (None, limits.max_anions_per_framework, atoms - mobile - framework, framework),
        (None, limits.max_oxygen_per_framework, oxygen, framework),
        (None, limits.max_oxygen_per_halogen, oxygen, halogen),
    ):
        if low is not None:
            keep &= part >= low * whole - 1e-9
        if high is not None:
            keep &= part <= high * whole + 1e-9
    return keep


def written_divisor(templates: NDArray[np.int64], roles: Sequence[int]) -> NDArray[np.int64]:
    """Return what to divide the whole-number amounts by to get those that people write, [T].

    1 up to three framework cations (Li7Y3Cl16); from four on their number, so that one is left in all
    (LiAlCl2.5O0.75), where that is exact in four decimals.
    """
    framework = templates[:, np.array(roles) == FRAMEWORK].sum(axis=1)
    exact = (templates * 10**DECIMALS % np.maximum(framework, 1)[:, None] == 0).all(axis=1)
    divisor: NDArray[np.int64] = np.where((framework >= 4) & exact, framework, 1)
    return divisor


def _formula_texts(templates: NDArray[np.int64], roles: Sequence[int], names: Sequence[str]) -> list[str]:
    written = templates / written_divisor(templates, roles)[:, None]
    return ["".join(n + _number(a) for n, a in zip(names, row, strict=True)) for row in written.tolist()]


def _number(amount: float) -> str:
    text = f"{amount:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "" if text == "1" else text


def _mixture_texts(
    parsed: Sequence[dict[str, int]], names: Sequence[str], elements: NDArray[np.uint8]
) -> list[str]:
    symbol = symbols()
    texts = []
    for row in elements.tolist():
        of = {name: symbol[z] for name, z in zip(names, row, strict=True)}
        texts.append("-".join("".join(of[n] + _number(k) for n, k in member.items()) for member in parsed))
    return texts


def _recipes(mixture: Mixture, members: NDArray[np.int64]) -> frozenset[tuple[object, ...]]:
    """Return a mixture's end members as a set: atoms by slot, amounts, and the totals they count in."""
    return frozenset(
        (
            tuple(row),
            member.amount,
            frozenset(n for n, total in enumerate(mixture.totals) if member.formula in total.of),
        )
        for row, member in zip(members.tolist(), mixture.end_members, strict=True)
    )


_TOKEN = re.compile(r"([A-Z][a-z]?'*)(\d*)")


def _parse_member(formula: str, mixture: Mixture, key: str, source: str) -> dict[str, int]:
    """Read an end member such as A2O or M'X3 into slot -> whole number."""
    tokens = _TOKEN.findall(formula)
    if "".join(name + number for name, number in tokens) != formula or not tokens:
        remedy = "write slots or elements with whole numbers, like A2O or ZrCl4"
        raise mistake(source, key, formula, "it cannot be read", remedy)
    amounts: dict[str, int] = {}
    for name, number in tokens:
        if name not in mixture.slots and (is_slot_name(name) or name not in symbols()):
            raise mistake(source, key, formula, f"{name} is no slot of this mixture", f"add slots.{name}")
        amounts[name] = amounts.get(name, 0) + int(number or 1)
    if not math.prod(amounts.values()):
        raise mistake(source, key, formula, "a number of atoms is zero", "leave that element out")
    return amounts
