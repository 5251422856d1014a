"""What speaks for and against the hull's word on a phase that nobody has computed: numbers for trees.

The hull of the known phases may lack competitors, the network's energy may be wrong, and its window heads
have seen other systems. None of these knows by itself when to be believed; together with how well the
chemical system is explored they do (`screening/hull_trees`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.charge import is_charge_balanced
from softlyte.featurize.hull_survey import survey
from softlyte.featurize.ion_windows import IonLines
from softlyte.featurize.phase_diagram import HullResult, HullStore
from softlyte.models.distillation import composition_statistics
from softlyte.models.predictions import PropertyPrediction

Array = NDArray[np.float64]
WindowHeads = tuple[PropertyPrediction, PropertyPrediction]
"""Reduction and oxidation limit in V, [E, N] each."""

HULL_FEATURES = (
    "hull_reduction_v",
    "hull_oxidation_v",
    "energy_reduction_v",
    "energy_oxidation_v",
    "reduction_leverage",
    "oxidation_leverage",
    "formation_energy_ev_atom",
    "formation_energy_sd",
    "hull_energy_ev_atom",
    "e_above_hull_ev_atom",
    "head_reduction_v",
    "head_oxidation_v",
    "head_reduction_sd",
    "head_oxidation_sd",
    "elements",
    "own_phases",
    "own_stable_phases",
    "other_stable_phases",
    "nearest_own_phase",
    "nearest_phase",
    "ion_fraction",
    "is_sodium",
    "charge_balanced",
    "halide",
)
"""Limits with the phase on the hull, and at its predicted energy where that is lower; by how many V one
eV/atom moves each; predicted formation energy with its spread, the hull's, and the difference; the window
heads with their spread; how well the chemical system is explored (`featurize/hull_survey`); composition."""

LEVERAGE = (HULL_FEATURES.index("reduction_leverage"), HULL_FEATURES.index("oxidation_leverage"))

REACTION_ENERGY_SD = 0.024
"""eV/atom; standard deviation of DFT reaction energies between solids from experiment, over 135 oxide
reactions (Hautier et al., Phys. Rev. B 85, 155208 (2012), doi 10.1103/PhysRevB.85.155208)."""

_MAX_LIMIT_SD = 0.5
"""V; a limit at which hardly any ion leaves shifts without end with the reaction's energy, but another
reaction takes over before: the bound on its standard deviation."""


def reaction_error_v(leverage: Array) -> Array:
    """Return the standard deviation of limits in V from the error of DFT's reaction energies, same shape.

    Args:
        leverage: by how many V one eV/atom moves the limit; NaN where nothing limits.
    """
    return np.minimum(REACTION_ENERGY_SD * np.nan_to_num(leverage), _MAX_LIMIT_SD)


def hull_features(
    store: HullStore,
    compositions: Compositions,
    ions: Sequence[str],
    result: HullResult,
    lines: IonLines,
    energy: PropertyPrediction,
    heads: WindowHeads,
) -> Array:
    """Return HULL_FEATURES of N compositions, [N, 24]; NaN where a number does not exist.

    Args:
        store: formation energies of known phases.
        compositions: [N].
        ions: [N] Li or Na.
        result: the hull's word on them.
        lines: competing phases along the ion's content.
        energy: predicted formation energy as the network gives it, [E, N] eV/atom.
        heads: reduction and oxidation limit by the network's heads, [E, N] V each.
    """
    floor = lines.hull / lines.atoms
    centre = energy.mean()
    drawn = lines.limits(np.minimum(centre, floor)[None])
    leverage = lines.leverage(floor)
    known = survey(store, compositions)
    amounts = np.where(
        np.array(ions) == "Na", compositions.amount_of("Na"), compositions.amount_of("Li")
    ) / compositions.amounts.sum(axis=1)
    columns = [
        result.reduction_v,
        result.oxidation_v,
        drawn[0][0],
        drawn[1][0],
        *leverage,
        centre,
        energy.sd(),
        result.hull_energy_ev_atom,
        centre - result.hull_energy_ev_atom,
        heads[0].mean(),
        heads[1].mean(),
        heads[0].sd(),
        heads[1].sd(),
        (compositions.atomic_numbers > 0).sum(axis=1),
        known.own,
        known.own_stable,
        known.other_stable,
        known.nearest_own,
        known.nearest,
        amounts,
        np.array(ions) == "Na",
        is_charge_balanced(compositions),
        _halide(compositions),
    ]
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    table[~np.isfinite(table)] = np.nan
    return table


def _halide(compositions: Compositions) -> NDArray[np.bool_]:
    """Tell which compositions hold a halogen and no oxygen, [N]."""
    halogen = np.sum([compositions.amount_of(name) for name in ("F", "Cl", "Br", "I")], axis=0)
    return np.asarray((halogen > 0) & (compositions.amount_of("O") == 0))


def width_group(features: Array) -> NDArray[np.int64]:
    """Return the group that sets the factor on the width of intervals, [N]: 0 to WIDTH_GROUPS - 1.

    Halides or others, in systems with other phases of exactly these elements or without.
    """
    explored = features[:, HULL_FEATURES.index("own_phases")] > 0
    halide = features[:, HULL_FEATURES.index("halide")] > 0
    return 2 * explored.astype(np.int64) + halide


WIDTH_GROUPS = 4


def with_composition(features: Array, compositions: Compositions) -> Array:
    """Return HULL_FEATURES [N, 24] followed by the statistics of the element descriptors, [N, 24 + 4D]."""
    return np.concatenate([features, composition_statistics(compositions).astype(np.float64)], axis=1)
