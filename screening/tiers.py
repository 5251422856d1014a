"""The tiers of the screening funnel: functions from candidates to candidates that count their reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import CANDIDATE_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.screening.candidates import Candidates
from softlyte.screening.cost import CostResult
from softlyte.screening.costing import Costing, default_costing
from softlyte.screening.decision import LATER, assess, joint_probability, medians, pareto_front
from softlyte.screening.evaluate import Evaluation, PropertyPredictor, result_table
from softlyte.screening.ranking import rank_order
from softlyte.screening.targets import TARGET_COLUMNS, Target, Targets

COST_FACTOR = 5.0
"""Candidates whose precursors cost more than this many times the target are not worth a prediction."""

LEAST_DENSITY = 1.0
"""g/cm3: no halide or oxide electrolyte is lighter, so a litre costs at least this times a kilogram."""


@dataclass(frozen=True)
class FunnelRow:
    """What one tier did for one reason; entered = left + removed, and left is the next row's entered.

    Attributes:
        tier: generate, filter, network, hull or decision.
        entered: candidates before.
        left: candidates after.
        removed: candidates that fell.
        reason: why, empty if none fell.
    """

    tier: str
    entered: int
    left: int
    removed: int
    reason: str = ""


def tier_rows(tier: str, entered: int, removed: Mapping[str, int]) -> list[FunnelRow]:
    """Return a tier's rows, one for each reason that removed something (most first), else a single one."""
    rows = []
    for reason, count in sorted(removed.items(), key=lambda item: (-item[1], item[0])):
        if count:
            rows.append(FunnelRow(tier, entered, entered - count, count, reason))
            entered -= count
    return rows or [FunnelRow(tier, entered, entered, 0)]


def funnel_frame(rows: Iterable[FunnelRow]) -> pd.DataFrame:
    """Return the funnel as a table with the columns tier, in, out, removed, reason."""
    cells = [(r.tier, r.entered, r.left, r.removed, r.reason) for r in rows]
    return pd.DataFrame(cells, columns=["tier", "in", "out", "removed", "reason"])


def cost_ceiling(targets: Targets, costing: Costing | None = None) -> float | None:
    """Return the precursor cost in USD/kg above which a candidate cannot reach the cost target.

    COST_FACTOR times the strictest cost target, where a target per litre, or per square metre of the
    costing's layer, counts as one per kilogram at LEAST_DENSITY; None without a cost target. The factor
    leaves room for the prices' own uncertainty.
    """
    costing = default_costing() if costing is None else costing
    per_kg = {
        "cost_usd_kg": 1.0,
        "cost_usd_l": 1.0 / LEAST_DENSITY,
        "cost_usd_m2": 1.0 / (LEAST_DENSITY * costing.litres_per_m2),
    }
    limits = [t.value * per_kg[t.column] for t in targets.target if t.column in per_kg and t.wants_low]
    return COST_FACTOR * min(limits) if limits else None


def filter_tier(
    candidates: Candidates,
    known_elements: NDArray[np.bool_],
    ceiling_usd_kg: float | None,
    costing: Costing | None = None,
) -> tuple[Candidates, CostResult, Counter[str]]:
    """Drop what needs no prediction to be dropped.

    Args:
        candidates: N candidates.
        known_elements: [104] True for elements the model was trained on.
        ceiling_usd_kg: largest precursor cost; None keeps every cost, unknown ones too.
        costing: prices and route; None for the shipped prices.

    Returns:
        The candidates left, their precursor cost, and how many fell for each reason.
    """
    numbers = candidates.compositions.atomic_numbers
    costing = default_costing() if costing is None else costing
    cost = costing.cost(candidates.compositions)
    reason = np.full(len(candidates), "", dtype=object)
    if ceiling_usd_kg is not None:
        reason[cost.usd_kg > ceiling_usd_kg] = f"precursors above {ceiling_usd_kg:g} USD/kg"
        reason = np.where(np.isnan(cost.usd_kg), cost.reason, reason)
    reason[((numbers > 0) & ~known_elements[numbers]).any(axis=1)] = "element outside the model"
    keep = reason == ""
    kept_cost = CostResult(cost.usd_kg[keep], cost.log_sd[keep], cost.reason[keep])
    return candidates.take(keep), kept_cost, Counter(reason[~keep].tolist())


