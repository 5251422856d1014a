"""From families and mixtures to arrays: element choices times whole-number formulas.

A `Pattern` is one family or mixture with the charge of every slot fixed. All its candidates are the
product of two small arrays, the element choices and the templates, so nothing is ever laid out row by
row before a chunk is asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.datasets.formulas import DECIMALS, symbols
from softlyte.screening.space_schema import Family, Limits, Mixture, SpaceFile, is_slot_name, mistake
from softlyte.screening.stoichiometry import GridError, Total, balanced_templates, distinct_rows, lay_grid

MOBILE, FRAMEWORK, OXYGEN, HALOGEN, OTHER_ANION = range(5)
"""Roles of a slot."""

HALOGENS = ("F", "Cl", "Br", "I")


@dataclass(frozen=True)
class Species:
    """An element in one declared oxidation state."""

    symbol: str
    charge: int
    role: int

    @property
    def number(self) -> int:
        """Atomic number."""
        return int(Element(self.symbol).Z)

    def __str__(self) -> str:
        return f"{self.symbol}{abs(self.charge)}{'+' if self.charge > 0 else '-'}"


@dataclass(frozen=True)
class Pattern:
    """One family or mixture with fixed charges; its candidates are elements x templates.

    Attributes:
        origin: the family's name or the mixture's end members, such as "mixture A2O-MX4-M'X3".
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


