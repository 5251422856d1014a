"""The one vocabulary: every column's name, label, unit and meaning.

Code, tables, CSV files, plots and docs take names, labels and units from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

INTERVAL_LEVEL = 0.90
"""Level of every `_lower`/`_upper` pair that Softlyte writes."""


@dataclass(frozen=True)
class Column:
    """One column of the vocabulary.

    Attributes:
        name: column name in files and DataFrames.
        label: what a plot's axis says.
        unit: unit in plain text, empty if the quantity has none.
        meaning: one sentence.
        predicted: True if the value comes with `_lower` and `_upper`.
    """

    name: str
    label: str
    unit: str
    meaning: str
    predicted: bool = False


_ALL = (
    Column("rank", "Rank", "", "Place in the ranking, 1 is best."),
    Column("formula", "Formula", "", "Reduced composition, elements in electronegativity order."),
    Column("mobile_ion", "Mobile ion", "", "The ion that conducts: Li or Na."),
    Column("family", "Family", "", "Chemical family, for example chloride or oxychloride."),
    Column("phase", "Phase", "", "crystal or glass."),
    Column("fidelity", "Fidelity", "", "What kind of computation or measurement a number comes from."),
    Column(
        "youngs_modulus_gpa",
        "Young's modulus",
        "GPa",
        "E = 9KG/(3K+G) from the Voigt-Reuss-Hill averages of bulk and shear modulus.",
        predicted=True,
    ),
    Column("bulk_modulus_gpa", "Bulk modulus", "GPa", "Voigt-Reuss-Hill average K.", predicted=True),
    Column("shear_modulus_gpa", "Shear modulus", "GPa", "Voigt-Reuss-Hill average G.", predicted=True),
    Column("hardness_gpa", "Hardness", "GPa", "Indentation (Vickers) hardness.", predicted=True),
    Column(
        "glass_transition_k",
        "Glass transition temperature",
        "K",
        "Temperature at which the glass starts to flow; empty for crystals.",
        predicted=True,
    ),
    Column(
        "log10_sigma_s_cm",
        "log10 ionic conductivity",
        "log10(S/cm)",
        "Decadic logarithm of the ionic conductivity at 25 C.",
        predicted=True,
    ),
    Column("sigma_ms_cm", "Ionic conductivity", "mS/cm", "Ionic conductivity at 25 C.", predicted=True),
    Column(
        "oxidation_v",
        "Oxidation limit",
        "V",
        "Upper limit of the electrochemical window against Li/Li+ (Na/Na+ for sodium).",
        predicted=True,
    ),
    Column(
        "reduction_v",
        "Reduction limit",
        "V",
        "Lower limit of the electrochemical window against Li/Li+ (Na/Na+ for sodium).",
        predicted=True,
    ),
    Column(
        "formation_energy_ev_atom",
        "Formation energy",
        "eV/atom",
        "DFT (PBE, Materials Project) formation energy of the crystal of this composition.",
        predicted=True,
    ),
    Column(
        "e_above_hull_ev_atom",
        "Energy above hull",
        "eV/atom",
        "Energy of the crystal of this composition above the convex hull of known phases; 0 on the hull.",
        predicted=True,
    ),
    Column("density_g_cm3", "Density", "g/cm3", "Mass density at room temperature.", predicted=True),
    Column(
        "stack_pressure_mpa",
        "Stack pressure",
        "MPa",
        "Pressure a cell must keep up in operation for lasting contact.",
        predicted=True,
    ),
    Column(
        "pressure_mechanism",
        "Contact kept by",
        "",
        "What more probably keeps the contact: elastic, or flow of a glass above its glass transition.",
    ),
    Column(
        "p_below_target_pressure",
        "P(stack pressure below target)",
        "",
        "Probability that the needed stack pressure is below the target.",
    ),
    Column(
        "cost_usd_kg", "Precursor cost", "USD/kg", "Precursor cost of one kilogram by the cheapest route."
    ),
    Column("cost_usd_l", "Precursor cost per litre", "USD/L", "Precursors of one litre of dense material."),
    Column(
        "p_all_targets",
        "P(all targets)",
        "",
        "Joint probability that every target holds.",
    ),
    Column(
        "nearest_known", "Nearest known electrolyte", "", "Closest measured electrolyte of the cited tables."
    ),
    Column(
        "distance_to_known",
        "Distance to nearest known",
        "",
        "Half the sum of absolute differences of atomic fractions: 0 same, 1 no element in common.",
    ),
    Column(
        "applicability",
        "Applicability",
        "",
        "1: members agree as on the best held-out rows and measured relatives abound; 0: extrapolation.",
    ),
    Column("flags", "Flags", "", "Cautions, separated by semicolons; empty if none."),
    Column("pareto_front", "Pareto front", "", "True if no other is as good in every target."),
    Column("precursor_route", "Precursor route", "", "Balanced precursors of one formula unit."),
)

COLUMNS: MappingProxyType[str, Column] = MappingProxyType({c.name: c for c in _ALL})
"""Every column by name."""


def with_intervals(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with `_lower` and `_upper` after each predicted one."""
    out: list[str] = []
    for name in names:
        out.append(name)
        if COLUMNS[name].predicted:
            out += [f"{name}_lower", f"{name}_upper"]
    return tuple(out)


PREDICT_COLUMNS = with_intervals(
    (
        "formula",
        "mobile_ion",
        "family",
        "phase",
        "youngs_modulus_gpa",
        "glass_transition_k",
        "log10_sigma_s_cm",
        "sigma_ms_cm",
        "oxidation_v",
        "reduction_v",
        "e_above_hull_ev_atom",
        "density_g_cm3",
        "stack_pressure_mpa",
        "p_below_target_pressure",
        "cost_usd_kg",
        "cost_usd_l",
        "p_all_targets",
        "nearest_known",
        "distance_to_known",
        "applicability",
        "flags",
    )
)
"""Columns of `softlyte predict`, in order."""

CANDIDATE_COLUMNS = ("rank", *PREDICT_COLUMNS, "pareto_front", "precursor_route")
"""Columns of `candidates.csv`, in order."""

PHASES = ("crystal", "glass")
"""Phases a composition is predicted as; the position is the code used in arrays."""

FIDELITIES = (
    "dft_pbe_crystal",
    "potential_crystal",
    "potential_glass",
    "measured_crystal",
    "measured_pellet",
    "measured_glass",
)
"""Kinds of number, each a different quantity; the position is the code used in arrays."""


def column_guide() -> str:
    """Return the vocabulary of predict and candidates.csv as a Markdown table (docs/columns.md)."""
    lines = ["| column | unit | meaning |", "|---|---|---|"]
    for name in CANDIDATE_COLUMNS:
        column = COLUMNS.get(name)
        if column is not None:
            ends = ", `_lower`, `_upper`" if column.predicted else ""
            lines.append(f"| `{name}`{ends} | {column.unit} | {column.meaning} |")
    return "\n".join(lines) + "\n"
