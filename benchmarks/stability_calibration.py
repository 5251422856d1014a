"""Stability and windows of unexplored chemical systems: calibration and baselines; sections of RESULTS.md.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.stability_calibration train-out --write

Every Li and Na compound of the formation-energy table is treated as unknown: its formation energy is
predicted by the members that have not seen its chemical system (train-out/out_of_fold.npz), and all phases
with exactly its elements are taken off the hull that it is put on. The truth is the hull of everything. The
calibration is fitted on one half of the chemical systems and judged on the other; `--write` ships it.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from benchmarks.baselines import tabular_features
from benchmarks.coverage import save_figure
from benchmarks.report import markdown_table, write_section
from benchmarks.stability_fit import NEUTRAL, fit_all, probability
from benchmarks.unexplored import Array, Case, Mask, keep, load_case, place, unexplored_hull
from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.training_data import TrainingRows, load_training_rows
from softlyte.screening.stability import CALIBRATION_FILE, NEAR_HULL_EV_ATOM, Stability

BINS = 10
FIGURE = Path(__file__).parent.parent / "docs" / "stability_reliability.svg"
PEER = {"oxidation_v": 0.480, "reduction_v": 0.253}
"""V; hold-out errors of public notebooks with 145 Magpie features for lithium halides."""
ASKED = {"oxidation_v": 0.25, "reduction_v": 0.15}


def reliability(p: Array, near: Mask) -> list[tuple[str, int, float, float]]:
    """Return the reliability diagram: class of stated P, phases in it, mean P, share within 50 meV."""
    body = []
    for low, high in pairwise(np.linspace(0, 1, BINS + 1)):
        rows = (p >= low) & ((p < high) | (high == 1))
        if rows.any():
            body.append((f"{low:.1f}-{high:.1f}", int(rows.sum()), float(p[rows].mean()), near[rows].mean()))
    return body


def gap(diagram: list[tuple[str, int, float, float]]) -> float:
    """Return the mean distance from the diagonal, by phases."""
    count = np.array([n for _, n, _, _ in diagram])
    apart = np.array([abs(stated - seen) for _, _, stated, seen in diagram])
    return float((count * apart).sum() / count.sum())


def draw(diagrams: dict[str, list[tuple[str, int, float, float]]], path: Path = FIGURE) -> None:
    """Draw the reliability diagrams: share within 50 meV against the probability stated."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(4.2, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.6)
    for (name, diagram), marker in zip(diagrams.items(), "s^o", strict=False):
        stated, seen = ([row[i] for row in diagram] for i in (2, 3))
        axis.plot(stated, seen, marker=marker, markersize=4, linewidth=0.9, label=name)
    axis.set_xlabel("stated probability of lying within 50 meV/atom of the hull", fontsize=8)
    axis.set_ylabel("share that does", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)
    save_figure(figure, path)


def scores(p: Array, near: Mask) -> list[str]:
    """Return Brier score, average precision, precision and recall at P >= 0.5."""
    called = p >= 0.5
    precision = near[called].mean() if called.any() else float("nan")
    recall = called[near].mean()
    return [
        f"{((p - near) ** 2).mean():.3f}",
        f"{average_precision_score(near, p):.3f}",
        f"{precision:.2f}",
        f"{recall:.2f}",
    ]


def trees_on_decomposition(case: Case, rows: TrainingRows) -> Array:
    """Return decomposition energies predicted directly, out of fold, [N] eV/atom (ExtraTrees on CritExam)."""
    chosen = rows.take(case.row)
    features, known = tabular_features(chosen), np.isfinite(case.critexam)
    out = np.full(len(chosen), np.nan)
    for fold in range(int(rows.fold.max()) + 1):
        test = chosen.fold == fold
        fit = known & ~test
        if test.any():
            model = ExtraTreesRegressor(60, max_features=1 / 3, min_samples_leaf=2, random_state=0)
            out[test] = model.fit(features[fit], case.critexam[fit]).predict(features[test])
    return out


