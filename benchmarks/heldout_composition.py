"""Held-out error of every head beside a constant and ExtraTrees; writes a section of RESULTS.md.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.heldout_composition train-out

The folds are the training run's own: by chemical system over all tables. Every row is predicted by what has
not seen its fold.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines import extra_trees, tabular_features
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.columns import PHASES
from softlyte.models.checkpoint import load_checkpoint
from softlyte.models.config import DEFAULT_CONFIG, DataConfig, load_config
from softlyte.models.evaluation import FEWEST_ROWS, halide_rows, labels_with_youngs_modulus
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import load_training_rows, source_checksums

RESULTS = Path(__file__).parent / "results" / "heldout_composition.json"
BASELINES = Path(__file__).parent / "results" / "heldout_baselines.json"
Baselines = dict[str, dict[str, dict[str, list[float]]]]


def baseline_errors(config: DataConfig, seeds: int, trees: int) -> Baselines:
    """Return the mean absolute test error by target, subset and baseline, a value a seed.

    The constant is the mean of the training rows of the same subset.
    """
    rows = load_training_rows(config.tables, config.split_seed, config.folds)
    features, labels, halides = tabular_features(rows), labels_with_youngs_modulus(rows), halide_rows(rows)
    subsets = {name: rows.phase == code for code, name in enumerate(PHASES)} | {"Li/Na halides": halides}
    out: Baselines = {}
    for column, target in enumerate(TARGET_NAMES):
        known = ~np.isnan(labels[:, column])
        present = {name: known & mask for name, mask in subsets.items()}
        present = {name: mask for name, mask in present.items() if mask.sum() >= FEWEST_ROWS}
        for name, mask in present.items():
            error = np.full(len(rows), np.nan)
            for fold in range(config.folds):
                test = rows.fold == fold
                error[mask & test] = labels[mask & test, column] - labels[mask & ~test, column].mean()
            constant = float(np.abs(error[mask]).mean())
            out.setdefault(target, {})[name] = {"constant": [constant], "extra_trees": []}
        for seed in range(seeds):
            start = time.monotonic()
            errors = np.full(len(rows), np.nan)
            for fold in range(config.folds):
                fit, test = known & (rows.fold != fold), known & (rows.fold == fold)
                model = extra_trees(seed, trees).fit(features[fit], labels[fit, column])
                errors[test] = np.abs(model.predict(features[test]) - labels[test, column])
            for name, mask in present.items():
                out[target][name]["extra_trees"].append(float(errors[mask].mean()))
            print(f"{target} seed {seed}: {known.sum()} rows, {time.monotonic() - start:.0f} s", flush=True)
    return out


def baselines(config: DataConfig, seeds: int, trees: int) -> Baselines:
    """Return the baselines, from the file of an earlier run if tables, split and settings are the same."""
    key = {
        "tables_sha256": source_checksums(config.tables),
        "split_seed": config.split_seed,
        "folds": config.folds,
        "seeds": seeds,
        "trees": trees,
    }
    if BASELINES.is_file():
        earlier = json.loads(BASELINES.read_text(encoding="utf-8"))
        if earlier["key"] == key:
            return earlier["errors"]
    errors = baseline_errors(config, seeds, trees)
    BASELINES.parent.mkdir(exist_ok=True)
    BASELINES.write_text(json.dumps({"key": key, "errors": errors}, indent=1) + "\n")
    return errors


def table(metrics: dict[str, Any], baseline: Baselines) -> str:
    """Return the comparison as a Markdown table."""
    body = []
    for target, by_subset in metrics.items():
        for subset, m in by_subset.items():
            trees = baseline[target][subset]["extra_trees"]
            body.append(
                [
                    target,
                    subset,
                    f"{m['rows']:,}",
                    f"{baseline[target][subset]['constant'][0]:.3f}",
                    f"{np.mean(trees):.3f} ± {np.std(trees):.3f}",
                    f"{m['mae_members'][0]:.3f} ± {m['mae_members'][1]:.3f}",
                    f"**{m['mae']:.3f}**",
                    f"{m['spearman']:.2f}",
                    f"{100 * m['coverage']:.0f}%",
                    f"{m['interval_width']:.2f}",
                ]
            )
    head = ["target", "subset", "test rows", "constant", "ExtraTrees", "one network", "ensemble"]
    return markdown_table([*head, "Spearman", "90% coverage", "mean width"], body)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="held-out error of every head")
    parser.add_argument("run", type=Path, nargs="?", help="folder of `softlyte train`; none: only baselines")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trees", type=int, default=100)
    chosen = parser.parse_args()
    if chosen.run is None:
        baselines(load_config(DEFAULT_CONFIG).data, chosen.seeds, chosen.trees)
        return
    card = load_checkpoint(chosen.run / "evaluated").card
    config, metrics = DataConfig.model_validate(card["config"]["data"]), card["test_metrics"]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(metrics, indent=1) + "\n")
    write_section("heldout-composition", table(metrics, baselines(config, chosen.seeds, chosen.trees)))


if __name__ == "__main__":
    main()
