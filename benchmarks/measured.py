"""Networks of the measured conductivities: trained fold by fold, what they say of every measured row kept.

python -m benchmarks.measured --run FOLDER [--seeds 3]

For five folds by reduced formula and five by chemical system (protocols.measured_folds) a network is trained
without the conductivities of the fold, and asked about every measured row: of the fold's rows it has seen
nothing of the kind, of the others it has. Kept in results/measured_networks.npz, so that
benchmarks.near_neighbours, benchmarks.adaptation and benchmarks.campaign need no training.

One pretraining, which sees no conductivity of these rows (protocols.shared_pretraining), serves all fits; the
seeds differ in the fold's own stage.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import obelix
from benchmarks.experiment import Experiment, Machine, predict
from benchmarks.protocols import SIGMA, measured_folds
from softlyte.models.config import DEFAULT_CONFIG, load_config
from softlyte.models.fit import FitOutcome
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import TrainingRows, load_training_rows

KEPT = Path(__file__).parent / "results" / "measured_networks.npz"
BY = ("reduced formula", "chemical system")
FOLDS = 5
PLAN = replace(
    obelix.NETWORK,
    epochs=5,
    passes={**obelix.NETWORK.passes, "glass_conductivity": 0.1, "distilled": 0.3},
)
"""The stage of the OBELiX protocol, shorter: 5 epochs in place of 8, fewer glasses."""

Array = NDArray[np.float64]


class OnePretraining(Experiment):
    """An experiment whose fits of every seed go on from the pretraining of seed 0."""

    def pretrained(self, seed: int) -> FitOutcome:
        """Return the pretraining of seed 0."""
        return super().pretrained(0)


@dataclass(frozen=True)
class Measured:
    """N measured conductivities and what networks say of them.

    Attributes:
        rows: the N rows, log10 S/cm at their temperature.
        fold: [2, N] fold of each row by BY.
        mean, sd: [2, S, K, N] log10 S/cm: of the network of fold k, seed s, before calibration.
    """

    rows: TrainingRows
    fold: NDArray[np.int64]
    mean: Array
    sd: Array

    def value(self) -> Array:
        """Return the measured values, [N] log10 S/cm, NaN for upper bounds."""
        sigma = self.rows.targets[:, TARGET_NAMES.index(SIGMA)]
        return np.where(self.rows.censored, np.nan, sigma)

    def out_of_fold(self, by: str) -> tuple[Array, Array]:
        """Return what the networks that have not seen a row's fold say of it, two [S, N]."""
        code = BY.index(by)
        rows = np.arange(len(self.rows))
        return self.mean[code][:, self.fold[code], rows], self.sd[code][:, self.fold[code], rows]


def measured_rows() -> tuple[TrainingRows, dict[str, NDArray[np.int64]]]:
    """Return the measured rows, and the fold of each by BY."""
    rows = load_training_rows()
    folds: dict[str, NDArray[np.int64]] = {}
    place = np.array([], np.int64)
    for by in BY:
        splits = measured_folds(rows, by, FOLDS)
        place = np.sort(np.concatenate([split.extra["place"] for split in splits]))
        fold = np.empty(len(place), np.int64)
        for number, split in enumerate(splits):
            fold[np.searchsorted(place, split.extra["place"])] = number
        folds[by] = fold
    return rows.take(place), folds


def load_measured() -> Measured:
    """Return the kept predictions; raises SystemExit if they are missing or of other tables."""
    rows, folds = measured_rows()
    if not KEPT.is_file():
        raise SystemExit(f"{KEPT} is missing; run python -m benchmarks.measured --run FOLDER")
    with np.load(KEPT) as kept:
        if str(kept["rows_sha256"]) != _checksum(rows):
            raise SystemExit(f"{KEPT} is of other tables; run python -m benchmarks.measured --run FOLDER")
        mean, sd = kept["mean"].astype(np.float64), kept["sd"].astype(np.float64)
    return Measured(rows, np.stack([folds[by] for by in BY]), mean, sd)


def _checksum(rows: TrainingRows) -> str:
    digest = hashlib.sha256(rows.compositions.keys().tobytes())
    digest.update(np.ascontiguousarray(rows.targets[:, TARGET_NAMES.index(SIGMA)]).tobytes())
    return digest.hexdigest()


def train(run: Path, seeds: int, threads: int = 1) -> None:
    """Train the networks (or read them from the run folder) and keep what they say."""
    torch.set_num_threads(threads)
    config = load_config(DEFAULT_CONFIG)
    rows = load_training_rows(config.data.tables, config.data.split_seed, config.data.folds)
    experiment = OnePretraining(config, rows, run, Machine("cpu", threads, None))
    known, _ = measured_rows()
    column = TARGET_NAMES.index(SIGMA)
    mean = np.empty((len(BY), seeds, FOLDS, len(known)), np.float32)
    sd = np.empty_like(mean)
    for seed in range(seeds):
        for code, by in enumerate(BY):
            for number, split in enumerate(measured_folds(rows, by, FOLDS)):
                fit = experiment.fitted(f"measured_{by.replace(' ', '_')}", split, PLAN, seed)
                assert fit.state is not None  # without a limit of time a fit ends with a state
                said = predict(config, fit.state, fit.standard, known)
                mean[code, seed, number], sd[code, seed, number] = said[0][:, column], said[1][:, column]
                print(f"seed {seed}, {by}, fold {number}", flush=True)
    np.savez_compressed(KEPT, mean=mean, sd=sd, rows_sha256=_checksum(known))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="networks of the measured conductivities")
    parser.add_argument("--run", type=Path, required=True, help="run folder; a killed command goes on there")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    train(chosen.run, chosen.seeds, chosen.threads)
