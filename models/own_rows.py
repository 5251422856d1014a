"""A laboratory's own measurements as training rows: each value under its phase and fidelity, weighted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.own.quantities import BY_COLUMN, SD
from softlyte.datasets.own.store import load_own
from softlyte.models.tasks import TARGET_NAMES, TARGET_TRANSFORMS
from softlyte.models.training_data import ROOM_C, TrainingDataError, TrainingRows

OWN = "own_measurements"
"""Name of the source in a stage's passes."""

TARGET_OF = {
    "log10_sigma_s_cm": "sigma_s_cm",
    **{
        name: name
        for name in (
            "bulk_modulus_gpa",
            "shear_modulus_gpa",
            "youngs_modulus_gpa",
            "hardness_gpa",
            "oxidation_v",
            "reduction_v",
            "glass_transition_k",
            "density_g_cm3",
        )
    },
}
"""Column of own measurements -> target that it teaches. Stack pressures are of cells and teach no network."""

USUAL_ERROR = {
    "sigma_s_cm": 0.61,
    "bulk_modulus_gpa": 0.07,
    "shear_modulus_gpa": 0.09,
    "youngs_modulus_gpa": 0.09,
    "hardness_gpa": 0.08,
    "oxidation_v": 0.27,
    "reduction_v": 0.24,
    "glass_transition_k": 26.0,
    "density_g_cm3": 0.025,
}
"""What a label is usually off by, in the target's transformed unit: the scatter of repeats for the
conductivity, else the networks' error on unknown chemical systems (benchmarks/RESULTS.md)."""


def own_training_rows(folder: Path | str | None = None) -> TrainingRows:
    """Return the own measurements of a folder, a row for each value, all in fold 0.

    A crystal counts as a measured pellet, a glass as a measured glass. With a stated standard deviation u a
    row weighs s^2 / (s^2 + u^2), s = USUAL_ERROR: half where its own uncertainty is as large as the error it
    is to mend; without one it weighs 1. Young's modulus is a label of its own only where K or G is missing.

    Raises:
        UserError: there are no measurements, or none that teaches a network.
    """
    table = load_own(folder)
    parts = []
    for column, target in TARGET_OF.items():
        known = table[column].notna()
        if column == "youngs_modulus_gpa":
            known &= table["bulk_modulus_gpa"].isna() | table["shear_modulus_gpa"].isna()
        if known.any():
            parts.append(_rows(table[known], column, target))
    if not parts:
        raise TrainingDataError(
            "the own measurements hold stack pressures alone, which teach no network; add a conductivity, a "
            "modulus or another property"
        )
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.joined(part)
    return rows


def transformed(table: pd.DataFrame, column: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and standard deviations of a column in its target's transformed unit, two [N].

    NaN where a value, or its uncertainty, is not stated.
    """
    value, sd = table[column].to_numpy(np.float64), table[column + SD].to_numpy(np.float64)
    log = TARGET_TRANSFORMS[TARGET_NAMES.index(TARGET_OF[column])] == "log10"
    if log and not BY_COLUMN[column].logarithmic:
        sd, value = sd / (value * np.log(10.0)), np.log10(value)
    return value, sd


def _rows(table: pd.DataFrame, column: str, target: str) -> TrainingRows:
    value, sd = transformed(table, column)
    targets = np.full((len(table), len(TARGET_NAMES)), np.nan)
    targets[:, TARGET_NAMES.index(target)] = value
    variance = np.where(np.isnan(sd), 0.0, sd) ** 2
    phase = np.array([PHASES.index(p) for p in table["phase"]])
    glass = phase == PHASES.index("glass")
    usual = USUAL_ERROR[target] ** 2
    bound = table["censored"].to_numpy(bool) & (target == "sigma_s_cm")
    return TrainingRows(
        Compositions.from_formulas(table["formula"]),
        phase,
        np.where(glass, FIDELITIES.index("measured_glass"), FIDELITIES.index("measured_pellet")),
        table["temperature_c"].fillna(ROOM_C).to_numpy(np.float64),
        targets,
        bound,
        usual / (usual + variance),
        np.zeros(len(table), np.int64),
        np.zeros(len(table), np.int64),
        (OWN,),
    )