def stability_section(case: Case, rows: TrainingRows, before: Stability, after: Stability) -> str:
    """Return reliability, Brier score and precision/recall on the half that nothing was fitted on."""
    test = ~case.fit
    near = case.above <= NEAR_HULL_EV_ATOM
    direct = trees_on_decomposition(case, rows)
    formation = case.energy.mean()
    point = before.e_above_hull.mean()
    forecasts = {
        "share of the fitted half": np.full(len(near), near[case.fit].mean()),
        "formation energy alone": _logistic(formation, near, case.fit),
        "ExtraTrees on CritExam's Ed": _logistic(direct, near, case.fit),
        "predicted energy on the hull, no spread": (point <= NEAR_HULL_EV_ATOM).astype(float),
        "distribution through the hull": probability(before, NEAR_HULL_EV_ATOM),
        "**the same, calibrated**": probability(after, NEAR_HULL_EV_ATOM),
    }
    head = ["forecast", "Brier", "average precision", "precision", "recall"]
    body = [[name, *scores(p[test], near[test])] for name, p in forecasts.items()]
    critexam = test & np.isfinite(case.critexam)
    labels = case.critexam <= NEAR_HULL_EV_ATOM
    other = [
        [name, *scores(p[critexam], labels[critexam])]
        for name, p in forecasts.items()
        if not name.startswith("share")
    ]
    calibrated, plain = "**the same, calibrated**", "distribution through the hull"
    shown = {
        "formation energy alone": reliability(forecasts["formation energy alone"][test], near[test]),
        "through the hull": reliability(forecasts[plain][test], near[test]),
        "through the hull, calibrated": reliability(forecasts[calibrated][test], near[test]),
    }
    draw(shown)
    diagram, before_it = shown["through the hull, calibrated"], shown["through the hull"]
    error = np.abs(after.e_above_hull.mean() - case.above)[test]
    return "\n\n".join(
        [
            f"{test.sum():,} Li and Na compounds of {len(set(chemical_systems(case.compositions[test]))):,} "
            f"chemical systems (the half that the calibration has not seen), {near[test].mean():.0%} of them "
            f"within 50 meV/atom of the hull. Error of the energy above the hull: mean {error.mean():.3f}, "
            f"median {np.median(error):.3f} eV/atom.",
            markdown_table(head, body),
            f"Against the decomposition energies of CritExam ({critexam.sum():,} phases, "
            f"{labels[critexam].mean():.0%} at most 50 meV/atom):",
            markdown_table(head, other),
            f"Reliability, calibrated (mean distance from the diagonal {gap(diagram):.3f}, before "
            f"{gap(before_it):.3f}; drawn in docs/stability_reliability.svg):",
            markdown_table(
                ["P stated", "phases", "mean P", "share within 50 meV"],
                [[name, f"{n:,}", f"{stated:.2f}", f"{seen:.2f}"] for name, n, stated, seen in diagram],
            ),
        ]
    )


def _logistic(value: Array, near: Mask, fit: Mask) -> Array:
    """Return P(near) from one number by logistic regression on the fitted half, [N]."""
    usable = fit & np.isfinite(value)
    model = LogisticRegression().fit(value[usable, None], near[usable])
    filled = np.where(np.isfinite(value), value, np.nanmedian(value))
    return expit(model.decision_function(filled[:, None]))


