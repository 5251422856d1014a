"""Precursors of one chemical system as a linear programme: hydrates, by-products, precursors left out.

The transportation problem of `assignment` knows pairs of one cation and one anion. A hydrate such as
ZrOCl2(H2O)8 brings two anions in a fixed ratio and gives off water; that is a linear programme over the
element balances, with the by-products as columns of negative content. It is set up once for each chemical
system and solved for all of its rows together (`linear_programme`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER
from softlyte.screening.assignment import REFRACTORY_PENALTY, Group, is_refractory
from softlyte.screening.linear_programme import cheapest_amounts
from softlyte.screening.precursor_policy import ANIONS, BYPRODUCTS
from softlyte.screening.prices import Hydrate, PriceTable

FloatArray = NDArray[np.float64]

_ANION_Z = np.array([Element(symbol).Z for symbol in ANIONS])
_ANION_CHARGES = np.array(list(ANIONS.values()), dtype=np.float64)
_H, _C, _O, _CL = (Element(symbol).Z for symbol in ("H", "C", "O", "Cl"))


def _content(formula: str) -> FloatArray:
    amounts = np.zeros(MAX_ATOMIC_NUMBER + 1)
    for element, count in Composition(formula).items():
        amounts[element.Z] = count
    return amounts


@dataclass(frozen=True)
class System:
    """The precursors and by-products that one chemical system may use.

    Attributes:
        names: [P] formulas of precursors.
        cation: [P] atomic number of their cation.
        content: [P, 104] atoms in one formula unit.
        usd, log_sd: [P] price per mole and standard deviation of its logarithm.
        basis: [P] what each price rests on.
        penalty: [P] USD per mole that puts oxides of the framework last.
        byproducts: [B] formulas of what may leave.
        leaving: [B, 104] atoms in them.
    """

    names: tuple[str, ...]
    cation: NDArray[np.int64]
    content: FloatArray
    usd: FloatArray
    log_sd: FloatArray
    basis: tuple[str, ...]
    penalty: FloatArray
    byproducts: tuple[str, ...]
    leaving: FloatArray

    def without(self, names: frozenset[str]) -> System:
        """Return the system without some precursors."""
        keep = np.array([name not in names for name in self.names])
        return System(
            tuple(n for n, k in zip(self.names, keep, strict=True) if k),
            self.cation[keep],
            self.content[keep],
            self.usd[keep],
            self.log_sd[keep],
            tuple(b for b, k in zip(self.basis, keep, strict=True) if k),
            self.penalty[keep],
            self.byproducts,
            self.leaving,
        )

    def solve(self, wanted: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return moles of precursors [n, P] and of by-products [n, B]; NaN rows where there is no way.

        Args:
            wanted: [n, 104] atoms of each element.
        """
        rows = np.flatnonzero((self.content > 0).any(axis=0) | (wanted > 0).any(axis=0))
        matrix = np.concatenate([self.content[:, rows], -self.leaving[:, rows]]).T
        costs = np.concatenate([self.usd + self.penalty, np.zeros(len(self.byproducts))])
        amounts = cheapest_amounts(matrix, costs, wanted[:, rows])
        return amounts[:, : len(self.names)], amounts[:, len(self.names) :]


@dataclass(frozen=True)
class Blend:
    """Rows of one chemical system with their cheapest precursors.

    Attributes:
        rows: [n] position in the compositions.
        system: what may be used.
        wanted: [n, 104] atoms of the balanced formula unit.
        moles: [n, P] of precursors.
        leaving: [n, B] moles of by-products.
    """

    rows: NDArray[np.int64]
    system: System
    wanted: FloatArray
    moles: FloatArray
    leaving: FloatArray


