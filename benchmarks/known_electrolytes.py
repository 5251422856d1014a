"""Known electrolytes one by one: predicted beside measured, targets, rank; writes a section of RESULTS.md.

    python -m benchmarks.known_electrolytes [--rediscovery FOLDER]

The shipped weights have seen the cited values (all rows are used in the refit), so this shows what a user
sees, not an accuracy; held-out errors stand in other sections. The rank is that among a random sample of the
shipped spaces. With the folder of `softlyte benchmark rediscovery` the rank by an ensemble is shown, too,
that knew nothing published after the last cut-off before the electrolyte.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.checkpoint import PRETRAINED
from softlyte.models.predictor import Predictor
from softlyte.screening.evaluate import default_hull, evaluate
from softlyte.screening.parameters import parameters
from softlyte.screening.predict import predict
from softlyte.screening.pressure_panel import AMBIENT_MPA, OBSERVATIONS
from softlyte.screening.rediscovery.population import draw_population
from softlyte.screening.rediscovery.scoring import judge
from softlyte.screening.targets import Targets, load_targets

SHOWN = (
    ("LiAlCl2.5O0.75", "LiAlCl2.5O0.75", "glass"),
    ("NaAlCl2.5O0.75", "NaAlCl2.5O0.75", "glass"),
    ("1.4Li2O-0.75ZrCl4-0.25AlCl3", "Li2.8Zr0.75Al0.25Cl3.75O1.4", "glass"),
    ("LiNbOCl4", "LiNbOCl4", "crystal"),
    ("LiTaOCl4", "LiTaOCl4", "crystal"),
    ("Li1.75ZrCl4.75O0.5", "Li1.75ZrCl4.75O0.5", "glass"),
    ("2LiCl-GaF3", "Li2GaF3Cl2", "glass"),
    ("Li2ZrCl6", "Li2ZrCl6", "crystal"),
    ("Li3YCl6", "Li3YCl6", "crystal"),
    ("Li6PS5Cl", "Li6PS5Cl", "crystal"),
    ("Li10GeP2S12", "Li10GeP2S12", "crystal"),
    ("Li7La3Zr2O12", "Li7La3Zr2O12", "crystal"),
    ("Li1.3Al0.3Ti1.7P3O12", "Li1.3Al0.3Ti1.7P3O12", "crystal"),
)
"""Name, formula and measured phase."""

SAMPLE = 10_000
YES, NO, UNKNOWN, WRONG = "yes", "no", "?", "**"


@dataclass(frozen=True)
class Quoted:
    """What the cited tables say of one quantity: the lowest and highest value, NaN where nothing."""

    low: float
    high: float
    computed: bool = False

    def __bool__(self) -> bool:
        return not np.isnan(self.low)

    def __str__(self) -> str:
        if not self:
            return "-"
        low, high = f"{self.low:.3g}", f"{self.high:.3g}"
        return (low if low == high else f"{low} to {high}") + (" (DFT)" if self.computed else "")


def quoted(table: str, columns: tuple[str, ...], formula: str, phase: str = "") -> Quoted:
    """Return the range of the cited values of one composition over unflagged rows; of a phase if given.

    A row of the conductivities whose phase is unknown counts for every phase.
    """
    rows = load_table(table)
    rows = rows[(rows["formula"] != "") & (rows["flag"] == "")]
    same = (
        Compositions.from_formulas(rows["formula"]).keys() == Compositions.from_formulas([formula]).keys()[0]
    )
    rows = rows[same]
    if phase:
        rows = rows[rows["phase"].isin([phase, "unknown"])]
    values = rows[list(columns)].apply(pd.to_numeric, errors="coerce")
    rows, values = rows[values.notna().any(axis=1)], values.to_numpy(float).ravel()
    values = values[~np.isnan(values)]
    if not len(values):
        return Quoted(np.nan, np.nan)
    computed = "computed" in rows and bool((rows["computed"] == "yes").all())
    return Quoted(float(values.min()), float(values.max()), computed)


def conductivity(formula: str, phase: str) -> Quoted:
    """Return the measured conductivities near room temperature in mS/cm, of OBELiX too."""
    cited = quoted("conductivity_cited", ("sigma_ms_cm",), formula, phase)
    entries = quoted("conductivity_obelix", ("log10_sigma_s_cm",), formula) if phase == "crystal" else None
    if not entries:
        return cited
    low, high = 1e3 * 10.0**entries.low, 1e3 * 10.0**entries.high
    return Quoted(float(np.nanmin([cited.low, low])), float(np.nanmax([cited.high, high])))


def measured(formula: str, phase: str) -> dict[str, Quoted]:
    """Return what is measured, or computed by others, of each property, by column."""
    return {
        "sigma_ms_cm": conductivity(formula, phase),
        "oxidation_v": quoted("windows_cited", ("oxidation_v",), formula),
        "stack_pressure_mpa": quoted(
            "pressure_cited", ("stack_pressure_mpa_min", "stack_pressure_mpa_max"), formula
        ),
        "youngs_modulus_gpa": quoted(
            "mechanics_cited", ("youngs_modulus_gpa_min", "youngs_modulus_gpa_max"), formula
        ),
        "glass_transition_k": quoted("glass_transition_cited", ("glass_transition_k",), formula),
    }


def passes(column: str, value: Quoted, targets: Targets, formula: str) -> str:
    """Tell whether what is measured meets a target: yes, no, or not known.

    A published stack pressure is one that worked: one above the limit says nothing, unless the source states
    a range that cells need.
    """
    target = next(t for t in targets.target if t.column == column)
    if column == "stack_pressure_mpa":
        needed = [seen for seen in OBSERVATIONS if seen.two_sided and seen.modulus_formula == formula]
        if needed:
            return NO
        return YES if value and value.high < target.value else UNKNOWN
    if not value:
        return UNKNOWN
    met = target.met(np.array([value.low, value.high]))
    return YES if met.all() else NO if not met.any() else "some"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description="known electrolytes one by one")
    parser.add_argument("--rediscovery", type=Path, help="folder of `softlyte benchmark rediscovery`")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="compositions that the rank is among")
    chosen = parser.parse_args()
    targets, model = load_targets(), Predictor.load()
    population = draw_population((), chosen.sample)
    with tempfile.TemporaryDirectory() as folder:
        judged = judge(
            population, PRETRAINED, default_hull(), targets, parameters(), Path(folder) / "judged.npz"
        )
    everyone = judged.best(judged.joint())
    blind = pd.read_csv(chosen.rediscovery / "discoveries.csv") if chosen.rediscovery else None
    values, verdicts = [], []
    for name, formula, phase in SHOWN:
        row, said = predict([formula], phase=phase, predictor=model).iloc[0], measured(formula, phase)
        values.append([name, phase, *value_cells(row, said)])
        verdicts.append([name, *verdict_cells(row, said, formula, phase, targets, model)])
        share = 100 * float((everyone > row["p_all_targets"]).mean())
        verdicts[-1] += [f"{row['p_all_targets']:.3f}", f"{share:.2g}%", blind_rank(blind, formula)]
    head = ["electrolyte", "phase", "sigma, mS/cm", "measured", "oxidation, V", "published", "pressure, MPa"]
    head += ["that worked", "E, GPa", "published", "Tg, K", "measured", "above hull, meV/atom", "USD/L"]
    text = markdown_table(head, values) + "\n\n"
    names = ["electrolyte", "pressure < 2 MPa", ">= 1 mS/cm", ">= 4 V", "<= 50 meV/atom", "<= 50 USD/L"]
    head = [*names, "P(all)", "rank, first", "rank without later knowledge, first"]
    text += markdown_table(head, verdicts)
    print(text)
    write_section("known-electrolytes", text)


def value_cells(row: pd.Series, said: dict[str, Quoted]) -> list[str]:
    """Return predicted [90%] beside measured; measured outside the interval in bold."""
    cells = []
    for column in (
        "sigma_ms_cm",
        "oxidation_v",
        "stack_pressure_mpa",
        "youngs_modulus_gpa",
        "glass_transition_k",
    ):
        low, high, value = row[f"{column}_lower"], row[f"{column}_upper"], said[column]
        shown = "-" if pd.isna(row[column]) else f"{row[column]:.3g} [{low:.2g}, {high:.2g}]"
        # A pressure that worked bounds the needed one from above: only a prediction above it is contradicted.
        # A cell without external pressure still has the atmosphere's.
        highest = max(value.high, AMBIENT_MPA) if column == "stack_pressure_mpa" else value.high
        outside = bool(value) and not pd.isna(low) and highest < low
        if column != "stack_pressure_mpa":
            outside |= bool(value) and not pd.isna(high) and value.low > high
        cells += [shown, f"{WRONG}{value}{WRONG}" if outside else str(value)]
    above = f"{1e3 * row['e_above_hull_ev_atom']:.0f}"
    above += (
        f" [{1e3 * row['e_above_hull_ev_atom_lower']:.0f}, {1e3 * row['e_above_hull_ev_atom_upper']:.0f}]"
    )
    return [*cells, f"{above} {row['hull_basis']}", f"{row['cost_usd_l']:.3g}"]


def verdict_cells(
    row: pd.Series,
    said: dict[str, Quoted],
    formula: str,
    phase: str,
    targets: Targets,
    model: Predictor,
) -> list[str]:
    """Return for each target whether the predicted median meets it, its probability, and what is measured.

    Where measurement and prediction contradict each other the cell is bold.
    """
    chance = probabilities(formula, phase, targets, model)
    cells = []
    for target in targets.target:
        predicted = YES if target.met(np.array([row[target.column]]))[0] else NO
        known = passes(target.column, said[target.column], targets, formula) if target.column in said else ""
        text = f"{predicted} ({chance[target.column]:.2f})" + (f" / {known}" if known else "")
        cells.append(f"{WRONG}{text}{WRONG}" if {predicted, known} == {YES, NO} else text)
    return cells


def probabilities(formula: str, phase: str, targets: Targets, model: Predictor) -> dict[str, float]:
    """Return the probability of each target of one composition in one phase, by column."""
    compositions = Compositions.from_formulas([formula])
    code = np.array([PHASES.index(phase)], np.uint8)
    said = evaluate(
        compositions, code, model, default_hull(), None, targets.working_conditions(), named=False
    ).assessment
    return {target.column: float(said.probability(target)[0]) for target in targets.target}


def blind_rank(blind: pd.DataFrame | None, formula: str) -> str:
    """Return where the latest ensemble that did not know an electrolyte put it, and its cut-off."""
    if blind is None:
        return ""
    normal = Compositions.from_formulas([formula]).formulas()[0]
    rows = blind[blind["formula"] == normal].sort_values("published_until")
    if rows.empty:
        return "-"
    last = rows.iloc[-1]
    return f"{last['percent_joint_probability']:.2g}% (until {last['published_until']:.0f})"


if __name__ == "__main__":
    main()
