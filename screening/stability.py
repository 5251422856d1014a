"""Energy above the hull and electrochemical window as distributions, from the hull of known phases.

A phase of the formation-energy table has the table's energy; any other one has the ensemble's formation
energy, a distribution, and so have its energy above the hull and its window.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.decomposition import competing_phases
from softlyte.featurize.ion_windows import IonLines, ion_lines, phase_names
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.hull_evidence import (
    REACTION_ENERGY_SD,
    WindowHeads,
    hull_features,
    reaction_error_v,
    with_composition,
)
from softlyte.screening.hull_trees import HullTrees, shipped_trees

Array = NDArray[np.float64]

NEAR_HULL_EV_ATOM = 0.05
"""eV/atom above the hull up to which synthesis is plausible; `p_within_50_mev` counts to here."""

HULL_BASES = ("none", "predicted", "known", "structure")
"""What a hull calculation stands on; the position is the code used in arrays.

none: no hull, the window is the network's; predicted: the ensemble's formation energy put on the hull;
known: the formation energy of the table; structure: that of one structure, from the crystal networks."""

CALIBRATION_FILE = Path(__file__).parent / "calibration" / "stability.json"

_CHUNK_ROWS = 1_000
"""Compositions solved between two calls of a progress bar."""

_NODES = 15
"""Quantiles of each member's energy at which the window is computed: equally likely samples."""


