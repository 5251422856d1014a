"""From predicted distributions to a decision: joint probability, Pareto front, cautions.

The members of an ensemble are equally likely models of the world. Within one member the properties are
taken as independent; what the members share (one believes a material soft and dense, another the reverse)
is kept, because the product over targets is formed within each member before the mean over members. A
target on what follows from several properties, such as the conductivity of a pellet at the operating
pressure, is judged together with the targets on those properties (`softlyte.screening.shared`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.cost import CostResult
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.glass_transition import GlassTransition, glass_transition
from softlyte.screening.pressure import GLASS, MECHANISMS, Conditions, StackPressure, stack_pressure
from softlyte.screening.sampled import sampled_columns
from softlyte.screening.shared import shared_probability, shares_draws
from softlyte.screening.targets import DRAWN_COLUMNS, TARGET_COLUMNS, Target, Targets, load_targets

FloatArray = NDArray[np.float64]

LATER = ("e_above_hull_ev_atom",)
"""Distributions that may still be missing; their targets are left out of the joint probability."""

EXTRAPOLATION_BELOW = 0.05
"""Applicability under which a row is flagged: the members disagree more than on 95% of held-out rows."""

WIDE_TRANSITION_K = 50.0
"""Standard deviation of a predicted glass transition above which it is flagged, twice the usual error."""

FRONT_BLOCK = 256


@dataclass(frozen=True)
class Assessment:
    """Everything that targets are judged by, for N materials.

    Attributes:
        phase: [N] index into PHASES.
        predictions: the ensemble's distributions, overridden ones included.
        pressure: required stack pressure.
        cost: precursor cost per kilogram.
        transition: where the glass transition in `predictions` comes from.
        conditions: under which the pressure is asked for.
        costing: what the cost was reckoned with.
    """

    phase: NDArray[np.uint8]
    predictions: Predictions
    pressure: StackPressure
    cost: CostResult
    transition: GlassTransition
    conditions: Conditions
    costing: Costing

    def __len__(self) -> int:
        return len(self.phase)

    def has(self, target: Target) -> bool:
        """Tell whether the distribution of a target's column is there."""
        source = TARGET_COLUMNS[target.column]
        return source not in LATER or source in self.predictions.properties

    def median(self, column: str) -> FloatArray:
        """Return the median of one target column in its unit, [N]; NaN where unknown."""
        source = TARGET_COLUMNS[column]
        if column in DRAWN_COLUMNS:
            return sampled_columns(self)[column][0]
        if source == "stack_pressure_mpa":
            return self.pressure.median()
        if source == "cost_usd_kg":
            return self.cost.usd_kg
        if source in ("cost_usd_l", "cost_usd_m2"):
            litre = self.cost.usd_kg * self.predictions["density_g_cm3"].median()
            return litre * self.costing.litres_per_m2 if source == "cost_usd_m2" else litre
        values = self.predictions[source].median()
        if column == "sigma_ms_cm":
            return values * 1e3
        if column == "log10_sigma_s_cm":
            return np.log10(values)
        return np.where(self.phase == PHASES.index("glass"), values, np.nan) if _of_glass(column) else values

    def member_probability(self, target: Target) -> FloatArray:
        """Return each member's probability that a target is met, [E, N]; 0 where the value is unknown."""
        source = TARGET_COLUMNS[target.column]
        if target.column in DRAWN_COLUMNS:
            return shared_probability(self, [target])
        if source == "stack_pressure_mpa":
            below = self.pressure.member_probability_below(target.value)
        elif source == "cost_usd_kg":
            below = self._cost_below(target.value, per_litre=False)
        elif source == "cost_usd_l":
            below = self._cost_below(target.value, per_litre=True)
        elif source == "cost_usd_m2":
            below = self._cost_below(target.value / self.costing.litres_per_m2, per_litre=True)
        else:
            below = self.predictions[source].member_probability_below(_own_unit(target))
        if _of_glass(target.column):
            below = np.where(self.phase == PHASES.index("glass"), below, np.nan)
        met = below if target.wants_low else 1.0 - below
        shape = self.pressure.flow_weight.shape
        return np.broadcast_to(np.nan_to_num(met, nan=0.0), shape)

    def probability(self, target: Target) -> FloatArray:
        """Return the probability that one target is met, [N]."""
        return self.member_probability(target).mean(axis=0)

    def _cost_below(self, limit: float, per_litre: bool) -> FloatArray:
        """Return [E, N]: lognormal cost, times the member's lognormal density for a cost per litre."""
        if limit <= 0:
            return np.where(np.isnan(self.cost.usd_kg), np.nan, 0.0)[None]
        centre, variance = np.log(self.cost.usd_kg)[None], self.cost.log_sd[None] ** 2
        if per_litre:
            density = self.predictions["density_g_cm3"]
            if density.transform == "log10":
                log_mean, log_sd = density.member_mean * np.log(10), density.member_sd * np.log(10)
            else:
                mean = np.maximum(density.member_mean, 1e-2)
                log_mean, log_sd = np.log(mean), density.member_sd / mean
            centre, variance = centre + log_mean, variance + log_sd**2
        gap, spread = np.log(limit) - centre, np.sqrt(variance)
        with np.errstate(divide="ignore", invalid="ignore"):
            below = ndtr(gap / spread)
        # A price level is a scenario: its cost per kilogram has no scatter. NaN stays NaN.
        return np.where(spread == 0, gap >= 0, below)


