"""Crystal networks beside what compositions say, on the same rows and folds; writes a section of RESULTS.md.

python -m benchmarks.crystal_networks --run tensors=FOLDER [--run angles=FOLDER] --work WORK

The folders are those of finished `softlyte train` runs with a [structures] table. Moduli are compared over
all folds by reduced formula, formation energies on the fold that no member has learned from. The composition
network gets the same rows and folds; what it has trained is kept in WORK.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import extra_trees
from benchmarks.experiment import predict
from benchmarks.metrics import over_seeds
from benchmarks.report import markdown_table, write_section
from softlyte.models.config import DEFAULT_CONFIG, StageConfig, TrainingConfig, load_config
from softlyte.models.crystal_config import CrystalTrainingConfig
from softlyte.models.crystal_data import CrystalRows
from softlyte.models.crystal_fit import predict_crystals
from softlyte.models.crystal_members import crystal_rows_of, in_units, judging_members, seen_rows
from softlyte.models.crystal_predictor import CrystalPredictor
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS, CRYSTAL_TASKS
from softlyte.models.crystal_train import OUT_OF_FOLD
from softlyte.models.distillation import tabular_features
from softlyte.models.evaluation import halide_rows
from softlyte.models.fit import fit_network
from softlyte.models.run_folder import RESOLVED
from softlyte.models.training_data import Standardisation, TrainingRows

Floats = NDArray[np.float64]
ModelOfFold = Callable[[NDArray[np.bool_], NDArray[np.int64], int], Floats]
"""Learns from a mask of rows and predicts others, with a seed: [K, tasks]."""

SHOWN = CRYSTAL_TASKS[:3]
UNITS = {"bulk_modulus_gpa": "log10 K", "shear_modulus_gpa": "log10 G", "formation_energy_ev_atom": "eV/atom"}
NAMES = {"elasticity": "elastic_moduli"}
"""Tables of the crystal configurations under the composition networks' name."""


def main() -> None:
    """Compare the runs with compositions alone."""
    parser = argparse.ArgumentParser(description="crystal networks beside composition networks")
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    runs = dict(text.split("=", 1) for text in chosen.run)
    table, remarks = list[list[str]](), list[str]()
    rows: CrystalRows | None = None
    for name, folder in runs.items():
        config = CrystalTrainingConfig.model_validate(json.loads((Path(folder) / RESOLVED).read_text()))
        found = crystal_rows_of(config)
        with np.load(Path(folder) / OUT_OF_FOLD) as arrays:
            mean = arrays["mean"].astype(float)
        if mean.shape[1] != len(found):
            raise SystemExit(f"{folder} was trained on other rows than its tables hold now; train again")
        if rows is None:
            rows = found
            for other, model in baselines(rows, config, chosen.work).items():
                table.append(line(other, rows, config, out_of_fold(rows, config, model)[None]))
                print(table[-1], flush=True)
        table.append(line(f"crystal network, {name}", rows, config, mean))
        remarks.append(all_members(name, Path(folder), found, config))
    head = ["model", *(f"{UNITS[task]}, {subset}" for task in SHOWN for subset in ("all", "Li/Na halides"))]
    text = "\n".join([markdown_table(head, table), "", *remarks])
    print(text)
    write_section("crystal-networks", text)


def line(name: str, rows: CrystalRows, config: CrystalTrainingConfig, members: Floats) -> list[str]:
    """Return a line of the table: each seed's error and, where there are several, that of their mean.

    Args:
        name: of the model.
        rows: N crystals.
        config: of the run, for what judges.
        members: [E, N, tasks] of models that have not seen the row.
    """
    label, judged = rows.labels(), judging_members(config, rows) >= 0
    halide = halide_rows(rows.as_training_rows())
    cells = [name]
    for column in range(len(SHOWN)):
        for subset in (np.ones(len(rows), bool), halide):
            chosen = judged & subset & ~np.isnan(label[:, column])
            error = [float(np.abs(m[chosen, column] - label[chosen, column]).mean()) for m in members]
            together = float(np.abs(members[:, chosen, column].mean(0) - label[chosen, column]).mean())
            both = over_seeds(error)
            if len(members) > 1:
                both += f"; mean of them {together:.3f}"
            cells.append(f"{both} ({int(chosen.sum()):,})")
    return cells


