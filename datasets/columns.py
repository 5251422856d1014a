"""Which columns each result has, in order, and the codes of phases and fidelities.

What a column means stands in vocabulary.py.
"""

from __future__ import annotations

from softlyte.datasets.column import INTERVAL_LEVEL as INTERVAL_LEVEL
from softlyte.datasets.column import Column as Column
from softlyte.datasets.vocabulary import COLUMNS as COLUMNS


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
        "bulk_modulus_gpa",
        "shear_modulus_gpa",
        "poisson_ratio",
        "pugh_ratio",
        "hardness_tian_gpa",
        "hardness_chen_gpa",
        "yield_strength_gpa",
        "glass_transition_k",
        "glass_transition_source",
        "p_flow",
        "acting_modulus_gpa",
        "log10_sigma_s_cm",
        "sigma_ms_cm",
        "oxidation_v",
        "reduction_v",
        "e_above_hull_ev_atom",
        "p_within_50_mev",
        "hull_basis",
        "decomposition_products",
        "reduction_products",
        "oxidation_products",
        "density_g_cm3",
        "stack_pressure_mpa",
        "pressure_mechanism",
        "pressure_modulus",
        "p_below_target_pressure",
        "conductivity_kept",
        "sigma_at_pressure_ms_cm",
        "fabrication_pressure_mpa",
        "cost_usd_kg",
        "cost_usd_l",
        "cost_usd_m2",
        "p_all_targets",
        "nearest_known",
        "distance_to_known",
        "applicability",
        "flags",
    )
)
"""Columns of `softlyte predict`, in order."""

WINDOW_COLUMNS = with_intervals(
    (
        "formula",
        "mobile_ion",
        "hull_basis",
        "formation_energy_ev_atom",
        "e_above_hull_ev_atom",
        "p_within_50_mev",
        "reduction_v",
        "oxidation_v",
        "decomposition_reaction",
        "reduction_reaction",
        "oxidation_reaction",
        "reason",
    )
)
"""Columns of `softlyte window`, in order; the energy above the hull is negative for stable phases."""

INTERFACE_COLUMNS = (
    "formula",
    "partner",
    "partner_formula",
    "reaction_energy_ev_atom",
    "mutual_energy_ev_atom",
    "electrolyte_share",
    "reaction",
    "volume_change",
    "note",
)
"""Columns of the interfaces of `softlyte window`, in order."""

PROFILE_COLUMNS = (
    "potential_from_v",
    "potential_to_v",
    "ion_uptake",
    "energy_from_ev_atom",
    "energy_to_ev_atom",
    "products",
)
"""Columns of the profile of reaction energy against potential, in order."""

COST_COLUMNS = with_intervals(
    (
        "formula",
        "phase",
        "cost_usd_kg",
        "cost_low_usd_kg",
        "cost_high_usd_kg",
        "density_g_cm3",
        "cost_usd_l",
        "cost_usd_m2",
        "sulfide_usd_kg",
        "p_below_sulfide_price",
        "dearest_precursor",
        "dearest_share",
        "hhi_production",
        "hhi_reserve",
        "precursor_route",
        "batch_recipe",
        "byproducts",
        "alternative_routes",
        "flags",
    )
)
"""Columns of `softlyte cost`, in order."""

PROPOSAL_COLUMNS = (
    "order",
    "rank",
    "formula",
    "phase",
    "p_all_targets",
    "p_any",
    "gain",
    "limiting_target",
    "p_limiting_target",
    "informs",
    "cost_usd_kg",
    "cost_usd_l",
    "precursor_route",
    "batch_recipe",
    "byproducts",
    "nearest_known",
    "distance_to_known",
    "why",
    "learned",
    "flags",
)
"""Columns of `proposals.csv`, in order."""

CURRENCY_COLUMNS = ("currency", "cost_currency_kg", "cost_currency_l")
"""Columns that `--currency` adds."""

CANDIDATE_COLUMNS = ("rank", *PREDICT_COLUMNS, "pareto_front", "precursor_route")
"""Columns of `candidates.csv`, in order."""

VERIFIED_COLUMNS = (
    "structure",
    "formula",
    "parent",
    "verify_status",
    "atoms",
    "verified_youngs_modulus_gpa",
    "verified_bulk_modulus_gpa",
    "verified_shear_modulus_gpa",
    "verified_modulus_spread",
    "verified_volume_change",
    "verified_density_g_cm3",
    "verified_formation_energy_ev_atom",
    "verified_e_above_hull_ev_atom",
    "verified_hull_spread_ev_atom",
    "verified_reduction_v",
    "verified_oxidation_v",
    "verified_potentials",
    "network_check",
    "verify_notes",
)
"""Columns of `softlyte verify`, one row for each structure, in order."""

VERIFIED_POTENTIAL_COLUMNS = (
    "structure",
    "formula",
    "potential",
    "verify_status",
    "topology",
    "atoms",
    "verified_youngs_modulus_gpa",
    "verified_bulk_modulus_gpa",
    "verified_shear_modulus_gpa",
    "elastic_r2",
    "verified_volume_change",
    "verified_density_g_cm3",
    "verified_formation_energy_ev_atom",
    "verified_e_above_hull_ev_atom",
    "verified_reduction_v",
    "verified_oxidation_v",
    "missing_phases",
    "verify_notes",
)
"""Columns of the table of `softlyte verify` with one row for each structure and potential, in order."""

DIFFUSION_COLUMNS = with_intervals(
    (
        "formula",
        "mobile_ion",
        "temperature_k",
        "diffusivity_cm2_s",
        "nernst_einstein_ms_cm",
        "framework_displacement_a",
        "duration_ps",
        "atoms",
    )
)
"""Columns of `softlyte diffuse`, one row for each temperature, in order."""

MERGED_VERIFIED_COLUMNS = tuple(
    name for name in VERIFIED_COLUMNS if name not in ("structure", "formula", "atoms")
)
"""Columns that `screen --verify` adds to `candidates.csv`; empty for candidates that were not verified."""

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
    """Return the vocabulary of all results as a Markdown table (docs/columns.md)."""
    lines = ["| column | unit | meaning |", "|---|---|---|"]
    more = ("mp_id", *WINDOW_COLUMNS, *INTERFACE_COLUMNS, *PROFILE_COLUMNS, *COST_COLUMNS, *CURRENCY_COLUMNS)
    more += (*VERIFIED_COLUMNS, *VERIFIED_POTENTIAL_COLUMNS)
    more += (*DIFFUSION_COLUMNS, *PROPOSAL_COLUMNS)
    for name in dict.fromkeys((*CANDIDATE_COLUMNS, *more)):
        column = COLUMNS.get(name)
        if column is not None:
            ends = ", `_lower`, `_upper`" if column.predicted else ""
            lines.append(f"| `{name}`{ends} | {column.unit} | {column.meaning} |")
    return "\n".join(lines) + "\n"