def _of_glass(column: str) -> bool:
    """Tell whether only glasses have the property."""
    return column == "glass_transition_k"


def _own_unit(target: Target) -> float:
    """Return a target's value in the unit of the prediction that judges it."""
    if target.column == "sigma_ms_cm":
        return target.value * 1e-3
    return 10.0**target.value if target.column == "log10_sigma_s_cm" else target.value


def assess(
    compositions: Compositions,
    phase: NDArray[np.uint8],
    predictions: Predictions,
    overrides: Mapping[str, PropertyPrediction] | None = None,
    conditions: Conditions | None = None,
    costing: Costing | None = None,
    cost: CostResult | None = None,
) -> Assessment:
    """Put together what targets are judged by.

    The network's glass transition is combined with what melting says
    (`softlyte.screening.glass_transition`), unless the overrides give one.

    Args:
        compositions: N compositions.
        phase: [N] index into PHASES.
        predictions: the ensemble's distributions for them.
        overrides: distributions that replace or complete the ensemble's, [E, N] each, for example
            e_above_hull_ev_atom from a hull calculation. NaN marks rows where the value is unknown.
        conditions: use temperature, wanted contact and electrode; None for the defaults.
        costing: prices, route and layer; None for the shipped prices.
        cost: already known cost by that costing; None computes it.
    """
    phase = np.asarray(phase)
    conditions = Conditions() if conditions is None else conditions
    costing = default_costing() if costing is None else costing
    given = dict(overrides or {})
    transition = _transition(compositions, phase, predictions, given.get("glass_transition_k"))
    properties = {**predictions.properties, "glass_transition_k": transition.prediction, **given}
    merged = replace(predictions, properties=MappingProxyType(properties))
    return Assessment(
        phase=phase,
        predictions=merged,
        pressure=stack_pressure(merged, phase, conditions),
        cost=costing.cost(compositions) if cost is None else cost,
        transition=transition,
        conditions=conditions,
        costing=costing,
    )


def _transition(
    compositions: Compositions,
    phase: NDArray[np.uint8],
    predictions: Predictions,
    given: PropertyPrediction | None,
) -> GlassTransition:
    """Return the glass transition of N rows; crystals, whose own nobody asks for, keep the network's."""
    network = predictions["glass_transition_k"] if given is None else given
    mean, sd = network.member_mean.copy(), network.member_sd.copy()
    source = np.zeros(len(phase), dtype=np.int8)
    reference_k, reference = np.full(len(phase), np.nan), np.full(len(phase), -1, dtype=np.int16)
    glass = phase == GLASS
    if glass.any() and given is None:
        found = glass_transition(compositions[glass], network.take(glass))
        mean[:, glass], sd[:, glass] = found.prediction.member_mean, found.prediction.member_sd
        source[glass], reference_k[glass], reference[glass] = found.source, found.reference_k, found.reference
    return GlassTransition(PropertyPrediction(mean, sd), source, reference_k, reference)


def joint_probability(assessment: Assessment, targets: Targets | None = None) -> FloatArray:
    """Return the probability that every target holds, [N].

    The mean over members of the product over targets of the member's probabilities, where targets that
    share draws with one of DRAWN_COLUMNS are one factor. A target whose
    distribution is still missing (see LATER) is left out; `left_out` names those. Where a distribution is
    there but a row's value is unknown (NaN), the row does not meet the target: its probability is 0.
    """
    targets = load_targets() if targets is None else targets
    product = np.ones(assessment.pressure.flow_weight.shape)
    drawn = any(target.column in DRAWN_COLUMNS for target in targets.target)
    together = [t for t in targets.target if drawn and shares_draws(t.column)]
    for target in targets.target:
        if assessment.has(target) and target not in together:
            product *= assessment.member_probability(target)
    if together:
        joint = shared_probability(assessment, together)
        # No set of targets is likelier than one of them; finitely many draws could say so by a hair.
        for target in together:
            if target.column not in DRAWN_COLUMNS:
                joint = np.minimum(joint, assessment.member_probability(target))
        product *= joint
    return product.mean(axis=0)


def left_out(assessment: Assessment, targets: Targets) -> tuple[str, ...]:
    """Return the columns of targets that the joint probability does not contain yet."""
    return tuple(t.column for t in targets.target if not assessment.has(t))