@dataclass(frozen=True)
class StabilityCalibration:
    """What held-out chemical systems teach about predicted phases (`benchmarks/stability_calibration.py`).

    It serves where the window heads say nothing; where they speak, `hull_trees` judge hull and heads.

    Attributes:
        shift_ev_atom: added to a predicted phase's energy above the hull: the hull of a system that nobody
            has explored lacks phases and lies too high.
        scale: factor on the predicted energy's spread.
        window_sd_v: further standard deviation of reduction and oxidation limit in V.
        depth_share: share of a predicted depth below the hull that widens the window: a prediction far below
            the hull is more often wrong than right.
    """

    shift_ev_atom: float
    scale: float
    window_sd_v: tuple[float, float]
    depth_share: float = 1.0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StabilityCalibration:
        """Read what the benchmark wrote."""
        reduction, oxidation = values["window_sd_v"]
        return cls(
            float(values["shift_ev_atom"]),
            float(values["scale"]),
            (float(reduction), float(oxidation)),
            float(values["depth_share"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers for the file that is shipped."""
        return {
            "shift_ev_atom": round(self.shift_ev_atom, 4),
            "scale": round(self.scale, 3),
            "window_sd_v": [round(v, 3) for v in self.window_sd_v],
            "depth_share": round(self.depth_share, 3),
        }


@lru_cache(maxsize=1)
def shipped_calibration() -> StabilityCalibration:
    """Return the calibration that belongs to the shipped weights."""
    return StabilityCalibration.from_json(json.loads(CALIBRATION_FILE.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Stability:
    """Where N compositions stand against the hull of known phases.

    Attributes:
        e_above_hull: energy above the hull of the competing phases in eV/atom; negative where a phase is
            stable by that margin, NaN where there is no hull.
        reduction_v, oxidation_v: limits of the window in V against the mobile ion's metal, a phase above
            the hull put on it; NaN where there is no hull or no mobile ion.
        basis: [N] index into HULL_BASES.
        reason: [N] str, why there is no hull; empty where there is one.
        decomposition: [N] str, phases that a mixture of this composition becomes, itself left out.
        reduction_products, oxidation_products: [N] str, phases just beyond each limit, without the ion's
            metal; empty where there is no such limit.
    """

    e_above_hull: PropertyPrediction
    reduction_v: PropertyPrediction
    oxidation_v: PropertyPrediction
    basis: NDArray[np.uint8]
    reason: NDArray[np.object_]
    decomposition: NDArray[np.object_]
    reduction_products: NDArray[np.object_]
    oxidation_products: NDArray[np.object_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """[N] True where the formation energy is the table's."""
        return self.basis == HULL_BASES.index("known")

    def p_within_50_mev(self) -> Array:
        """Return the probability of lying at most NEAR_HULL_EV_ATOM above the hull, [N]; NaN without one."""
        return self.e_above_hull.probability_below(NEAR_HULL_EV_ATOM)


def stability(
    compositions: Compositions,
    formation_energy: PropertyPrediction,
    hull: HullStore,
    progress: Callable[[int], None] | None = None,
    calibration: StabilityCalibration | None = None,
    named: bool = True,
    ions: Sequence[str] | None = None,
    heads: WindowHeads | None = None,
    trees: HullTrees | None = None,
) -> Stability:
    """Return the distributions of energy above the hull and window of N compositions.

    A composition of the table takes the table's formation energy, any other one the ensemble's. The hull
    of competing phases leaves the composition itself out. Every distance to it carries the error of DFT
    reaction energies, a predicted formation energy its own besides. The window is that of each of many
    equally likely energies, so its distribution is the energies' seen through the hull. Where the window
    heads speak of a predicted phase, trees that have seen held-out systems judge hull, energy and heads.

    Args:
        compositions: N compositions; repeated ones (two phases of one composition) are solved once.
        formation_energy: [E, N] eV/atom.
        hull: formation energies of known phases.
        progress: called with the number of distinct compositions just finished.
        calibration: for predicted energies; None takes the shipped one.
        named: name decomposition products (a third of the time).
        ions: [N] Li or Na, whose potential the window counts; None takes each one's mobile ion.
        heads: reduction and oxidation limit by the networks' own heads, [E, N] V each against the same ions,
            NaN where they say nothing; None leaves window and stability to the hull.
        trees: that judge predicted phases; None takes the shipped ones, or none with a calibration given.
    """
    fit = shipped_calibration() if calibration is None else calibration
    if calibration is None and trees is None and heads is not None:
        trees = shipped_trees()
    # Sorted by their keys, compositions of one chemical system lie together.
    _, first, inverse = np.unique(compositions.keys(), return_index=True, return_inverse=True)
    distinct, predicted = compositions[first], formation_energy.take(first)
    ion = np.array(_ions(compositions) if ions is None else list(ions))[first].tolist()
    parts = []
    for start in range(0, max(len(distinct), 1), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        said = None if heads is None else (heads[0].take(first[rows]), heads[1].take(first[rows]))
        parts.append(
            _distinct_stability(
                distinct[rows], ion[rows], predicted.take(rows), hull, fit, named, said, trees
            )
        )
        if progress is not None:
            progress(len(parts[-1].basis))
    return joined(parts, inverse.ravel())


def _distinct_stability(
    compositions: Compositions,
    ions: list[str],
    predicted: PropertyPrediction,
    hull: HullStore,
    fit: StabilityCalibration,
    named: bool,
    heads: WindowHeads | None,
    trees: HullTrees | None,
) -> Stability:
    """Do the work of `stability` for compositions that are all different."""
    result = hull.evaluate(compositions, ions)
    known = np.isfinite(result.known_energy_ev_atom)
    mean = hull.corrected(compositions, predicted.member_mean) + fit.shift_ev_atom
    centre = mean.mean(axis=0)
    own = np.where(known, result.known_energy_ev_atom, centre + (mean - centre) * fit.scale)
    own_sd = np.where(known, 0.0, predicted.member_sd * fit.scale)
    competing = result.hull_energy_ev_atom
    lines = ion_lines(hull, compositions, ions)
    limits = result.reduction_v, result.oxidation_v
    has_hull = np.isfinite(competing) & np.isfinite(own).all(axis=0)
    basis = np.where(has_hull, np.where(known, 2, 1), 0).astype(np.uint8)
    nothing = np.full(len(compositions), "", dtype=object)
    texts = _names(hull, compositions, ions, lines, own.mean(axis=0)) if named else [nothing] * 3
    above = PropertyPrediction(own - competing, own_sd)
    windows = _windows(lines, own, own_sd, limits, ~known, fit)
    if heads is not None and trees is not None:
        spoken = np.isfinite(heads[0].mean()) & np.isfinite(heads[1].mean())
        chosen = (basis == HULL_BASES.index("predicted")) & spoken & np.isfinite(result.oxidation_v)
        features = hull_features(hull, compositions, ions, result, lines, predicted, heads)
        windows = trees.windows(features, limits, windows, heads, chosen)
        above = trees.above_hull(features, with_composition(features, compositions), above, chosen)
    above = PropertyPrediction(above.member_mean, np.hypot(above.member_sd, REACTION_ENERGY_SD))
    return Stability(above, *windows, basis, result.reason, *texts)


def of_structures(
    stable: Stability, compositions: Compositions, formation_energy: PropertyPrediction, hull: HullStore
) -> Stability:
    """Return where structures stand, which need not be the most stable ones of their compositions.

    Only the energy above the hull is the structure's own; a window is that of the composition's equilibrium.

    Args:
        stable: of their compositions.
        compositions: N compositions, repeated where they have polymorphs.
        formation_energy: [E, N] eV/atom of the structures, without corrections.
        hull: formation energies of known phases.
    """
    competing = hull.hull_energy(compositions)
    above = hull.corrected(compositions, formation_energy.member_mean) - competing
    basis = np.where(np.isfinite(competing), HULL_BASES.index("structure"), 0).astype(np.uint8)
    spread = np.hypot(formation_energy.member_sd, REACTION_ENERGY_SD)
    return replace(stable, e_above_hull=PropertyPrediction(above, spread), basis=basis)


def joined(parts: Sequence[Stability], rows: NDArray[np.int64]) -> Stability:
    """Join parts and return the chosen rows of the whole."""

    def prediction(pick: Callable[[Stability], PropertyPrediction]) -> PropertyPrediction:
        found = [pick(part) for part in parts]
        return PropertyPrediction(
            np.concatenate([p.member_mean for p in found], axis=1)[:, rows],
            np.concatenate([p.member_sd for p in found], axis=1)[:, rows],
        )

    def column(pick: Callable[[Stability], NDArray]) -> NDArray:
        return np.concatenate([pick(part) for part in parts])[rows]

    return Stability(
        prediction(lambda s: s.e_above_hull),
        prediction(lambda s: s.reduction_v),
        prediction(lambda s: s.oxidation_v),
        column(lambda s: s.basis),
        column(lambda s: s.reason),
        column(lambda s: s.decomposition),
        column(lambda s: s.reduction_products),
        column(lambda s: s.oxidation_products),
    )


def _ions(compositions: Compositions) -> list[str]:
    codes = np.minimum(mobile_ion_of(compositions), len(MOBILE_IONS))
    return [*np.array([*MOBILE_IONS, ""])[codes]]


def _windows(
    lines: IonLines,
    own: Array,
    own_sd: Array,
    limits: tuple[Array, Array],
    predicted: NDArray[np.bool_],
    fit: StabilityCalibration,
) -> WindowHeads:
    """Return both limits as [E, N] distributions.

    Args:
        lines: competing phases along the ion's content.
        own: [E, N] eV/atom, members' mean energies.
        own_sd: [E, N] eV/atom, members' standard deviations.
        limits: [N] limits with the phase at the table's energy or on the hull.
        predicted: [N] True where the energy is not the table's.
        fit: calibration of predicted phases.
    """
    nodes = ndtri((np.arange(_NODES) + 0.5) / _NODES)
    nodes /= nodes.std()  # few quantiles have less spread than the distribution
    members, n = own.shape
    energies = (own + nodes[:, None, None] * own_sd).reshape(-1, n)
    floor = lines.hull / lines.atoms
    on_hull = lines.limits(floor[None])
    depth = fit.depth_share * np.minimum(np.where(np.isnan(energies), np.inf, energies) - floor, 0.0)
    drawn = lines.limits(floor + depth)
    leverage = lines.leverage(np.minimum(own.mean(axis=0), floor))
    out = []
    for side in range(len(limits)):
        # The limits themselves come from the exact hull; the lines say how far a lower energy moves them.
        moved = np.where(predicted, drawn[side] - on_hull[side], 0.0)
        volts = (limits[side] + moved).reshape(_NODES, members, n)
        further = np.where(predicted, fit.window_sd_v[side], 0.0)
        variance = volts.var(axis=0) + reaction_error_v(leverage[side]) ** 2 + further**2
        out.append(PropertyPrediction(volts.mean(axis=0), np.sqrt(np.maximum(variance, 1e-6))))
    return out[0], out[1]


def _names(
    hull: HullStore, compositions: Compositions, ions: list[str], lines: IonLines, energy: Array
) -> list[NDArray[np.object_]]:
    """Return decomposition, reduction and oxidation products of distinct compositions, three [N] str."""
    rows = np.arange(len(compositions))
    texts = [competing_phases(hull, compositions)]
    for corner in lines.products(energy):
        content = np.where(corner >= 0, lines.position[rows, corner], np.nan)
        texts.append(phase_names(hull, compositions, ions, content))
    return texts
