"""Substitution series around named parents: Li3-xY1-xZrxCl6 around Li3YCl6, charge kept by the mobile ion.

A parent's species keep their places; substitutes come in on a grid of amounts, what they replace shrinks by
as much, and one species of the parent takes up the difference in charge (vacancies or further ions).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.screening.patterns import Compiler, Pattern, within_limits
from softlyte.screening.space_mistakes import Mistakes, mistake
from softlyte.screening.space_schema import Limits, Substitution
from softlyte.screening.species import MOBILE, Species, alike_slots, charge_choices, element_choices
from softlyte.screening.stoichiometry import GridError, distinct_rows, lay_grid


class _Parent(NamedTuple):
    """A parent with its places found.

    Attributes:
        formula: as the file writes it.
        names: its S elements.
        amounts: [S] atoms in one formula unit.
        sites: for each replacement the position of the element that it replaces.
        balance: position of the element that takes up the charge.
    """

    formula: str
    names: tuple[str, ...]
    amounts: tuple[Fraction, ...]
    sites: tuple[int, ...]
    balance: int


def substitution_patterns(entry: Substitution, key: str, limits: Limits, compiler: Compiler) -> list[Pattern]:
    """Return the patterns of one substitution: each parent itself, then its series.

    Raises:
        SpaceError: a parent is not neutral, lacks a site, or gives no neutral composition.
    """
    mistakes, patterns = Mistakes(), list[Pattern]()
    for formula in entry.parents:
        with mistakes.noted():
            patterns += _of_parent(entry, formula, key, limits, compiler)
    mistakes.raise_any()
    return patterns


def _of_parent(
    entry: Substitution, formula: str, key: str, limits: Limits, compiler: Compiler
) -> list[Pattern]:
    parent = _read_parent(entry, formula, key, compiler)
    places: dict[str, tuple[str, tuple[str, ...]]] = {
        f"{key}.parents.{name}": (formula, (name,)) for name in parent.names
    }
    places |= {
        f"{key}.replace[{number}].by": (", ".join(one.by), one.by)
        for number, one in enumerate(entry.replace, start=1)
    }
    pools = compiler.pools(places)
    count = len(parent.names)
    if not any(species.role == MOBILE for pool in pools for species in pool):
        problem, remedy = "it holds no mobile ion", "name a parent with one of mobile_ions"
        raise mistake(compiler.source, f"{key}.parents", formula, problem, remedy, consequent=True)
    try:
        grid, scale = lay_grid(
            [*([amount] for amount in parent.amounts), *(one.amount.values or () for one in entry.replace)]
        )
    except GridError as error:
        raise compiler.too_large(f"{key}.replace", formula, error) from None
    whole = np.array([int(amount * scale) for amount in parent.amounts], dtype=np.int64)

    def same(first: int, second: int) -> bool:
        if min(first, second) < count:
            return False
        one, other = entry.replace[first - count], entry.replace[second - count]
        sites = parent.sites[first - count], parent.sites[second - count]
        return sites[0] == sites[1] and one.amount == other.amount and pools[first] == pools[second]

    alike = alike_slots(len(pools), same)
    origin, patterns, neutral = f"substitution {_name(entry, formula)}", list[Pattern](), False
    for choice in charge_choices(pools[:count]):
        charges = np.array([s[0].charge for s in choice])
        if whole @ charges:
            continue
        neutral = True
        itself = distinct_rows(whole[None])
        itself = itself[within_limits(itself, [s[0].role for s in choice], limits)]
        elements = element_choices(choice)
        if len(itself):
            patterns.append(compiler.by_elements(origin, choice, elements, itself, [f"parent {formula}"]))
        for substitutes in charge_choices(pools[count:], [[n - count for n in slots] for slots in alike]):
            patterns += _series(parent, (*choice, *substitutes), alike, grid, limits, compiler, origin)
    if not neutral:
        problem = "its charges do not balance with the declared oxidation states"
        remedy = "correct the formula or declare the state"
        raise mistake(compiler.source, f"{key}.parents", formula, problem, remedy, consequent=True)
    return compiler.not_empty(patterns, f"{key}.parents", formula)


def _series(
    parent: _Parent,
    choice: tuple[list[Species], ...],
    alike: list[list[int]],
    grid: NDArray[np.int64],
    limits: Limits,
    compiler: Compiler,
    origin: str,
) -> list[Pattern]:
    """Return the pattern of one choice of charges, none if it holds nothing."""
    charges = np.array([s[0].charge for s in choice], dtype=np.int64)
    roles = [s[0].role for s in choice]
    elements = compiler.table.admissible(element_choices(choice, alike), charges.tolist(), roles)
    templates = _substituted(parent, grid, charges)
    templates = templates[within_limits(templates, roles, limits)]
    if not len(elements) or not len(templates):
        return []
    texts = _texts(parent, elements)
    return [compiler.by_elements(origin, choice, elements, templates, texts)]


def _substituted(parent: _Parent, grid: NDArray[np.int64], charges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct neutral whole-number formulas of a series, [T, S].

    Args:
        parent: with S' elements.
        grid: [G, S] amounts of the parent's elements as they are, then of the R substitutes.
        charges: S = S' + R oxidation states.
    """
    full = grid.copy()
    for column, site in enumerate(parent.sites, start=len(parent.names)):
        full[:, site] -= grid[:, column]
    surplus = full @ charges
    # Multiplying every amount by the balancing charge keeps the balancing amount whole.
    unit = int(charges[parent.balance])
    full *= abs(unit)
    full[:, parent.balance] -= surplus * int(np.sign(unit))
    return distinct_rows(full[(full > 0).all(axis=1)])