class SpeciesTable:
    """The declared species of a space without the excluded elements, looked up by name or group."""

    def __init__(self, spec: SpaceFile, excluded: Iterable[str], source: str) -> None:
        self._spec, self._source = spec, source
        left_out = set(excluded)
        self._by_kind: dict[str, list[Species]] = {}
        self._declared: dict[str, list[Species]] = {}
        tables = {"mobile_ions": spec.mobile_ions, "cations": spec.cations, "anions": spec.anions}
        for kind, table in tables.items():
            self._by_kind[kind] = []
            for symbol, charges in table.items():
                key = f"{kind}.{symbol}"
                if symbol in self._declared:
                    raise mistake(
                        source, key, charges, "the element is declared twice", "keep it in one table"
                    )
                wrong = [q for q in charges if (q < 0) != (kind == "anions")]
                if wrong:
                    sign = "negative" if kind == "anions" else "positive"
                    raise mistake(source, key, wrong[0], f"it should be {sign}", "change the sign")
                declared = [Species(symbol, q, _role(symbol, kind)) for q in charges]
                self._declared[symbol] = [] if symbol in left_out else declared
                self._by_kind[kind] += self._declared[symbol]
        for group, members in spec.groups.items():
            if group in self._declared or group in self._by_kind or is_slot_name(group):
                remedy = "give the group a name in lower-case words"
                raise mistake(source, f"groups.{group}", list(members), "the name is taken", remedy)
            self.find(members, f"groups.{group}")

        self._apart = [
            [self.find([name], f"incompatible[{number}].pair") for name in entry.pair]
            for number, entry in enumerate(spec.incompatible, start=1)
        ]

    def compatible(
        self, elements: NDArray[np.uint8], charges: Sequence[int], roles: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Return the element choices without those that hold two incompatible species."""
        slots = list(zip(charges, roles, strict=True))

        def holds(species: Sequence[Species]) -> NDArray[np.bool_]:
            found = np.zeros(len(elements), dtype=np.bool_)
            for one in species:
                for slot, kind in enumerate(slots):
                    if kind == (one.charge, one.role):
                        found |= elements[:, slot] == one.number
            return found

        for first, second in self._apart:
            elements = elements[~(holds(first) & holds(second))]
        return elements

    def find(self, names: Sequence[str], key: str, _open: tuple[str, ...] = ()) -> list[Species]:
        """Return the species that names of groups, elements (Zr) or ions (Zr4+) stand for, none twice.

        Excluded elements are left out; raises SpaceError for a name that is not declared.
        """
        found: dict[Species, None] = {}
        for name in names:
            if name in _open:
                problem, remedy = f"the group {name!r} contains itself", "take it out"
                raise mistake(self._source, key, list(names), problem, remedy)
            if name in self._by_kind:
                found |= dict.fromkeys(self._by_kind[name])
            elif name in self._spec.groups:
                members = self._spec.groups[name]
                found |= dict.fromkeys(self.find(members, f"groups.{name}", (*_open, name)))
            else:
                found |= dict.fromkeys(self._one(name, key, names))
        return list(found)

    def _one(self, name: str, key: str, names: Sequence[str]) -> list[Species]:
        symbol = re.sub(r"\d*[+-]$", "", name)
        if symbol not in self._declared:
            remedy = "use a group or an element declared in mobile_ions, cations or anions"
            raise mistake(self._source, key, list(names), f"{name!r} is not declared", remedy)
        chosen = [s for s in self._declared[symbol] if name in (symbol, str(s))]
        states = {**self._spec.mobile_ions, **self._spec.cations, **self._spec.anions}[symbol]
        if not chosen and name != symbol and name not in {str(Species(symbol, q, 0)) for q in states}:
            remedy = f"write one of {', '.join(str(Species(symbol, q, 0)) for q in states)}"
            raise mistake(self._source, key, list(names), f"the state {name!r} is not declared", remedy)
        return chosen


def _role(symbol: str, kind: str) -> int:
    if kind == "anions":
        return OXYGEN if symbol == "O" else HALOGEN if symbol in HALOGENS else OTHER_ANION
    return MOBILE if kind == "mobile_ions" else FRAMEWORK


def family_patterns(
    family: Family, key: str, table: SpeciesTable, limits: Limits, book: ProvenanceBook, source: str
) -> list[Pattern]:
    """Return the patterns of one family; raises SpaceError if it holds no composition."""
    names = list(family.slots)
    pools = [
        table.find(slot.species or (name,), f"{key}.slots.{name}.species")
        for name, slot in family.slots.items()
    ]
    _check_mobile(pools, names, key, source)
    totals = [Total(tuple(names.index(n) for n in t.of), t.amount.values or ()) for t in family.totals]
    amounts = [slot.amount for slot in family.slots.values()]
    patterns = []
    for choice in _charge_choices(pools):
        charges, roles = tuple(s[0].charge for s in choice), tuple(s[0].role for s in choice)
        elements = table.compatible(_element_choices(choice), charges, roles)
        try:
            templates = balanced_templates(amounts, charges, totals)
        except GridError as error:
            raise mistake(source, key, family.name, f"it lays out {error}", "narrow the amounts") from None
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
                    template_provenance=np.array([book.index(t) for t in texts], np.int32),
                )
            )
    return _not_empty(patterns, f"{key}.name", family.name, source)


def mixture_patterns(
    mixture: Mixture, key: str, table: SpeciesTable, limits: Limits, book: ProvenanceBook, source: str
) -> list[Pattern]:
    """Return the patterns of one mixture: its end members neutral, its moles on the grid."""
    parsed = [
        _parse_member(m.formula, mixture, f"{key}.end_members[{i + 1}].formula", source)
        for i, m in enumerate(mixture.end_members)
    ]
    names = list(dict.fromkeys(name for member in parsed for name in member))
    for slot in mixture.slots:
        if slot not in names:
            remedy = "use it in a formula or remove it"
            raise mistake(source, f"{key}.slots.{slot}", slot, "no end member has this slot", remedy)
    members = np.array([[member.get(name, 0) for name in names] for member in parsed], dtype=np.int64)
    pools = [table.find(mixture.slots.get(n, (n,)), f"{key}.slots.{n}") for n in names]
    _check_mobile(pools, names, key, source)
    formulas = [m.formula for m in mixture.end_members]
    totals = [Total(tuple(formulas.index(n) for n in t.of), t.amount.values or ()) for t in mixture.totals]
    try:
        grid, _ = lay_grid([m.amount.values or () for m in mixture.end_members], totals)
    except GridError as error:
        raise mistake(source, key, mixture.name, f"it lays out {error}", "narrow the amounts") from None
    mixed = distinct_rows(grid @ members)
    patterns = []
    for choice in _charge_choices(pools):
        charges, roles = tuple(s[0].charge for s in choice), tuple(s[0].role for s in choice)
        if (members @ np.array(charges)).any():
            continue  # an end member is not neutral with these oxidation states
        elements = table.compatible(_element_choices(choice), charges, roles)
        templates = mixed[within_limits(mixed, roles, limits)]
        if len(elements) and len(templates):
            texts = [f"mixture {text}" for text in _mixture_texts(parsed, names, elements)]
            patterns.append(
                Pattern(
                    f"mixture {mixture.name}",
                    roles,
                    charges,
                    elements,
                    templates,
                    element_provenance=np.array([book.index(t) for t in texts], np.int32),
                    template_provenance=np.full(len(templates), -1, np.int32),
                )
            )
    return _not_empty(patterns, f"{key}.end_members", mixture.name, source)


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


def written_amounts(templates: NDArray[np.int64], roles: Sequence[int]) -> NDArray[np.float64]:
    """Return the amounts as people write them, [T, S].

    Whole numbers up to three framework cations (Li7Y3Cl16); from four on one framework cation in all
    (LiAlCl2.5O0.75), where that is exact in four decimals.
    """
    framework = templates[:, np.array(roles) == FRAMEWORK].sum(axis=1)
    exact = (templates * 10**DECIMALS % np.maximum(framework, 1)[:, None] == 0).all(axis=1)
    return templates / np.where((framework >= 4) & exact, framework, 1)[:, None]


def _charge_choices(pools: Sequence[Sequence[Species]]) -> Iterable[tuple[list[Species], ...]]:
    """Yield, slot by slot, the species that share one charge and role, for every combination."""
    grouped = []
    for pool in pools:
        groups: dict[tuple[int, int], list[Species]] = {}
        for species in pool:
            groups.setdefault((species.charge, species.role), []).append(species)
        grouped.append(list(groups.values()))
    return product(*grouped)


def _element_choices(choice: Sequence[Sequence[Species]]) -> NDArray[np.uint8]:
    """Return every choice of one element for each slot, all different, [E, S]."""
    columns = np.meshgrid(*[np.array([s.number for s in pool], np.uint8) for pool in choice], indexing="ij")
    rows = np.stack([c.ravel() for c in columns], axis=1)
    ascending = np.sort(rows, axis=1)
    return rows[(ascending[:, 1:] != ascending[:, :-1]).all(axis=1)]


def _formula_texts(templates: NDArray[np.int64], roles: Sequence[int], names: Sequence[str]) -> list[str]:
    written = written_amounts(templates, roles)
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


def _check_mobile(pools: Sequence[Sequence[Species]], names: Sequence[str], key: str, source: str) -> None:
    for name, pool in zip(names, pools, strict=True):
        if not pool:
            problem = "every species of it is excluded by a policy"
            raise mistake(source, f"{key}.slots.{name}", name, problem, "add species or drop the policy")
    if not any(species.role == MOBILE for pool in pools for species in pool):
        remedy = 'add a slot with species = "mobile_ions"'
        raise mistake(source, f"{key}.slots", list(names), "no slot holds a mobile ion", remedy)


def _not_empty(patterns: list[Pattern], key: str, name: str, source: str) -> list[Pattern]:
    if not patterns:
        problem = "it holds no neutral composition within the limits"
        raise mistake(source, key, name, problem, "widen its amounts, species or limits")
    return patterns
