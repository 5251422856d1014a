"""Held-out error of every head beside a constant and ExtraTrees; writes a section of RESULTS.md.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.heldout_composition train-out

The split is the training run's own: by chemical system over all tables, official OBELiX test rows held out.
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
from softlyte.models.evaluation import FEWEST_ROWS, evaluate, halide_rows, labels_with_youngs_modulus
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import load_training_rows

RESULTS = Path(__file__).parent / "results" / "heldout_composition.json"


def baseline_errors(
    predictor: Predictor, seeds: int, trees: int
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the mean absolute test error by target, subset and baseline, a value a seed.

    The constant is the mean of the training rows of the same subset.
    """
    data = predictor.card["config"]["data"]
    rows = load_training_rows(tuple(data["tables"]), data["split_seed"])
    features, labels, halides = tabular_features(rows), labels_with_youngs_modulus(rows), halide_rows(rows)
    subsets = {name: rows.phase == code for code, name in enumerate(PHASES)} | {"Li/Na halides": halides}
    out: dict[str, dict[str, dict[str, list[float]]]] = {}
    for column, target in enumerate(TARGET_NAMES):
        known = ~np.isnan(labels[:, column])
        fit, test = known & (rows.split == "train"), known & (rows.split == "test")
        present = {name: mask for name, mask in subsets.items() if (test & mask).sum() >= FEWEST_ROWS}
        for name, mask in present.items():
            constant = labels[fit & mask, column].mean()
            error = np.abs(labels[test & mask, column] - constant).mean()
            out.setdefault(target, {})[name] = {"constant": [float(error)], "extra_trees": []}
        for seed in range(seeds):
            start = time.monotonic()
            model = extra_trees(seed, trees).fit(features[fit], labels[fit, column])
            error = np.full(len(rows), np.nan)
            error[test] = np.abs(model.predict(features[test]) - labels[test, column])
            for name, mask in present.items():
                out[target][name]["extra_trees"].append(float(error[test & mask].mean()))
            print(f"{target} seed {seed}: {fit.sum()} rows, {time.monotonic() - start:.0f} s", flush=True)
    return out


def table(metrics: dict[str, Any], baseline: dict[str, dict[str, dict[str, list[float]]]]) -> str:
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path, help="folder written by `softlyte train`")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trees", type=int, default=100)
    chosen = parser.parse_args()
    predictor = Predictor.load(chosen.run / "evaluated", device="auto")
    data = predictor.card["config"]["data"]
    rows = load_training_rows(tuple(data["tables"]), data["split_seed"])
    metrics = evaluate(predictor, rows.take(rows.split == "test"))
    baseline = baseline_errors(predictor, chosen.seeds, chosen.trees)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"network": metrics, "baselines": baseline}, indent=1) + "\n")
    write_section("heldout-composition", table(metrics, baseline))


if __name__ == "__main__":
    main()
