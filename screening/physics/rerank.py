"""A ranking after the physics check: of the first N the potentials' word replaces the networks'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import MERGED_VERIFIED_COLUMNS, PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import PropertyPrediction, youngs_modulus
from softlyte.screening.costing import Costing
from softlyte.screening.decision import assess, joint_probability
from softlyte.screening.evaluate import HULL_ENERGY, Evaluation, PropertyPredictor, default_hull, evaluate
from softlyte.screening.physics.verify import (
    DEFAULT_POTENTIALS,
    Progress,
    subjects_from_compositions,
    verify_subjects,
)
from softlyte.screening.ranking import rank_order
from softlyte.screening.stability import REACTION_ENERGY_SD
from softlyte.screening.targets import Targets

FloatArray = NDArray[np.float64]

MODULUS_LOG10_SD = float(np.log10(1.18))
"""About 18%, the potentials' mean error in K (G's is less), by `benchmarks.potentials`."""
WINDOW_SD_V = {"reduction_v": 0.20, "oxidation_v": 0.28}
"""1.25 times the mean error of limits on hulls that lack the phase itself (benchmarks/RESULTS.md)."""
VERIFY_FOLDER = "verify"


def verified_ranking(
    ranked: pd.DataFrame,
    count: int,
    folder: Path,
    predictor: PropertyPredictor,
    targets: Targets,
    costing: Costing,
    device: str = "cpu",
    workers: int = 2,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Verify the first candidates and rank anew.

    Args:
        ranked: CANDIDATE_COLUMNS in order of rank.
        count: candidates to verify, from rank 1.
        folder: for the results of the check.
        predictor: the ensemble.
        targets: what must hold.
        costing: prices, route and layer.
        device: "cpu" or "cuda", for the potentials.
        workers: processes of one thread each.
        progress: called with a stage's name, done and total.

    Returns:
        The table with MERGED_VERIFIED_COLUMNS besides, p_all_targets of the verified rows and rank renewed.
        All rows of a verified composition take part: of a glass hull and window count, not the modulus.
    """
    subjects = subjects_from_compositions(ranked["formula"].head(count))
    result = verify_subjects(
        subjects, folder, DEFAULT_POTENTIALS, device, workers, predictor=predictor, progress=progress
    )
    verified = result.verified.set_index("formula")
    merged = ranked.copy()
    for name in MERGED_VERIFIED_COLUMNS:
        merged[name] = merged["formula"].map(verified[name])
    rows = np.flatnonzero(merged["formula"].isin(verified.index) & merged[f"verified_{HULL_ENERGY}"].notna())
    if len(rows):
        renewed = _probability(merged.iloc[rows], predictor, targets, costing)
        probability = merged["p_all_targets"].to_numpy(np.float64, copy=True)
        probability[rows] = renewed
        merged["p_all_targets"] = probability
    order = rank_order(merged["p_all_targets"].to_numpy(np.float64), merged["rank"].to_numpy(np.int64))
    merged = merged.iloc[order].reset_index(drop=True)
    merged["rank"] = np.arange(1, len(merged) + 1)
    return merged


def _probability(
    rows: pd.DataFrame, predictor: PropertyPredictor, targets: Targets, costing: Costing
) -> FloatArray:
    """Return the joint probability of verified candidates, [N]."""
    compositions = Compositions.from_formulas(rows["formula"])
    phase = rows["phase"].map(PHASES.index).to_numpy(np.uint8)
    conditions = targets.working_conditions()
    known = evaluate(compositions, phase, predictor, default_hull(), None, conditions, costing)
    overrides = potential_overrides(rows, known)
    predictions = known.assessment.predictions
    assessment = assess(
        compositions, phase, predictions, overrides, conditions, costing, known.assessment.cost
    )
    return joint_probability(assessment, targets)


def potential_overrides(rows: pd.DataFrame, known: Evaluation) -> dict[str, PropertyPrediction]:
    """Return the distributions that the potentials give, [E, N]; where they say nothing, those there were.

    Args:
        rows: N candidates with MERGED_VERIFIED_COLUMNS.
        known: what networks and DFT hull say of them.
    """
    predictions = known.assessment.predictions
    members = predictions[HULL_ENERGY].member_mean.shape[0]

    def one(values: FloatArray, sd: FloatArray | float, before: str, log: bool = False) -> PropertyPrediction:
        shape = (members, len(values))
        found = PropertyPrediction(
            np.broadcast_to(values, shape).copy(),
            np.broadcast_to(np.nan_to_num(sd, nan=1.0), shape).copy(),
            "log10" if log else "identity",
        )
        return found.where_known(predictions[before])

    spread = rows["verified_hull_spread_ev_atom"].to_numpy(np.float64)
    hull_sd = np.hypot(REACTION_ENERGY_SD, np.nan_to_num(spread) / 2.0)
    overrides = {HULL_ENERGY: one(_column(rows, HULL_ENERGY), hull_sd, HULL_ENERGY)}
    for name, sd in WINDOW_SD_V.items():
        overrides[name] = one(_column(rows, name), sd, name)
    # The glass transition was combined with what melting says already; it must not be again.
    overrides["glass_transition_k"] = predictions["glass_transition_k"]
    crystal = known.assessment.phase == PHASES.index("crystal")
    moduli: Mapping[str, FloatArray] = {
        name: np.where(crystal, np.log10(_positive(_column(rows, name))), np.nan)
        for name in ("bulk_modulus_gpa", "shear_modulus_gpa")
    }
    for name, values in moduli.items():
        overrides[name] = one(values, MODULUS_LOG10_SD, name, log=True)
    youngs = youngs_modulus(overrides["bulk_modulus_gpa"], overrides["shear_modulus_gpa"], 0.0)
    unknown = ~np.isfinite(moduli["bulk_modulus_gpa"] + moduli["shear_modulus_gpa"])
    mean = np.where(unknown, np.nan, youngs.member_mean)
    overrides["youngs_modulus_gpa"] = PropertyPrediction(mean, youngs.member_sd, "log10").where_known(
        predictions["youngs_modulus_gpa"]
    )
    return overrides


def _column(rows: pd.DataFrame, name: str) -> FloatArray:
    return rows[f"verified_{name}"].to_numpy(np.float64)


def _positive(values: FloatArray) -> FloatArray:
    """Return the values, NaN where they are not positive: unstable crystals have no modulus to count with."""
    return np.where(values > 0, values, np.nan)
