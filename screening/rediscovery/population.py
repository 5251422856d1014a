"""The space that is screened: all neighbours of the discoveries, and a random sample of everything else.

The shipped spaces hold more than a million compositions. Those near a discovery are all taken; of the others
a sample is drawn, each standing for as many as there are for one drawn. Counts weighted so are those of a
screening of all the spaces together, up to the error of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.distances import distances, fraction_table, nearest
from softlyte.datasets.formulas import Compositions
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.fusion import ANIONS
from softlyte.screening.glass_forming import anion_sublattice, former_table, is_plausible_glass
from softlyte.screening.rediscovery.discoveries import Discovery
from softlyte.screening.space import load_space
from softlyte.screening.space_schema import GlassRule

SPACES = ("default", "oxychloride-glasses", "sodium", "doped-li2zrcl6")
NEIGHBOURHOOD = 0.05
"""Composition distance up to which a composition is a neighbour of a discovery."""

_CRYSTAL = PHASES.index("crystal")


@dataclass(frozen=True)
class Population:
    """N distinct compositions to be screened.

    Attributes:
        compositions: N compositions.
        glass: [N] True where the rule of the default space calls a glass plausible: judged as both phases.
        weight: [N] compositions of the spaces that each stands for; 0 for a discovery that no space holds.
        listed: [D] place of each discovery among the N.
        distance: [N, D] composition distance to each discovery.
        total: compositions of the spaces.
    """

    compositions: Compositions
    glass: NDArray[np.bool_]
    weight: NDArray[np.float64]
    listed: NDArray[np.int64]
    distance: NDArray[np.float64]
    total: int

    def __len__(self) -> int:
        return len(self.weight)


def draw_population(
    found: tuple[Discovery, ...],
    sample: int,
    seed: int = 0,
    spaces: tuple[str, ...] = SPACES,
    neighbourhood: float = NEIGHBOURHOOD,
) -> Population:
    """Return the discoveries, all their neighbours and a sample of the rest of the spaces.

    Args:
        found: discoveries; empty for a plain sample.
        sample: compositions to draw from the rest; all of it where it is no larger.
        seed: of the drawing.
        spaces: names or files.
        neighbourhood: composition distance up to which every composition is taken.
    """
    everything = distinct_compositions(spaces)
    rest = np.ones(len(everything), bool)
    named = Compositions.from_formulas([one.formula for one in found]) if found else everything[:0]
    if found:
        rest = nearest(everything, fraction_table(named))[1] > neighbourhood + 1e-9
    others = np.flatnonzero(rest)
    drawn = np.sort(np.random.default_rng(seed).permutation(others)[:sample])
    chosen = np.concatenate([np.flatnonzero(~rest), drawn])
    weight = np.where(rest[chosen], len(others) / max(len(drawn), 1), 1.0)
    compositions = everything[chosen]
    own = {key.tobytes(): place for place, key in enumerate(compositions.keys())}
    asked = named.keys()
    there = np.array([own.get(key.tobytes(), -1) for key in asked], dtype=np.int64)
    missing = np.flatnonzero(there < 0)
    there[missing] = len(compositions) + np.arange(len(missing))
    compositions = Compositions.concatenate([compositions, named[missing]])
    return Population(
        compositions,
        plausible_glass(compositions),
        np.concatenate([weight, np.zeros(len(missing))]),
        there,
        distances(compositions, named),
        len(everything),
    )


def distinct_compositions(spaces: tuple[str, ...]) -> Compositions:
    """Return the compositions of some spaces, each once, in an order that depends on the spaces alone."""
    parts = []
    for name in spaces:
        plan = plan_candidates(load_space(name))
        for start in range(0, len(plan), 200_000):
            compositions, phase = plan.chosen(np.arange(start, min(start + 200_000, len(plan))))
            # Every composition has a row as a crystal, and a second one where a glass is plausible.
            parts.append(compositions[phase == _CRYSTAL])
    joined = Compositions.concatenate(parts)
    _, first = np.unique(joined.groups(), return_index=True)
    return joined[np.sort(first)]


def plausible_glass(compositions: Compositions, rule: GlassRule | None = None) -> NDArray[np.bool_]:
    """Return which compositions a space's rule calls plausible glasses, [N].

    Args:
        compositions: N compositions.
        rule: None for that of the default space.
    """
    rule = load_space().spec.glass if rule is None else rule
    numbers, amounts = compositions.atomic_numbers, compositions.amounts
    mobile = np.isin(numbers, [3, 11])
    framework = (numbers > 0) & ~mobile & ~np.isin(numbers, list(ANIONS))
    formers = former_table(rule)[anion_sublattice(numbers)[:, None], numbers]
    return is_plausible_glass(
        rule,
        former=np.where(framework & formers, amounts, 0.0).sum(axis=1),
        framework=np.where(framework, amounts, 0.0).sum(axis=1),
        mobile=np.where(mobile, amounts, 0.0).sum(axis=1),
    )