def decide(
    compositions: Compositions,
    phase: NDArray[np.uint8],
    predictions: Predictions,
    targets: Targets | None = None,
    overrides: Mapping[str, PropertyPrediction] | None = None,
    costing: Costing | None = None,
    details: bool = True,
) -> pd.DataFrame:
    """Return the decision columns of N materials, one row each, in the order given.

    Columns: stack_pressure_mpa with _lower and _upper, p_below_target_pressure, cost_usd_kg, cost_usd_l,
    p_all_targets; with details also pressure_mechanism (elastic | plastic | flow), cost_usd_kg_lower and
    _upper, precursor_route and flags, which cost a few microseconds a row each: leave them out for millions.
    Arguments as in `assess`; targets, which state the conditions too, None means the shipped defaults.
    """
    targets = load_targets() if targets is None else targets
    assessment = assess(compositions, phase, predictions, overrides, targets.working_conditions(), costing)
    lower, upper = assessment.pressure.interval()
    table: dict[str, object] = {
        "stack_pressure_mpa": assessment.pressure.median(),
        "stack_pressure_mpa_lower": lower,
        "stack_pressure_mpa_upper": upper,
        "p_below_target_pressure": assessment.pressure.probability_below(targets.pressure_mpa()),
        "cost_usd_kg": assessment.median("cost_usd_kg"),
        "cost_usd_l": assessment.median("cost_usd_l"),
        "p_all_targets": joint_probability(assessment, targets),
    }
    if details:
        routes = assessment.costing.routes(compositions)
        table["pressure_mechanism"] = np.array(MECHANISMS)[assessment.pressure.mechanism()]
        table["cost_usd_kg_lower"], table["cost_usd_kg_upper"] = assessment.cost.interval()
        table["precursor_route"] = [str(route) for route in routes]
        table["flags"] = flags(assessment, [route.estimated for route in routes])
    return pd.DataFrame(table)


def flags(assessment: Assessment, estimated: list[tuple[str, ...]]) -> NDArray[np.object_]:
    """Return cautions for each row, separated by "; ", "" where there is none, [N].

    Args:
        assessment: of N materials.
        estimated: for each, the precursors whose own price is not cited.
    """
    predictions = assessment.predictions
    glass = assessment.phase == PHASES.index("glass")
    if glass.any() and "glass_transition_k" in predictions.properties:
        wide = glass & (predictions["glass_transition_k"].sd() > WIDE_TRANSITION_K)
    else:
        wide = np.zeros(len(assessment), dtype=bool)
    cautions: list[tuple[NDArray[np.bool_], str]] = [
        (predictions.unknown_elements, "element outside the training data"),
        (predictions.applicability < EXTRAPOLATION_BELOW, "extrapolation"),
        (wide, "glass transition uncertain"),
        (assessment.pressure.mechanism() == MECHANISMS.index("flow"), "contact by viscous flow"),
    ]
    text: list[list[str]] = [[] for _ in range(len(assessment))]
    for where, caution in cautions:
        for flagged in np.flatnonzero(where):
            text[flagged].append(caution)
    for row, (names, reason) in enumerate(zip(estimated, assessment.cost.reason, strict=True)):
        if reason:
            text[row].append(f"no cost: {reason}")
        elif names:
            text[row].append(f"cost: estimated price of {', '.join(names)}")
    return np.array(["; ".join(parts) for parts in text], dtype=object)


def pareto_front(values: FloatArray, wants_low: NDArray[np.bool_] | list[bool]) -> NDArray[np.bool_]:
    """Tell which rows no other row beats, [N].

    A row is beaten if another is at least as good in every column and better in one; equal rows stand
    together. NaN is worse than any number. Exact for any N; about a second for 20,000 rows and 5 columns.

    Args:
        values: [N, T], for example `medians` of an assessment.
        wants_low: [T] True where smaller is better (a `<` target), False where larger is.
    """
    badness = np.where(np.asarray(wants_low, dtype=bool), values, -values)
    badness = np.where(np.isnan(badness), np.inf, badness)
    points, inverse = np.unique(badness, axis=0, return_inverse=True)
    # Whoever beats a row comes before it in lexicographic order, so one pass over blocks is enough.
    front = np.zeros((0, points.shape[1]))
    kept = np.zeros(len(points), dtype=bool)
    for start in range(0, len(points), FRONT_BLOCK):
        block = points[start : start + FRONT_BLOCK]
        alive = ~_beaten(block, front)
        candidates = block[alive]
        alive[alive] = ~_beaten(candidates, candidates)
        kept[start : start + FRONT_BLOCK] = alive
        front = np.concatenate([front, block[alive]])
    result: NDArray[np.bool_] = kept[inverse.ravel()]
    return result


def _beaten(points: FloatArray, others: FloatArray) -> NDArray[np.bool_]:
    """Tell which points some other, different point is nowhere worse than, [N]; rows must be distinct."""
    beats = np.ones((len(points), len(others)), dtype=bool)
    for column in range(points.shape[1]):
        beats &= others[None, :, column] <= points[:, column, None]
    if points is others:
        np.fill_diagonal(beats, False)
    beaten: NDArray[np.bool_] = np.asarray(beats.any(axis=1))
    return beaten


def medians(assessment: Assessment, targets: Targets) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return what `pareto_front` needs: medians [N, T] of the targets' columns and wants_low [T].

    Targets whose distribution is still missing are left out.
    """
    judged = [t for t in targets.target if assessment.has(t)]
    columns = [assessment.median(t.column) for t in judged]
    return np.stack(columns, axis=1), np.array([t.wants_low for t in judged])
