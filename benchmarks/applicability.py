"""Does the applicability fall, and the error rise, where the chemistry was never seen?

    python -m benchmarks.applicability --run RUN_FOLDER

Networks are trained without every row (of any table, with any label) that holds one of some elements, without
every row of some families, and without one fold of the chemical systems. Half of that fold's systems
calibrate, the other half are the rows of known chemistry. Writes docs/applicability.svg,
results/applicability.json and a section of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.baselines import RESULTS
from benchmarks.coverage import save_figure
from benchmarks.experiment import Experiment, Machine, NetworkPlan
from benchmarks.metrics import spearman
from benchmarks.protocols import Split, labelled
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions, chemical_systems
from softlyte.datasets.splits import split_by_group
from softlyte.datasets.writing import write_bytes
from softlyte.models.calibration import JUDGED, JUDGED_TASKS, Calibration
from softlyte.models.checkpoint import Checkpoint
from softlyte.models.config import DEFAULT_CONFIG, load_config
from softlyte.models.evaluation import calibrate_rows
from softlyte.models.predictor import Predictor, choose_device
from softlyte.models.support import Support
from softlyte.models.tasks import TASK_NAMES, TASKS
from softlyte.models.training_data import Standardisation, TrainingRows, load_training_rows
from softlyte.screening.families import FAMILIES, classify_family

UNSEEN_ELEMENTS = ("Y", "Ta", "Ga", "Br")
UNSEEN_FAMILIES = ("chloride", "oxychloride")
KNOWN, ELEMENT, FAMILY = "known chemistry", "unseen element", "family left out"
MOST_ROWS = 1500
"""Rows of each kind that are drawn for the figure."""
BINS = 5
FIGURE = Path(__file__).parent.parent / "docs" / "applicability.svg"


def kinds_of(rows: TrainingRows) -> dict[str, NDArray[np.bool_]]:
    """Return the mask [N] of each kind of row; they do not overlap."""
    element = np.stack([rows.compositions.amount_of(e) > 0 for e in UNSEEN_ELEMENTS]).any(axis=0)
    family = np.isin(classify_family(rows.compositions), [FAMILIES.index(name) for name in UNSEEN_FAMILIES])
    family &= ~element
    known = (rows.fold == 0) & ~element & ~family
    return {KNOWN: known, ELEMENT: element, FAMILY: family}


def distance_to(compositions: Compositions, others: Compositions, chunk: int = 500) -> NDArray[np.float64]:
    """Return the distance of each composition to its nearest neighbour among the others, [N] in 0..1.

    Half the sum of absolute differences of atomic fractions: 0 same, 1 no element in common.
    """
    wide, reference = _wide(compositions), np.unique(_wide(others), axis=0)
    parts = [
        cdist(wide[i : i + chunk], reference, "cityblock").min(axis=1) for i in range(0, len(wide), chunk)
    ]
    return np.concatenate(parts) / 2


def _wide(compositions: Compositions) -> NDArray[np.float64]:
    out = np.zeros((len(compositions), MAX_ATOMIC_NUMBER + 1))
    np.put_along_axis(out, compositions.atomic_numbers.astype(np.int64), compositions.fractions(), axis=1)
    out[:, 0] = 0.0  # padding
    return out


def relative_error(
    mean: NDArray[np.float64], rows: TrainingRows, label_sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean absolute error over a row's judged labels, in units of the labels' spread, [N]."""
    labels = np.where(rows.censored[:, None], np.nan, rows.targets)[:, JUDGED_TASKS]
    return np.asarray(np.nanmean(np.abs(labels - mean[:, JUDGED_TASKS]) / label_sd[JUDGED_TASKS], axis=1))


def judge(
    rows: TrainingRows,
    used: NDArray[np.bool_],
    states: list[dict[str, torch.Tensor]],
    network: dict[str, Any],
) -> dict[str, dict[str, list[float]]]:
    """Return distance, error and applicability of rows of each kind.

    Args:
        rows: N rows.
        used: [N] True for the rows that the networks were trained on.
        states: weights of the ensemble.
        network: its configuration, as in a card.
    """
    fit = rows.take(used)
    standard = Standardisation.fit(fit)
    judged = labelled(rows, JUDGED) & ~rows.censored
    kinds = kinds_of(rows)
    side = split_by_group(chemical_systems(rows.compositions), (0.5, 0.0, 0.5), seed=1)
    card: dict[str, Any] = {
        "tasks": list(TASK_NAMES),
        "network": network,
        "standardisation": {"mean": standard.mean.tolist(), "sd": standard.sd.tolist()},
        "elements": sorted({int(z) for z in np.unique(fit.compositions.atomic_numbers)} - {0}),
        "support": Support.fit(fit).to_card(),
    }
    predictor = _calibrated(card, states, rows.take(kinds[KNOWN] & (side == "train")))
    kinds[KNOWN] &= side == "test"
    # Without the rule that a composition with an unseen element has applicability 0.
    blind = Predictor(Checkpoint(predictor.card, states))
    blind.known_elements = np.ones_like(blind.known_elements)
    rng = np.random.default_rng(0)
    out = {}
    for name, mask in kinds.items():
        place = np.flatnonzero(mask & judged)
        some = rows.take(np.sort(rng.permutation(place)[:MOST_ROWS]))
        mean, _ = predictor.raw(some.compositions, some.phase, some.fidelity, some.temperature_c)
        reference = fit.take(labelled(fit, JUDGED)).compositions
        out[name] = {
            "distance": distance_to(some.compositions, reference).round(4).tolist(),
            "error": relative_error(mean.mean(axis=0), some, standard.sd[: len(TASKS)]).round(4).tolist(),
            "applicability": predictor.predict(some.compositions, some.phase).applicability.round(4).tolist(),
            "without_element_rule": blind.predict(some.compositions, some.phase)
            .applicability.round(4)
            .tolist(),
        }
    return out


