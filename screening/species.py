"""The declared species of a space: elements in oxidation states, looked up by name, ion or group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from softlyte.featurize.charge import PAULING_TOLERANCE, electronegativities
from softlyte.screening.space_mistakes import Mistakes, mistake
from softlyte.screening.space_schema import SpaceFile, is_slot_name

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


class SpeciesTable:
    """The declared species of a space without the excluded elements, looked up by name or group.

    Args:
        spec: the space file.
        excluded: elements that policies leave out.
        source: the file, for messages.
        mistakes: takes up what is wrong with the declarations.
    """

    def __init__(self, spec: SpaceFile, excluded: Iterable[str], source: str, mistakes: Mistakes) -> None:
        self._spec, self._source = spec, source
        left_out = set(excluded)
        self._by_kind: dict[str, list[Species]] = {}
        self._declared: dict[str, list[Species]] = {}
        tables = {"mobile_ions": spec.mobile_ions, "cations": spec.cations, "anions": spec.anions}
        for kind, table in tables.items():
            self._by_kind[kind] = []
            for symbol, charges in table.items():
                with mistakes.noted():
                    self._declare(kind, symbol, charges, symbol in left_out)
        for group, members in spec.groups.items():
            with mistakes.noted():
                if group in self._declared or group in self._by_kind or is_slot_name(group):
                    remedy = "give the group a name in lower-case words"
                    raise mistake(source, f"groups.{group}", list(members), "the name is taken", remedy)
                self.find(members, f"groups.{group}")
        self._apart: list[list[list[Species]]] = []
        for number, entry in enumerate(spec.incompatible, start=1):
            with mistakes.noted():
                key = f"incompatible[{number}].pair"
                self._apart.append([self.find([name], key) for name in entry.pair])

    def _declare(self, kind: str, symbol: str, charges: Sequence[int], left_out: bool) -> None:
        key = f"{kind}.{symbol}"
        if symbol in self._declared:
            problem, remedy = "the element is declared twice", "keep it in one table"
            raise mistake(self._source, key, charges, problem, remedy)
        declared = [Species(symbol, q, _role(symbol, kind)) for q in charges]
        self._declared[symbol] = [] if left_out else declared
        self._by_kind[kind] += self._declared[symbol]
        wrong = [q for q in charges if (q < 0) != (kind == "anions")]
        if wrong:
            sign = "negative" if kind == "anions" else "positive"
            raise mistake(self._source, key, wrong[0], f"it should be {sign}", "change the sign")

    def admissible(
        self, elements: NDArray[np.uint8], charges: Sequence[int], roles: Sequence[int]
    ) -> NDArray[np.uint8]:
        """Return the element choices that can form a salt.

        Those that hold two incompatible species go, and those with a cation more electronegative than an
        anion (see `out_of_order`).

        Args:
            elements: [E, S] atomic numbers.
            charges: S oxidation states of the slots.
            roles: S roles of the slots.
        """
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
        chi, positive = electronegativities()[elements], np.array(charges) > 0
        highest = np.where(positive, chi, -np.inf).max(axis=1, initial=-np.inf)
        lowest = np.where(positive, np.inf, chi).min(axis=1, initial=np.inf)
        # Written so that an element without a value (NaN) passes.
        return elements[~(highest > lowest + PAULING_TOLERANCE)]

    def out_of_order(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of declared cation and anion that cannot share a composition.

        The cation is more electronegative than the anion by more than PAULING_TOLERANCE: the anion would be
        the one to lose electrons (Davies et al. 2016, doi 10.1016/j.chempr.2016.09.010).
        """
        chi = electronegativities()
        cations = (*self._by_kind["mobile_ions"], *self._by_kind["cations"])
        return tuple(
            (str(cation), str(anion))
            for cation, anion in product(cations, self._by_kind["anions"])
            if chi[cation.number] > chi[anion.number] + PAULING_TOLERANCE
        )

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


def charge_choices(
    pools: Sequence[Sequence[Species]], alike: Sequence[Sequence[int]] = ()
) -> Iterable[tuple[list[Species], ...]]:
    """Yield, slot by slot, the species that share one charge and role, for every combination.

    Args:
        pools: species of each slot.
        alike: positions of slots that may be swapped without changing anything; of the combinations that
            differ by such a swap only the first is given.
    """
    grouped = []
    for pool in pools:
        groups: dict[tuple[int, int], list[Species]] = {}
        for species in pool:
            groups.setdefault((species.charge, species.role), []).append(species)
        grouped.append(list(enumerate(groups.values())))
    pairs = [pair for slots in alike for pair in pairwise(slots)]
    for choice in product(*grouped):
        if all(choice[first][0] <= choice[second][0] for first, second in pairs):
            yield tuple(species for _, species in choice)


def element_choices(
    choice: Sequence[Sequence[Species]], alike: Sequence[Sequence[int]] = ()
) -> NDArray[np.uint8]:
    """Return every choice of one element for each slot, all different, [E, S].

    Args:
        choice: species of each slot, all of one charge.
        alike: positions of slots that may be swapped; their elements ascend where their species agree.
    """
    columns = np.meshgrid(*[np.array([s.number for s in pool], np.uint8) for pool in choice], indexing="ij")
    rows = np.stack([c.ravel() for c in columns], axis=1)
    for first, second in (pair for slots in alike for pair in pairwise(slots)):
        if choice[first] == choice[second]:
            rows = rows[rows[:, first] < rows[:, second]]
    ascending = np.sort(rows, axis=1)
    return rows[(ascending[:, 1:] != ascending[:, :-1]).all(axis=1)]


def alike_slots(count: int, same: Callable[[int, int], bool]) -> list[list[int]]:
    """Return groups of two or more of `count` slots that may be swapped with each other.

    Args:
        count: number of slots.
        same: tells whether swapping two slots leaves everything as it is.
    """
    groups: list[list[int]] = []
    for slot in range(count):
        for group in groups:
            if all(same(other, slot) for other in group):
                group.append(slot)
                break
        else:
            groups.append([slot])
    return [group for group in groups if len(group) > 1]


def _role(symbol: str, kind: str) -> int:
    if kind == "anions":
        return OXYGEN if symbol == "O" else HALOGEN if symbol in HALOGENS else OTHER_ANION
    return MOBILE if kind == "mobile_ions" else FRAMEWORK
