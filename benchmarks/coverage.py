"""Coverage of the intervals and error against stated uncertainty, on rows that no member has seen.

    softlyte train models/configs/composition.toml --out train-out
    python -m benchmarks.coverage train-out

Every fold is calibrated with the out-of-fold predictions of the other folds: neither its network nor its
calibration has seen a chemical system of it. Writes a section of RESULTS.md, results/coverage.json and
docs/error_against_uncertainty.svg.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import RESULTS
from benchmarks.metrics import LEVELS, coverage, error_against_uncertainty
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.columns import COLUMNS, FIDELITIES, PHASES
from softlyte.datasets.formulas import chemical_systems
from softlyte.datasets.writing import write_bytes
from softlyte.models.config import DataConfig
from softlyte.models.evaluation import cross_calibrated, halide_rows, labels_with_youngs_modulus
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.train import OUT_OF_FOLD
from softlyte.models.training_data import Standardisation, TrainingRows, load_training_rows
from softlyte.screening.families import FAMILIES, classify_family

FEWEST_ROWS = 30
"""A class with fewer rows is not reported: its band would hold everything."""

SERIES = (("all", "o", "C0"), ("Li/Na halides, crystal", "s", "C1"), ("Li/Na halides, glass", "^", "C2"))
"""Lines of the figure: class, marker, colour."""

FIGURE = Path(__file__).parent.parent / "docs" / "error_against_uncertainty.svg"


def stated(
    rows: TrainingRows, member_mean: NDArray[np.float64], member_sd: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and calibrated standard deviation of every target, two [N, T + 1], in transformed units.

    Args:
        rows: N rows with their folds.
        member_mean: [E, N, T] of members that have not seen the row.
        member_sd: [E, N, T] before calibration.
    """
    predicted = cross_calibrated(rows, member_mean, member_sd, Standardisation.fit(rows))
    mean = np.stack([predicted[target].mean() for target in TARGET_NAMES], axis=1)
    return mean, np.stack([predicted[target].sd() for target in TARGET_NAMES], axis=1)


def classes(rows: TrainingRows) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield kind, name and mask [N] of every class of rows that is looked at."""
    halides = halide_rows(rows)
    yield "all", "all", np.ones(len(rows), bool)
    for code, phase in enumerate(PHASES):
        yield "phase", phase, rows.phase == code
        yield "phase", f"Li/Na halides, {phase}", halides & (rows.phase == code)
    for code, fidelity in enumerate(FIDELITIES):
        yield "fidelity", fidelity, rows.fidelity == code
    family = classify_family(rows.compositions)
    for number, name in enumerate(FAMILIES):
        yield "family", name, family == number


def assess(rows: TrainingRows, mean: NDArray[np.float64], sd: NDArray[np.float64]) -> dict[str, Any]:
    """Return {target: {kind: {class: rows, mae, coverage, error_against_uncertainty}}}.

    Args:
        rows: N rows.
        mean: [N, T + 1] of each target.
        sd: [N, T + 1] stated standard deviation.
    """
    labels, systems = labels_with_youngs_modulus(rows), np.array(chemical_systems(rows.compositions))
    parts = list(classes(rows))
    out: dict[str, Any] = {}
    for column, target in enumerate(TARGET_NAMES):
        known = ~np.isnan(labels[:, column])
        for kind, name, mask in parts:
            chosen = known & mask
            if chosen.sum() < FEWEST_ROWS:
                continue
            error = labels[chosen, column] - mean[chosen, column]
            stated = sd[chosen, column]
            out.setdefault(target, {}).setdefault(kind, {})[name] = {
                "rows": int(chosen.sum()),
                "mae": float(np.abs(error).mean()),
                "coverage": coverage(error, stated, systems[chosen].tolist()),
                "error_against_uncertainty": error_against_uncertainty(error, stated),
            }
    return out


def coverage_table(results: Mapping[str, Any], kinds: tuple[str, ...], targets: tuple[str, ...]) -> str:
    """Return the Markdown table of some classes."""
    head = ["target", "class", "rows", *(f"{float(level):.0%}" for level in LEVELS)]
    body = []
    for target in targets:
        for kind in kinds:
            for name, found in results.get(target, {}).get(kind, {}).items():
                shares = found["coverage"]
                line = [f"{100 * shares[f'{level:.2f}']['covered']:.0f}" for level in LEVELS]
                band = shares["0.90"]
                line[LEVELS.index(0.90)] += (
                    f" ({100 * band['clustered_low']:.0f}-{100 * band['clustered_high']:.0f})"
                )
                gap = found["error_against_uncertainty"]
                body.append(
                    [
                        target,
                        name,
                        f"{found['rows']:,}",
                        *line,
                        f"{gap['ence']:.2f}",
                        f"{gap['spearman']:.2f}",
                    ]
                )
    return markdown_table([*head, "error of the spread", "rank corr. of error and spread"], body)


def draw(results: Mapping[str, Any], path: Path = FIGURE) -> None:
    """Draw found against stated error of every target as a static figure."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(3, 4).ravel()
    for axis, target in zip(axes, TARGET_NAMES, strict=False):
        column = COLUMNS.get("sigma_ms_cm" if target == "sigma_s_cm" else target)
        for name, marker, colour in SERIES:
            kind = "all" if name == "all" else "phase"
            found = results[target].get(kind, {}).get(name)
            if found is not None:
                gap = found["error_against_uncertainty"]
                axis.plot(gap["stated"], gap["found"], marker, ls="-", ms=3, lw=0.8, color=colour, label=name)
        low, high = axis.get_xlim()
        axis.plot([low, high], [low, high], color="grey", linewidth=0.6)
        axis.set_title(column.label if column is not None else target, fontsize=7)
        axis.tick_params(labelsize=6)
    for axis in axes[len(TARGET_NAMES) :]:
        axis.axis("off")
    handles, names = axes[0].get_legend_handles_labels()
    axes[-1].legend(handles, names, fontsize=7, loc="center")
    figure.supxlabel("stated standard deviation (root mean square of the class)", fontsize=8)
    figure.supylabel("error found (root mean square)", fontsize=8)
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Write an SVG without a date, so that the same figures give the same file."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "softlyte", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="coverage of the intervals on rows that no member has seen")
    parser.add_argument("run", type=Path, help="folder of a finished `softlyte train`")
    folder = parser.parse_args().run
    predictor = Predictor.load(folder / "evaluated", device="cpu")
    data = DataConfig.model_validate(predictor.card["config"]["data"])
    rows = load_training_rows(data.tables, data.split_seed, data.folds)
    with np.load(folder / OUT_OF_FOLD) as arrays:
        if len(arrays["fold"]) != len(rows) or (arrays["fold"] != rows.fold).any():
            raise SystemExit(f"{folder} was trained on other tables than those that are here; train again")
        stored = arrays["mean"].astype(float), arrays["sd"].astype(float)
    results = assess(rows, *stated(rows, *stored))
    write_bytes(RESULTS / "coverage.json", (json.dumps(results, indent=1) + "\n").encode())
    text = coverage_table(results, ("all", "phase"), TARGET_NAMES)
    families = coverage_table(
        results, ("fidelity", "family"), ("sigma_s_cm", "youngs_modulus_gpa", "oxidation_v")
    )
    print(f"{text}\n\n{families}")
    write_section("coverage", f"{text}\n\nBy fidelity and family:\n\n{families}")
    draw(results)


if __name__ == "__main__":
    main()