def network_tier(
    candidates: Candidates,
    cost: CostResult,
    predictor: PropertyPredictor,
    targets: Targets,
    costing: Costing | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Judge N candidates by the networks alone.

    Returns the probability that all targets but the hull's hold, [N], and the medians of these targets'
    columns, [N, T] in the order of `judged_by_networks`.

    Args:
        candidates: N candidates.
        cost: their precursor cost by the costing, from `filter_tier`.
        predictor: the ensemble.
        targets: what must hold.
        costing: prices, route and layer; None for the shipped prices.
    """
    probability = np.zeros(len(candidates))
    median = np.full((len(candidates), len(judged_by_networks(targets))), np.nan)
    elements = (candidates.compositions.atomic_numbers > 0).sum(axis=1)
    # Rows of like width go together: padding costs the network as much as atoms.
    for count in np.unique(elements):
        rows = np.flatnonzero(elements == count)
        phase, compositions = candidates.phase[rows], candidates.compositions[rows]
        narrow = Compositions(compositions.atomic_numbers[:, :count], compositions.amounts[:, :count])
        predictions = predictor.predict(narrow, phase)
        priced = CostResult(cost.usd_kg[rows], cost.log_sd[rows], cost.reason[rows])
        assessment = assess(
            narrow, phase, predictions, None, targets.working_conditions(), costing, cost=priced
        )
        probability[rows] = joint_probability(assessment, targets)
        median[rows] = medians(assessment, targets)[0]
    return probability, median


def judged_by_networks(targets: Targets) -> list[Target]:
    """Return the targets that the networks judge without the hull, [T]."""
    return [t for t in targets.target if TARGET_COLUMNS[t.column] not in LATER]


def refined_table(evaluation: Evaluation, place: NDArray[np.int64], targets: Targets) -> pd.DataFrame:
    """Return what the decision needs of N candidates with their hull, in the order given.

    `result_table` with `place` [N], the position in the source's order, and the exact median of each target's
    column (see `median_name`).
    """
    table = result_table(evaluation, targets)
    values, _ = medians(evaluation.assessment, targets)
    exact = {median_name(number): column for number, column in enumerate(values.T)}
    return table.assign(place=place, **exact)


def median_name(number: int) -> str:
    """Return the column of `refined_table` that holds the median of a target's column, by its number."""
    return f"target_{number}"


def decision_tier(refined: pd.DataFrame, targets: Targets, costing: Costing) -> pd.DataFrame:
    """Rank N refined candidates: CANDIDATE_COLUMNS, and CURRENCY_COLUMNS if asked.

    The order is that of p_all_targets, ties by place. The Pareto front is that of all N in the medians of
    the targets' columns.

    Args:
        refined: `refined_table` of the candidates.
        targets: what must hold.
        costing: prices, route and layer.
    """
    values = refined[[median_name(number) for number in range(len(targets.target))]].to_numpy(np.float64)
    table = refined.assign(pareto_front=pareto_front(values, [t.wants_low for t in targets.target]))
    order = rank_order(table["p_all_targets"].to_numpy(), table["place"].to_numpy())
    table = table.iloc[order].reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return table[[*CANDIDATE_COLUMNS, *costing.currency_names]]


def settled_ranks(ranked: NDArray[np.float64], left_behind: float) -> int:
    """Return how many first ranks nobody who was left behind reaches by the networks' estimate.

    The hull may raise as well as lower an estimate, so this is no proof: it says how far down the ranking
    the number of refined candidates was ample.

    Args:
        ranked: final probabilities from best to worst.
        left_behind: highest probability without the hull of a candidate that was not put on the hull;
            -inf if there is none.
    """
    return int(np.cumprod(ranked >= left_behind).sum())
