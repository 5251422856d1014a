"""Stack pressure beside published values, leave-one-out, and glass transitions with and without each source.

    python -m benchmarks.pressure [--weights FOLDER]

Writes four sections of RESULTS.md. The cited glass transitions enter no fit; the published pressures of the
panel do, so the honest errors are those of the leave-one-material-out table.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.decision import Assessment, assess
from softlyte.screening.glass_transition import SOURCES, glass_transition, reference_labels
from softlyte.screening.parameters import parameter
from softlyte.screening.pressure import MECHANISMS, Conditions
from softlyte.screening.pressure_fit import leave_one_material_out
from softlyte.screening.pressure_panel import panel
from softlyte.screening.sampled import sampled_columns

TARGET_MPA = 2.0
DOCS = Path(__file__).parent.parent / "docs" / "pressure.md"

GLASS = 1
SHOWN: tuple[tuple[str, str, int, tuple[str, ...], str], ...] = (
    ("LACO glass", "LiAlCl2.5O0.75", GLASS, ("LACO glass",), ""),
    ("NACO glass", "NaAlCl2.5O0.75", GLASS, ("NACO glass",), ""),
    ("LZAOC", "Li2.8Zr0.75Al0.25Cl3.75O1.4", GLASS, ("LZAOC with lithium",), ""),
    ("LACO powder", "Li2Al0.9Cl3.3O0.7", GLASS, ("LACO powder",), ""),
    ("GaF3-2LiCl", "Li2GaCl2F3", GLASS, ("GaF3-2LiCl clay",), ""),
    ("NCBB", "Na4C2B34H36", 0, ("Na4(CB11H12)2(B12H12) with sodium",), "closo-borate"),
    ("Li6PS5Cl", "Li6PS5Cl", 0, ("sulfides, industry", "Li6PS5Cl with lithium"), "sulfide"),
    ("Li10GeP2S12", "Li10GeP2S12", 0, ("sulfides, industry",), "sulfide"),
    ("LATP", "Li1.3Al0.3Ti1.7P3O12", 0, (), "oxide"),
    ("LLZO", "Li7La3Zr2O12", 0, (), "oxide"),
)
"""Name, formula, phase, labels of the panel, class whose cells with another lever are quoted."""


def known_panel() -> pd.DataFrame:
    """Return the panel with the shipped offsets."""
    return panel(parameter("hardness_tian_log10_offset").value, parameter("pellet_log10_offset").value)


def known_pressures(model: Predictor) -> str:
    """Return predicted beside published pressures, each under the conditions of the published cell."""
    seen = known_panel().set_index("label")
    body, judged, conditions = [], {}, {}
    for name, formula, phase, labels, kind in SHOWN:
        alone = judge(model, formula, phase)
        metal = judge(model, formula, phase, Conditions(alkali_metal=True))
        judged[name] = alone, metal
        published = {False: "", True: ""}
        for label in labels:
            low, high = 10.0 ** seen.loc[label, ["low", "high"]].to_numpy(float)
            range_ = f"{low:.3g}-{high:.3g}" if low > 0 else f"<= {high:.3g}"
            published[bool(seen.loc[label, "alkali_metal"])] = range_
        conditions[name] = [bool(published[with_metal]) for with_metal in (False, True)]
        columns = sampled_columns(alone)
        cells = [name, f"{formula} {('crystal', 'glass')[phase]}"]
        for with_metal, case in ((False, alone), (True, metal)):
            like = bool(published[with_metal])
            cells += [
                published[with_metal] or "-",
                f"**{interval(case)}**" if like else interval(case),
                f"{below_target(case):.3f}",
            ]
        cells += [
            helped(kind),
            MECHANISMS[alone.pressure.mechanism()[0]],
            f"{alone.pressure.p_flow()[0]:.2f}",
            f"{columns['conductivity_kept'][0][0]:.2g}",
            number(float(columns["fabrication_pressure_mpa"][0][0])),
        ]
        body.append(cells)
    head = ["electrolyte", "predicted as", "published, no alkali metal, MPa", "predicted [90%]", "P(< 2 MPa)"]
    head += ["published beside alkali metal, MPa", "predicted [90%]", "P(< 2 MPa)"]
    head += ["with other levers, MPa", "kept by", "P(flow)", "kept at 2 MPa", "90% density, MPa"]
    return markdown_table(head, body) + "\n\n" + requirements(judged, conditions)


def requirements(judged: dict[str, tuple[Assessment, Assessment]], published: dict[str, list[bool]]) -> str:
    """Return what is asked of these predictions and whether it holds.

    Args:
        judged: by electrolyte, without and beside an alkali metal.
        published: whether a pressure is published under either condition.
    """

    def median(case: Assessment) -> float:
        return float(case.pressure.median()[0])

    body = []
    for names, what, value_of, low, high in (
        (("LZAOC",), "median from 1 to 20 MPa", median, 1.0, 20.0),
        (("LACO glass", "NACO glass"), "P(< 2 MPa) >= 0.5", below_target, 0.5, 1.0),
        (("Li6PS5Cl", "Li10GeP2S12", "LATP", "LLZO"), "P(< 2 MPa) <= 0.05", below_target, 0.0, 0.05),
    ):
        for name in names:
            cells = []
            for case, seen in zip(judged[name], published[name], strict=True):
                verdict = "holds" if low <= value_of(case) <= high else "**fails**"
                cells.append(f"{value_of(case):.2g}, {verdict}{' (as published)' if seen else ''}")
            body.append([name, what, *cells])
    return markdown_table(["electrolyte", "asked for", "no alkali metal", "beside alkali metal"], body)


def below_target(judged: Assessment) -> float:
    """Return P(required pressure below TARGET_MPA) of one composition."""
    return float(judged.pressure.probability_below(TARGET_MPA)[0])


def number(value: float) -> str:
    """Return two significant digits, without an exponent from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def interval(judged: Assessment) -> str:
    """Return median and 90% interval of the required pressure."""
    low, high = (float(end[0]) for end in judged.pressure.interval())
    return f"{number(float(judged.pressure.median()[0]))} [{number(low)}, {number(high)}]"


