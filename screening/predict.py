"""Every property of given formulas: the function behind `softlyte predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from softlyte.datasets.columns import PREDICT_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictor import Predictor
from softlyte.screening.costing import Costing
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate, result_table
from softlyte.screening.inputs import InputRows, RejectedRow, check_rows, rows_from_formulas, usable
from softlyte.screening.targets import Targets, load_targets

CHUNK_ROWS = 10_000
"""Rows whose distributions are in memory at once."""

Progress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""


def predict(
    formulas: Sequence[str],
    phase: str | None = None,
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
    costing: Costing | None = None,
) -> pd.DataFrame:
    """Predict formulas, a row for each formula and phase with the columns PREDICT_COLUMNS.

    Units are in the column names; `softlyte.datasets.columns.COLUMNS` explains each. `_lower` and `_upper`
    enclose 90%. A composition given twice is predicted once, with a warning.

    Args:
        formulas: such as ["Li3YCl6", "LiAlCl2.5O0.75"].
        phase: "crystal", "glass" or None for both.
        targets: loaded targets or a TOML file; None for the shipped ones.
        predictor: an ensemble already loaded; None loads `weights`.
        weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.
        costing: prices, route and layer (`softlyte.screening.costing.load_costing`); None for the shipped
            prices. A currency other than USD adds CURRENCY_COLUMNS.

    Raises:
        InputError: a formula cannot be used; the message names the first. `predict_rows` skips them.
        UserError: targets, weights or device cannot be used.
    """
    rows = rows_from_formulas(formulas)
    frame, rejected = predict_rows(rows, phase, targets, predictor, weights, device, costing)
    usable(rejected)
    return frame


def predict_rows(
    rows: InputRows,
    phase: str | None = None,
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
    costing: Costing | None = None,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, list[RejectedRow]]:
    """Predict the rows that can be used; returns their table and the refused and repeated ones.

    Arguments as in `predict`; a phase in the rows goes before `phase`, progress is told how far it is.
    """
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    model = Predictor.load(weights, device) if predictor is None else predictor
    inputs = check_rows(rows, model.known_elements, phase)
    count = len(inputs.phase)
    parts = []
    for start in range(0, count, CHUNK_ROWS):
        piece = slice(start, min(start + CHUNK_ROWS, count))
        compositions = inputs.compositions[piece]
        advance = _row_counter(compositions, piece, count, progress)
        evaluation = evaluate(
            compositions,
            inputs.phase[piece],
            model,
            default_hull(),
            advance,
            aims.working_conditions(),
            costing,
        )
        parts.append(result_table(evaluation, aims).drop(columns="precursor_route"))
    if not parts:
        currency = () if costing is None else costing.currency_names
        parts = [pd.DataFrame(columns=[*PREDICT_COLUMNS, *currency])]
    return pd.concat(parts, ignore_index=True), inputs.rejected


def _row_counter(
    compositions: Compositions, piece: slice, count: int, progress: Progress | None
) -> Callable[[int], None]:
    """Return a callback for finished hulls, nearly all of the work, that tells progress the rows done."""
    distinct, solved = len(np.unique(compositions.keys())), 0

    def advance(finished: int) -> None:
        nonlocal solved
        solved += finished
        if progress is not None:
            progress(piece.start + (piece.stop - piece.start) * solved // distinct, count)

    return advance