def _calibrated(card: dict[str, Any], states: list[dict[str, torch.Tensor]], rows: TrainingRows) -> Predictor:
    """Return a predictor calibrated on rows that its networks have not seen."""
    card["calibration"] = Calibration.neutral().to_card()
    predictor = Predictor(Checkpoint(card, states))
    mean, sd = predictor.raw(rows.compositions, rows.phase, rows.fidelity, rows.temperature_c)
    standard = Standardisation(predictor.mean, predictor.sd)
    predictor.calibration = calibrate_rows(rows, mean, sd, predictor.support, standard)
    card["calibration"] = predictor.calibration.to_card()
    return predictor


def summary(results: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Return the Markdown table of medians by kind."""
    head = ["rows", "number", "distance", "applicability", "without the element rule", "error", "flagged"]
    body = []
    for name, found in results.items():
        median = {key: float(np.median(values)) for key, values in found.items()}
        flagged = float(np.mean(np.array(found["applicability"]) < 0.05))
        body.append(
            [
                name,
                f"{len(found['error']):,}",
                f"{median['distance']:.2f}",
                f"{median['applicability']:.2f}",
                f"{median['without_element_rule']:.2f}",
                f"{median['error']:.2f}",
                f"{flagged:.0%}",
            ]
        )
    joined = {key: np.concatenate([np.array(r[key]) for r in results.values()]) for key in results[KNOWN]}
    ranks = [
        f"rank correlation of error and applicability "
        f"{spearman(joined['error'], joined['applicability']):.2f} "
        f"(without the element rule {spearman(joined['error'], joined['without_element_rule']):.2f})",
        f"of error and distance {spearman(joined['error'], joined['distance']):.2f}",
    ]
    return f"{markdown_table(head, body)}\n\nOver all rows: {', '.join(ranks)}."


def draw(results: Mapping[str, Mapping[str, list[float]]], path: Path = FIGURE) -> None:
    """Draw applicability and error against distance, and error against applicability."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 2.9), layout="constrained")
    FigureCanvasSVG(figure)
    panels = (
        ("distance", "without_element_rule", "distance to the nearest training row", "applicability"),
        ("distance", "error", "distance to the nearest training row", "error / spread of the labels"),
        ("without_element_rule", "error", "applicability", "error / spread of the labels"),
    )
    for axis, (x_name, y_name, x_label, y_label) in zip(figure.subplots(1, 3), panels, strict=True):
        for name, found in results.items():
            x, y = np.array(found[x_name]), np.array(found[y_name])
            parts = [part for part in np.array_split(np.argsort(x, kind="stable"), BINS) if len(part)]
            middle = [np.median(x[part]) for part in parts]
            low, centre, high = (
                np.array([np.quantile(y[part], q) for part in parts]) for q in (0.25, 0.5, 0.75)
            )
            axis.errorbar(
                middle, centre, [centre - low, high - centre], marker="o", markersize=3, label=name, lw=0.8
            )
        axis.set_xlabel(x_label, fontsize=8)
        axis.set_ylabel(y_label, fontsize=8)
        axis.tick_params(labelsize=7)
    figure.axes[0].legend(fontsize=7)
    save_figure(figure, path)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="applicability and error for unseen elements and families")
    parser.add_argument("--run", type=Path, required=True, help="run folder: networks are trained there")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--seeds", type=int, default=3, help="members")
    parser.add_argument("--stage-share", type=float, default=0.2, help="share of each stage's epochs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-hours", type=float)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    config = load_config(chosen.config)
    rows = load_training_rows(config.data.tables, config.data.split_seed, config.data.folds)
    kinds = kinds_of(rows)
    used = ~(kinds[ELEMENT] | kinds[FAMILY] | (rows.fold == 0))
    machine = Machine(choose_device(chosen.device).type, chosen.threads, chosen.max_hours)
    experiment = Experiment(config, rows, chosen.run, machine)
    plan = NetworkPlan(transfer=False, stage_share=chosen.stage_share)
    split = Split("unseen_chemistry", used, rows.take(np.flatnonzero(kinds[KNOWN])[:1]), {})
    states = [experiment.fitted("applicability", split, plan, seed).state for seed in range(chosen.seeds)]
    results = judge(rows, used, [s for s in states if s is not None], config.network.model_dump())
    write_bytes(RESULTS / "applicability.json", (json.dumps(results) + "\n").encode())
    print(text := summary(results))
    write_section("applicability", text)
    draw(results)


if __name__ == "__main__":
    main()