def helped(kind: str) -> str:
    """Return the range of pressures that cells of a class reached with another lever than the electrolyte."""
    if not kind:
        return ""
    table = load_table("pressure_cited")
    rows = table[(table["flag"] == "other_lever") & table["class"].str.startswith(kind)][
        "stack_pressure_mpa_max"
    ]
    return f"{rows.min():.3g}-{rows.max():.3g} ({len(rows)} rows)"


def judge(model: Predictor, formula: str, phase: int, conditions: Conditions | None = None) -> Assessment:
    """Return the assessment of one composition."""
    one = Compositions.from_formulas([formula])
    code = np.array([phase], dtype=np.uint8)
    return assess(one, code, model.predict(one, code), None, conditions)


def left_out() -> str:
    """Return the leave-one-material-out table."""
    found = leave_one_material_out(known_panel())
    body = []
    for row in found.itertuples(index=False):
        published = f"<= {row.published_high_mpa:.3g}"
        if row.published_low_mpa:
            published = f"{row.published_low_mpa:.3g}-{row.published_high_mpa:.3g}"
        body.append(
            [
                row.label,
                published,
                f"{number(row.median_mpa)} [{number(row.lower_mpa)}, {number(row.upper_mpa)}]",
                f"{row.width_decades:.1f}",
                "yes" if row.covered else "no",
                f"{row.p_in_range:.2f}",
            ]
        )
    head = [
        "left out",
        "published, MPa",
        "predicted without it, MPa [90%]",
        "width, decades",
        "overlap",
        "P(published)",
    ]
    rms, covered = parameter("law_loo_rms").value, int(found["covered"].sum())
    words = (
        f"{covered} of {len(found)} intervals overlap what was published. Residual {rms:.2f} decades (root",
        "mean square over the ranges and broken bounds; a bound that holds says nothing). Six of eight rows",
        "are bounds: that an interval reaches below a bound is weak evidence.",
    )
    return markdown_table(head, body) + "\n\n" + "\n".join(words)


