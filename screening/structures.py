"""Every property of given structures: the function behind `softlyte predict --structure`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES, PREDICT_COLUMNS
from softlyte.featurize.crystal_files import CrystalReading, read_crystal_files
from softlyte.featurize.crystals import Crystals
from softlyte.models.crystal_predictor import CrystalPredictor
from softlyte.models.predictor import Predictor
from softlyte.screening.costing import Costing
from softlyte.screening.evaluate import PropertyPredictor, default_hull, evaluate, result_table
from softlyte.screening.inputs import InputError, RejectedRow, refusals, usable
from softlyte.screening.targets import Targets, load_targets

STRUCTURE_COLUMNS = ("structure", *PREDICT_COLUMNS)
"""Columns of `predict_structures`, in order."""

CHUNK_ROWS = 2_000
"""Structures whose distributions are in memory at once."""


def predict_structures(
    paths: Sequence[Path | str],
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    crystal_predictor: CrystalPredictor | None = None,
    crystal_weights: Path | str | None = None,
    device: str = "auto",
    costing: Costing | None = None,
) -> pd.DataFrame:
    """Predict structures, a row for each with the columns STRUCTURE_COLUMNS.

    Moduli and energy above the hull are those of the structure (crystal networks), the density is the
    structure's own, everything else is predicted from its composition. A CIF or JSON file with several
    structures gives a row for each.

    Args:
        paths: CIF, POSCAR or pymatgen JSON files.
        targets: loaded targets or a TOML file; None for the shipped ones.
        predictor: composition networks already loaded; None loads `weights`.
        weights: folder of trained weights; None for the shipped ones.
        crystal_predictor: crystal networks already loaded; None loads `crystal_weights`.
        crystal_weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.
        costing: prices, route and layer; None for the shipped prices.

    Raises:
        InputError: a structure cannot be used; the message names the first. `predict_structure_rows` skips
            them.
        UserError: targets, weights or device cannot be used.
    """
    frame, rejected = predict_structure_rows(
        paths, targets, predictor, weights, crystal_predictor, crystal_weights, device, costing
    )
    usable(rejected, "structure")
    return frame


def predict_structure_rows(
    paths: Sequence[Path | str],
    targets: Targets | Path | str | None = None,
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    crystal_predictor: CrystalPredictor | None = None,
    crystal_weights: Path | str | None = None,
    device: str = "auto",
    costing: Costing | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, list[RejectedRow]]:
    """Predict the structures that can be used; returns their table and the refused ones.

    Arguments as in `predict_structures`; progress is told how many are done of how many.
    """
    if not paths:
        raise InputError("no structure was given; name at least one CIF, POSCAR or pymatgen JSON file")
    aims = targets if isinstance(targets, Targets) else load_targets(targets)
    model = Predictor.load(weights, device) if predictor is None else predictor
    networks = (
        CrystalPredictor.load(crystal_weights, device) if crystal_predictor is None else crystal_predictor
    )
    reading = read_crystal_files(paths)
    known = model.known_elements & networks.known_elements
    crystals, names, rejected = _usable(reading, known)
    parts = [pd.DataFrame(columns=[*STRUCTURE_COLUMNS, *(costing.currency_names if costing else ())])]
    for start in range(0, len(crystals), CHUNK_ROWS):
        some = crystals[start : start + CHUNK_ROWS]
        compositions = some.compositions()
        evaluation = evaluate(
            compositions,
            np.full(len(some), PHASES.index("crystal"), dtype=np.uint8),
            model,
            default_hull(),
            conditions=aims.working_conditions(),
            costing=costing,
            structures=networks.predict(some),
        )
        table = result_table(evaluation, aims).drop(columns="precursor_route")
        table.insert(0, "structure", names[start : start + CHUNK_ROWS])
        parts.append(table)
        if progress is not None:
            progress(start + len(some), len(crystals))
    return pd.concat(parts if len(parts) == 1 else parts[1:], ignore_index=True), rejected


def _usable(
    reading: CrystalReading, known_elements: NDArray[np.bool_]
) -> tuple[Crystals, list[str], list[RejectedRow]]:
    """Return the structures that can be predicted, their names, and the others with their reasons."""
    rejected = [RejectedRow(f.position + 1, f.name, f.reason) for f in reading.failures]
    reasons = refusals(reading.crystals.compositions(), known_elements)
    for position, name, reason in zip(reading.position.tolist(), reading.names, reasons, strict=True):
        if reason:
            rejected.append(RejectedRow(position + 1, name, reason))
    good = np.array([not reason for reason in reasons], dtype=bool)
    names = [name for name, fine in zip(reading.names, good, strict=True) if fine]
    return reading.crystals[good], names, sorted(rejected, key=lambda row: row.row)