def system_of(
    cation: NDArray[np.int64],
    valence: NDArray[np.int64],
    anion: NDArray[np.int64],
    prices: PriceTable,
    hydrates: bool,
) -> System:
    """Return what a system of cations ([m], with their valences) and anions ([k] in ANIONS) may use."""
    pairs = [
        (z, v, a)
        for z, v in zip(cation.tolist(), valence.tolist(), strict=True)
        for a in anion.tolist()
        if prices.names[z, v, a]
    ]
    at = tuple(np.array(pairs, dtype=np.int64).reshape(-1, 3).T)
    wet = usable_hydrates(cation, anion, prices) if hydrates else ()
    content = np.zeros((len(pairs), MAX_ATOMIC_NUMBER + 1))
    for row, (z, v, a) in enumerate(pairs):
        charge = prices.charges[z, v, a]
        content[row, z], content[row, _ANION_Z[a]] = charge / v, charge / _ANION_CHARGES[a]
    leaving = [
        name
        for name in BYPRODUCTS
        if any(h.amounts[_H if "H" in name else _C] > 0 for h in wet)
        and ("Cl" not in name or _CL in _ANION_Z[anion])
    ]
    return System(
        names=(*(str(prices.names[p]) for p in pairs), *(h.formula for h in wet)),
        cation=np.array([*(z for z, _, _ in pairs), *(h.cation for h in wet)], dtype=np.int64),
        content=np.concatenate([content, *(h.amounts[None] for h in wet)]),
        usd=np.array([*(prices.usd_per_charge[at] * prices.charges[at]), *(h.usd_per_mole for h in wet)]),
        log_sd=np.array([*prices.log_sd[at], *(h.log_sd for h in wet)]),
        basis=(*(str(prices.basis[p]) for p in pairs), *(h.basis for h in wet)),
        penalty=np.concatenate(
            [REFRACTORY_PENALTY * is_refractory(at[0], at[2]) * prices.charges[at], np.zeros(len(wet))]
        ),
        byproducts=tuple(leaving),
        leaving=np.array([_content(name) for name in leaving]).reshape(-1, MAX_ATOMIC_NUMBER + 1),
    )


def usable_hydrates(
    cation: NDArray[np.int64], anion: NDArray[np.int64], prices: PriceTable
) -> tuple[Hydrate, ...]:
    """Return the hydrates that a system can take up.

    Their cation is in the system, their anions are in it or leave, and oxygen that water and carbon dioxide
    do not carry away has a place in the product.
    """
    allowed = np.zeros(MAX_ATOMIC_NUMBER + 1, dtype=bool)
    allowed[[*cation, *_ANION_Z[anion], _H, _C, _O]] = True
    oxide = _O in _ANION_Z[anion]
    return tuple(
        h
        for h in prices.hydrates
        if not (h.amounts[~allowed] > 0).any()
        and (oxide or h.amounts[_O] - h.amounts[_H] / 2 - 2 * h.amounts[_C] <= 1e-9)
    )


def wanted_atoms(group: Group) -> FloatArray:
    """Return atoms of the balanced formula unit of a group's rows, [n, 104]."""
    atoms = np.zeros((len(group.rows), MAX_ATOMIC_NUMBER + 1))
    each = np.arange(len(group.rows))
    for i in range(group.cation.shape[1]):
        atoms[each, group.cation[:, i]] += group.flows[:, i].sum(axis=1) / group.valence[:, i]
    for j in range(group.anion.shape[1]):
        slot = group.anion[:, j]
        atoms[each, _ANION_Z[slot]] += group.flows[:, :, j].sum(axis=1) / _ANION_CHARGES[slot]
    return atoms


def hydrate_blends(group: Group, prices: PriceTable) -> Iterator[Blend]:
    """Yield the cheapest blends of those rows of a group for which a hydrate can be used."""
    m, k = group.cation.shape[1], group.anion.shape[1]
    keys = np.concatenate([group.cation, group.valence, group.anion], axis=1)
    systems, inverse = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    edges = np.searchsorted(inverse.ravel()[order], np.arange(len(systems) + 1))
    atoms = None
    for number, key in enumerate(systems):
        cation, valence, anion = key[:m], key[m : 2 * m], key[2 * m : 2 * m + k]
        if not usable_hydrates(cation, anion, prices):
            continue
        if atoms is None:
            atoms = wanted_atoms(group)
        members = order[edges[number] : edges[number + 1]]
        system = system_of(cation, valence, anion, prices, hydrates=True)
        moles, leaving = system.solve(atoms[members])
        found = ~np.isnan(moles).any(axis=1)
        members = members[found]
        yield Blend(group.rows[members], system, atoms[members], moles[found], leaving[found])