def transitions(model: Predictor) -> str:
    """Return the blind checks of the glass transition with and without each source."""
    checks = load_table("glass_transition_cited")
    compositions = Compositions.from_formulas(checks["formula"])
    network = model.predict(compositions, GLASS)["glass_transition_k"]
    ways = {
        "all sources": glass_transition(compositions, network),
        "without measured melting": glass_transition(compositions, network, measured=False),
        "without ideal mixture": glass_transition(compositions, network, ideal=False),
        "without network": glass_transition(compositions, None),
        "network alone": glass_transition(compositions, network, measured=False, ideal=False),
    }
    measured = checks["glass_transition_k"].to_numpy()
    body = []
    for i, formula in enumerate(checks["formula"]):
        everything = ways["all sources"]
        label = SOURCES[everything.source[i]]
        if everything.reference[i] >= 0:
            label += f": {reference_labels()[everything.reference[i]]}"
        cells = [formula, f"{measured[i]:.0f}" + (" (second-hand)" if checks["flag"][i] else "")]
        for way in ways.values():
            mean, sd = way.prediction.member_mean[:, i].mean(), way.prediction.sd()[i]
            cells.append("nothing" if np.isnan(mean) else f"{mean:.0f} ± {sd:.0f}")
        body.append([*cells, label])
    errors = []
    for way in ways.values():
        miss = np.abs(way.prediction.mean() - measured)
        inside = miss <= 1.645 * way.prediction.sd()
        known = ~np.isnan(miss)
        errors.append(f"{miss[known].mean():.0f} K; {int(inside[known].sum())} of {int(known.sum())} in 90%")
    body.append(["mean absolute error", "", *errors, ""])
    return markdown_table(["glass", "measured Tg, K", *ways, "most weight"], body)


def speed() -> str:
    """Return the time that 20,000 rows take, networks not included."""
    rows, rng = 20_000, np.random.default_rng(0)
    formulas = ["LiAlCl2.5O0.75", "Li3YCl6", "LiTaOCl4", "NaGaCl4"]
    compositions = Compositions.from_formulas(formulas)[rng.integers(0, len(formulas), rows)]
    shape = (5, rows)

    def property_(mean: float, spread: float, sd: float, log: bool) -> PropertyPrediction:
        values = mean + spread * rng.standard_normal(shape)
        return PropertyPrediction(values, np.full(shape, sd), "log10" if log else "identity")

    predictions = Predictions(
        MappingProxyType(
            {
                "bulk_modulus_gpa": property_(1.2, 0.3, 0.1, True),
                "shear_modulus_gpa": property_(0.7, 0.3, 0.1, True),
                "youngs_modulus_gpa": property_(1.1, 0.3, 0.1, True),
                "sigma_s_cm": property_(-3, 0.5, 0.5, True),
                "glass_transition_k": property_(450, 50, 40, False),
            }
        ),
        np.ones(rows),
        np.zeros(rows, bool),
    )
    phase = rng.integers(0, 2, rows).astype(np.uint8)
    lines = []
    start = time.process_time()
    judged = assess(compositions, phase, predictions)
    lines.append(["glass transition, contact, law, cost", f"{time.process_time() - start:.1f}"])
    start = time.process_time()
    judged.pressure.probability_below(TARGET_MPA)
    lines.append(["P(below target)", f"{time.process_time() - start:.2f}"])
    start = time.process_time()
    judged.pressure.median(), judged.pressure.interval()
    lines.append(["median and interval of the pressure", f"{time.process_time() - start:.1f}"])
    start = time.process_time()
    sampled_columns(judged)
    lines.append(["nine sampled properties with intervals", f"{time.process_time() - start:.1f}"])
    return markdown_table(["step, 20,000 rows on one thread", "CPU seconds"], lines)


def main() -> None:
    """Run all checks and write their sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=None, help="folder of trained weights")
    model = Predictor.load(parser.parse_args().weights)
    for name, text in (
        ("pressure-known", known_pressures(model)),
        ("pressure-left-out", left_out()),
        ("glass-transition", transitions(model)),
        ("pressure-speed", speed()),
    ):
        print(f"\n{name}\n\n{text}")
        write_section(name, text)
        if name == "pressure-known":
            write_section(name, text, DOCS)


if __name__ == "__main__":
    main()