def all_members(name: str, folder: Path, rows: CrystalRows, config: CrystalTrainingConfig) -> str:
    """Return what all members together make of the formation energies that none of them has seen."""
    column = CRYSTAL_TASKS.index("formation_energy_ev_atom")
    label = rows.labels()[:, column]
    shared = np.isin(np.array(rows.sources)[rows.source], list(config.shared_tables))
    chosen = np.flatnonzero(shared & (rows.fold == 0) & ~np.isnan(label))
    networks = CrystalPredictor.load(folder / "checkpoint", "cpu")
    found = [
        in_units(predict_crystals(n, rows.graphs, chosen), networks.standard)[0] for n in networks.networks
    ]
    error = np.abs(np.mean(found, axis=0)[:, column] - label[chosen]).mean()
    return (
        f"- {name}: formation energy of the {len(chosen):,} held-out structures by all {len(found)} members "
        f"together: MAE {error:.4f} eV/atom."
    )


def out_of_fold(rows: CrystalRows, config: CrystalTrainingConfig, model: ModelOfFold) -> Floats:
    """Return a model's prediction of every row that judges, [N, tasks], by folds as the members have them."""
    judges = judging_members(config, rows)
    found = np.full((len(rows), len(CRYSTAL_TASKS)), np.nan)
    for fold in range(config.structures.folds):
        test = np.flatnonzero(judges == fold)
        found[test] = model(seen_rows(config, rows, fold), test, fold)
    return found


def baselines(rows: CrystalRows, config: CrystalTrainingConfig, work: Path) -> dict[str, ModelOfFold]:
    """Return what knows compositions alone: a constant, trees, and the composition network."""
    plain = rows.as_training_rows()
    plain = replace(plain, sources=tuple(NAMES.get(name, name) for name in plain.sources))
    features, label = tabular_features(plain), rows.labels()

    def constant(used: NDArray[np.bool_], test: NDArray[np.int64], _: int) -> Floats:
        return np.repeat(np.nanmedian(label[used], axis=0)[None], len(test), axis=0)

    def trees(used: NDArray[np.bool_], test: NDArray[np.int64], seed: int) -> Floats:
        found = np.full((len(test), label.shape[1]), np.nan)
        for column in range(len(SHOWN)):
            known = used & ~np.isnan(label[:, column])
            forest = extra_trees(seed).fit(features[known], label[known, column])
            found[:, column] = forest.predict(features[test])
        return found

    def network(used: NDArray[np.bool_], test: NDArray[np.int64], seed: int) -> Floats:
        return composition_network(plain, seen_rows(config, rows, -1), used, test, seed, work)

    return {"constant": constant, "ExtraTrees, composition": trees, "composition network": network}


def composition_network(
    rows: TrainingRows,
    shared: NDArray[np.bool_],
    used: NDArray[np.bool_],
    test: NDArray[np.int64],
    seed: int,
    folder: Path,
) -> Floats:
    """Train the composition network as the crystal networks are, and return its crystal tasks, [K, tasks].

    Args:
        rows: N crystals as rows of compositions.
        shared: [N] rows that the formation energies are learned from once for all folds.
        used: [N] rows that this fold may see.
        test: rows to predict.
        seed: of the fold's fit.
        folder: for what has been trained.
    """
    shipped = load_config(DEFAULT_CONFIG)
    first = StageConfig(name="pretrain", epochs=12, learning_rate=2e-3, passes={"formation_energy": 1.0})
    then = StageConfig(
        name="joint",
        epochs=16,
        learning_rate=1e-3,
        passes={"formation_energy": 0.2, "elastic_moduli": 4.0},
    )
    fit = shipped.training.model_copy(update={"stages": (first, then)})
    config: TrainingConfig = shipped.model_copy(update={"training": fit})
    standard = Standardisation.fit(rows)
    begun = fit_network(config, rows, shared, folder / "shared", 0, stages=[first], standard=standard)
    outcome = fit_network(
        config, rows, used, folder / f"fold_{seed}", seed, stages=[then], start=begun.state, standard=standard
    )
    if outcome.state is None:
        raise SystemExit(f"{folder} is not finished")
    mean, _ = predict(config, outcome.state, outcome.standard, rows.take(test))
    return mean[:, list(CRYSTAL_COLUMNS)]


if __name__ == "__main__":
    main()
