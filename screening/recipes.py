"""Recipes: which precursors in what masses, what leaves, what dominates the cost, and what else would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from softlyte.datasets.formulas import Compositions
from softlyte.screening.assignment import ALKALI, cheapest_groups
from softlyte.screening.blends import System, hydrate_blends, system_of, wanted_atoms
from softlyte.screening.cost import Synthesis, check_synthesis, unpriced_reason
from softlyte.screening.prices import FIRM_BASES, PriceTable, default_prices

FloatArray = NDArray[np.float64]

USED = 1e-9
"""Moles per formula unit below which a precursor is not in the recipe."""

MOST_SOLVES = 400
"""Linear programmes solved at most while alternatives of one composition are looked for."""


@dataclass(frozen=True)
class Route:
    """One recipe, amounts for one formula unit of product, alkali precursors first.

    Attributes:
        moles: formula of precursor -> moles; empty where there is no priced recipe.
        reason: why there is no recipe, "" if there is one.
        usd: formula -> USD spent on it.
        basis: formula -> what its price rests on.
        byproducts: formula -> moles that leave.
        product_g: mass of the product in grams.
    """

    moles: Mapping[str, float]
    reason: str = ""
    usd: Mapping[str, float] = field(default_factory=dict)
    basis: Mapping[str, str] = field(default_factory=dict)
    byproducts: Mapping[str, float] = field(default_factory=dict)
    product_g: float = float("nan")

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        made = " + ".join(_term(amount, formula) for formula, amount in self.moles.items())
        left = "".join(f" - {_term(amount, formula)}" for formula, amount in self.byproducts.items())
        return made + left

    @cached_property
    def estimated(self) -> tuple[str, ...]:
        """Precursors whose own price is not cited."""
        return tuple(name for name, basis in self.basis.items() if basis not in FIRM_BASES)

    @property
    def usd_kg(self) -> float:
        """Precursor cost in USD per kilogram of product, NaN without a recipe."""
        return sum(self.usd.values()) / self.product_g * 1000 if self.usd else float("nan")

    @property
    def dearest(self) -> tuple[str, float]:
        """The precursor with the largest share of the cost, and that share; ("", NaN) without a recipe."""
        if not self.usd:
            return "", float("nan")
        name = max(self.usd, key=lambda formula: self.usd[formula])
        return name, self.usd[name] / sum(self.usd.values())

    def batch(self, grams: float = 10.0) -> dict[str, float]:
        """Return grams of each precursor for a batch of product of so many grams."""
        return self._masses(self.moles, grams)

    def leaving(self, grams: float = 10.0) -> dict[str, float]:
        """Return grams of each by-product of such a batch."""
        return self._masses(self.byproducts, grams)

    def _masses(self, moles: Mapping[str, float], grams: float) -> dict[str, float]:
        scale = grams / self.product_g
        return {name: n * float(Composition(name).weight) * scale for name, n in moles.items()}


def precursor_routes(
    compositions: Compositions,
    prices: PriceTable | None = None,
    synthesis: Synthesis = "mechanochemical",
) -> list[Route]:
    """Return the recipe behind `precursor_cost` for each composition (meant for the rows a person reads)."""
    check_synthesis(synthesis)
    prices = default_prices() if prices is None else prices
    reason = np.full(len(compositions), "", dtype=object)
    grams = compositions.masses()
    routes: list[Route] = [Route({})] * len(compositions)
    for group in cheapest_groups(compositions, prices, reason):
        reason[group.rows] = unpriced_reason(group, prices)
        z, v, a = group.at
        names, basis = prices.names[z, v, a], prices.basis[z, v, a]
        moles = group.flows / np.maximum(prices.charges[z, v, a], 1.0)
        spent = group.spent(prices)
        for row, target in enumerate(group.rows):
            if reason[target]:
                continue
            used = [(names[row, i, k], i, k) for i, k in np.argwhere(group.flows[row] > USED)]
            routes[target] = _route(
                [
                    (n, moles[row, i, k], spent[row, i, k], basis[row, i, k], ALKALI[group.cation[row, i]])
                    for n, i, k in used
                ],
                {},
                grams[target],
            )
        for blend in hydrate_blends(group, prices) if synthesis == "hydrate" else ():
            for position, target in enumerate(blend.rows):
                reason[target] = ""
                routes[target] = _of_system(
                    blend.system, blend.moles[position], blend.leaving[position], grams[target]
                )
    return [r if not why else Route({}, str(why)) for r, why in zip(routes, reason, strict=True)]


def precursor_route(
    compositions: Compositions,
    prices: PriceTable | None = None,
    synthesis: Synthesis = "mechanochemical",
) -> list[str]:
    """Return each recipe as text, "0.5 Li2O + 0.8333 AlCl3 + 0.0833 Al2O3"; "" where there is none."""
    return [str(route) for route in precursor_routes(compositions, prices, synthesis)]


def alternative_routes(
    composition: Compositions,
    prices: PriceTable | None = None,
    synthesis: Synthesis = "mechanochemical",
    within: float = 0.2,
    most: int = 10,
) -> list[Route]:
    """Return the other recipes of one composition that cost at most `within` more, cheapest first.

    A recipe is a vertex of the linear programme: it needs all of its precursors. Any other vertex lacks one
    precursor of the optimum, so leaving out each in turn, and again from what remains, finds them all; what
    is already too dear is not followed. Recipes that push more oxygen into framework oxides than the optimum
    does are no alternatives.

    Args:
        composition: one composition.
        prices: None for the shipped table.
        synthesis: as in `precursor_cost`.
        within: largest extra cost, 0.2 is 20%.
        most: longest list.

    Raises ValueError if more than one composition is given.
    """
    if len(composition) != 1:
        raise ValueError(f"alternatives are of one composition, not of {len(composition)}")
    prices = default_prices() if prices is None else prices
    reason = np.full(1, "", dtype=object)
    groups = list(cheapest_groups(composition, prices, reason))
    if not groups:
        return []
    group, grams = groups[0], float(composition.masses()[0])
    hydrates = synthesis == "hydrate"
    system = system_of(group.cation[0], group.valence[0], group.anion[0], prices, hydrates)
    wanted = wanted_atoms(group)
    best = _solve(system, wanted)
    if best is None:
        return []
    limit = best[0] + within * float(best[1] @ system.usd)
    found: dict[frozenset[str], tuple[float, Route]] = {}
    waiting, seen = [frozenset[str]()], {frozenset[str]()}
    solves = 0
    while waiting and solves < MOST_SOLVES:
        excluded = waiting.pop(0)
        reduced = system.without(excluded)
        solution = _solve(reduced, wanted)
        solves += 1
        if solution is None or solution[0] > limit + 1e-9 * abs(limit):
            continue
        cost, moles, leaving = solution
        route = _of_system(reduced, moles, leaving, grams)
        found.setdefault(frozenset(route.moles), (cost, route))
        for name in route.moles:
            further = excluded | {name}
            if further not in seen:
                seen.add(further)
                waiting.append(further)
    ordered = [route for _, route in sorted(found.values(), key=lambda pair: pair[0])]
    return ordered[1 : most + 1]


def _solve(system: System, wanted: FloatArray) -> tuple[float, FloatArray, FloatArray] | None:
    """Return penalised cost, moles of precursors and of by-products for one formula unit."""
    if not len(system.names):
        return None
    moles, leaving = system.solve(wanted)
    if np.isnan(moles).any():
        return None
    return float(moles[0] @ (system.usd + system.penalty)), moles[0], leaving[0]


def _of_system(system: System, moles: FloatArray, leaving: FloatArray, grams: float) -> Route:
    lines = [
        (name, n, n * usd, basis, bool(ALKALI[z]))
        for name, n, usd, basis, z in zip(
            system.names, moles, system.usd, system.basis, system.cation, strict=True
        )
        if n > USED
    ]
    gone = {name: float(n) for name, n in zip(system.byproducts, leaving, strict=True) if n > USED}
    return _route(lines, gone, grams)


def _route(
    lines: list[tuple[str, float, float, str, bool]], byproducts: dict[str, float], grams: float
) -> Route:
    """Build a route from name, moles, USD, basis and whether the cation is an alkali metal."""
    lines = sorted(lines, key=lambda line: (not line[4], -line[1], line[0]))
    return Route(
        moles={name: float(n) for name, n, *_ in lines},
        usd={name: float(usd) for name, _, usd, *_ in lines},
        basis={name: str(basis) for name, _, _, basis, _ in lines},
        byproducts=byproducts,
        product_g=float(grams),
    )


def _term(amount: float, formula: str) -> str:
    text = f"{amount:.4f}".rstrip("0").rstrip(".")
    return formula if text == "1" else f"{text} {formula}"