def window_section(
    case: Case, rows: TrainingRows, before: Stability, alone: Stability, both: Stability
) -> str:
    """Return errors of the window heads, ExtraTrees, the hull and all together on held-out systems.

    Args:
        case: the compounds.
        rows: the training data.
        before: placed on the hull without the calibration.
        alone: with it, but without the heads.
        both: with it and the heads.
    """
    chosen = rows.take(case.row)
    features = tabular_features(chosen)
    halide = np.zeros(len(chosen), dtype=bool)
    for element in ("F", "Cl", "Br", "I"):
        halide |= case.compositions.amount_of(element) > 0
    halide &= case.compositions.amount_of("O") == 0
    body = []
    for side, name in enumerate(("reduction_v", "oxidation_v")):
        truth = case.window[side]
        known = np.isfinite(truth)
        trees = np.full(len(truth), np.nan)
        for fold in range(int(rows.fold.max()) + 1):
            fit, test = known & (chosen.fold != fold), known & (chosen.fold == fold)
            if test.any():
                model = ExtraTreesRegressor(100, max_features=1 / 3, random_state=0)
                trees[test] = model.fit(features[fit], truth[fit]).predict(features[test])
        heads = case.heads[side].mean()
        routes = [(s.reduction_v, s.oxidation_v)[side] for s in (before, alone, both)]
        low, high = routes[-1].interval()
        for subset, mask in (
            ("all", known),
            ("halides", known & halide),
            ("all, second half", known & ~case.fit),
            ("halides, second half", known & halide & ~case.fit),
        ):
            means = [trees, heads, *(route.mean() for route in routes)]
            errors = [f"{np.abs(mean - truth)[mask].mean():.3f}" for mean in means]
            body.append(
                [
                    name,
                    subset,
                    f"{mask.sum():,}",
                    f"{PEER[name]:.3f}",
                    *errors[:-1],
                    f"**{errors[-1]}**",
                    f"{np.median(np.abs(means[-1] - truth)[mask]):.3f}",
                    f"{((low <= truth) & (truth <= high))[mask].mean():.0%}",
                    f"{np.median((high - low)[mask]) / 2:.2f}",
                    f"{ASKED[name]:.2f}",
                ]
            )
    head = ["limit", "subset", "phases", "peer (other rows)", "ExtraTrees", "network heads", "hull"]
    head += ["hull, calibrated", "hull and heads", "median error", "90% coverage", "median half width"]
    return markdown_table([*head, "asked for"], body)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="stability and windows of unexplored chemical systems")
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="folder of `softlyte train`; left out: the predictions that are kept of the shipped weights",
    )
    parser.add_argument("--limit", type=int, help="use a random sample of so many compounds")
    parser.add_argument("--write", action="store_true", help="ship the calibration with the package")
    chosen = parser.parse_args()
    rows = load_training_rows()
    store = HullStore.from_table()
    case = load_case(chosen.run, rows, store, chosen.limit)
    unexplored = unexplored_hull(store)

    calibration = fit_all(lambda some, fit, heads: place(some, unexplored, fit, heads), case)
    before = place(case, unexplored, NEUTRAL)
    alone, both = (place(case, unexplored, calibration, with_heads) for with_heads in (False, True))
    (low, high), (low_weight, high_weight) = calibration.window_sd_v, calibration.head_weight
    text = (
        f"Calibration, fitted on the first half: energies above the hull {calibration.shift_ev_atom:+.3f} "
        f"eV/atom, their spread x {calibration.scale:.2f}; of a predicted depth below the hull a share of "
        f"{calibration.depth_share:.2f} widens windows; weight of the window heads beside the hull "
        f"{low_weight:.2f} (reduction) and {high_weight:.2f} (oxidation); standard deviation of the limits "
        f"besides {low:.2f} and {high:.2f} V and {calibration.disagreement[0]:.2f} and "
        f"{calibration.disagreement[1]:.2f} of the distance between hull and head.\n\n"
    )
    text += stability_section(case, rows, before, both)
    windows = window_section(case, rows, before, alone, both)
    print(text, windows, sep="\n\n")
    write_section("stability-calibration", text)
    write_section("window-heads", windows)
    if chosen.write and chosen.run is not None and chosen.limit is None:
        keep(case)
    if chosen.write:
        write_bytes(CALIBRATION_FILE, (json.dumps(calibration.to_json(), indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