def _read_parent(entry: Substitution, formula: str, key: str, compiler: Compiler) -> _Parent:
    """Find sites and balancing species of one parent; raises one SpaceError for all that is wrong."""
    parsed = Compositions.from_formulas([formula])
    names = tuple(symbols()[z] for z in parsed.atomic_numbers[0])
    amounts = tuple(Fraction(str(amount)) for amount in parsed.amounts[0].tolist())
    compiler.pools({f"{key}.parents.{name}": (formula, (name,)) for name in names})
    mistakes = Mistakes()

    def place(species: Sequence[str], where: str) -> int:
        found = {one.symbol for one in compiler.table.find(species, where)} & set(names)
        if len(found) != 1:
            text = ", ".join(sorted(found)) or "no element"
            problem = f"it fits {text} of the parent {formula}"
            remedy = "name exactly one of its elements"
            raise mistake(compiler.source, where, list(species), problem, remedy, consequent=not found)
        return names.index(found.pop())

    sites = []
    for number, one in enumerate(entry.replace, start=1):
        with mistakes.noted():
            sites.append(place(one.site, f"{key}.replace[{number}].site"))
    balance = -1
    with mistakes.noted():
        balance = place(entry.balance, f"{key}.balance")
    mistakes.raise_any()
    return _Parent(formula, names, amounts, tuple(sites), balance)


def _name(entry: Substitution, formula: str) -> str:
    """Return a parent with its replacements, for example Li2ZrCl6 (Zr by trivalent)."""
    parts = [f"{'/'.join(one.site)} by {'/'.join(one.by)}" for one in entry.replace]
    return f"{formula} ({', '.join(parts)})"


def _texts(parent: _Parent, elements: NDArray[np.uint8]) -> list[str]:
    """Return the provenance of each element choice, for example substitution Li2ZrCl6 (Zr by Y)."""
    symbol, count = symbols(), len(parent.names)
    texts = []
    for row in elements[:, count:].tolist():
        parts = [f"{parent.names[s]} by {symbol[z]}" for s, z in zip(parent.sites, row, strict=True)]
        texts.append(f"substitution {parent.formula} ({', '.join(parts)})")
    return texts
