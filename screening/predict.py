"""Every property of given formulas: the function behind `softlyte predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from softlyte.datasets.columns import PREDICT_COLUMNS
from softlyte.models.predictor import Predictor
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate, result_table
from softlyte.screening.inputs import InputError, InputRows, RejectedRow, check_rows, rows_from_formulas
from softlyte.screening.targets import Targets, load_targets

CHUNK_ROWS = 10_000
"""Rows whose distributions are in memory at once."""


def predict(
    formulas: Sequence[str],
    phase: str | None = None,
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> pd.DataFrame:
    """Predict formulas, a row for each formula and phase with the columns PREDICT_COLUMNS.

    Units are in the column names; `softlyte.datasets.columns.COLUMNS` explains each. `_lower` and `_upper`
    enclose 90%.

    Args:
        formulas: such as ["Li3YCl6", "LiAlCl2.5O0.75"].
        phase: "crystal", "glass" or None for both.
        targets: loaded targets or a TOML file; None for the shipped ones.
        predictor: an ensemble already loaded; None loads `weights`.
        weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.

    Raises:
        InputError: a formula cannot be used; the message names the first. `predict_rows` skips them.
        UserError: targets, weights or device cannot be used.
    """
    frame, rejected = predict_rows(rows_from_formulas(formulas), phase, targets, predictor, weights, device)
    if rejected:
        first = rejected[0]
        more = f" (and {len(rejected) - 1} more)" if len(rejected) > 1 else ""
        raise InputError(f"formula {first.row}, {first.value!r}: {first.reason}{more}")
    return frame


def predict_rows(
    rows: InputRows,
    phase: str | None = None,
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> tuple[pd.DataFrame, list[RejectedRow]]:
    """Predict the rows that can be used; returns their table and the refused ones.

    Arguments as in `predict`; a phase in the rows goes before `phase`.
    """
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    model = Predictor.load(weights, device) if predictor is None else predictor
    inputs = check_rows(rows, model.known_elements, phase)
    parts = [pd.DataFrame(columns=list(PREDICT_COLUMNS))]
    for start in range(0, len(inputs.phase), CHUNK_ROWS):
        piece = slice(start, start + CHUNK_ROWS)
        evaluation = evaluate(
            inputs.compositions[piece], inputs.phase[piece], model, default_hull(), conditions=aims.conditions
        )
        parts.append(result_table(evaluation, aims)[list(PREDICT_COLUMNS)])
    # The empty frame gives the columns where no row is left; beside others it would change their types.
    return pd.concat(parts[1:] or parts, ignore_index=True), inputs.rejected
