"""The part of the vocabulary that a physics check and molecular dynamics add (see vocabulary.py)."""

from __future__ import annotations

from softlyte.datasets.column import Column

PHYSICS_COLUMNS = (
    Column("structure", "Structure", "", "Name of the structure that was verified."),
    Column("parent", "Parent", "", "Known crystal that it was substituted in, or its file."),
    Column("atoms", "Atoms", "", "Atoms in the cell that was computed."),
    Column("potential", "Potential", "", "Universal potential that computed the row."),
    Column(
        "verify_status",
        "Status",
        "",
        "ok, no structure, unconverged, exploded, collapsed, amorphised, mechanically unstable, "
        "stress not linear in strain, or an error.",
    ),
    Column("topology", "Topology", "", "kept, changed or amorphised by the relaxation."),
    Column(
        "verified_youngs_modulus_gpa",
        "Young's modulus by potentials",
        "GPa",
        "E = 9KG/(3K+G) with relaxed ions, mean over the potentials.",
    ),
    Column(
        "verified_bulk_modulus_gpa",
        "Bulk modulus by potentials",
        "GPa",
        "K with relaxed ions, mean over them.",
    ),
    Column(
        "verified_shear_modulus_gpa",
        "Shear modulus by potentials",
        "GPa",
        "G with relaxed ions, mean over the potentials.",
    ),
    Column(
        "verified_modulus_spread",
        "Spread of the modulus",
        "",
        "Largest minus smallest Young's modulus of the potentials over their mean.",
    ),
    Column("elastic_r2", "R2 of the elastic fit", "", "Of stress against strain, all components together."),
    Column(
        "verified_volume_change",
        "Volume change",
        "",
        "Volume of the relaxed over that of the given cell, minus 1, mean over the potentials.",
    ),
    Column(
        "verified_density_g_cm3", "Density by potentials", "g/cm3", "Of the relaxed crystal, mean over them."
    ),
    Column(
        "verified_formation_energy_ev_atom",
        "Formation energy by potentials",
        "eV/atom",
        "Non-metals anchored to measured alkali salts, mean over the potentials.",
    ),
    Column(
        "verified_e_above_hull_ev_atom",
        "Energy above hull by potentials",
        "eV/atom",
        "Above competing phases relaxed with the same potential, mean over the potentials; negative: stable.",
    ),
    Column(
        "verified_hull_spread_ev_atom",
        "Spread of the energy above hull",
        "eV/atom",
        "Largest minus smallest energy above the hull of the potentials.",
    ),
    Column(
        "verified_reduction_v",
        "Reduction limit by potentials",
        "V vs Li/Li+",
        "Lower end of the window on the potentials' hulls, mean; sodium compounds: against Na/Na+.",
    ),
    Column(
        "verified_oxidation_v",
        "Oxidation limit by potentials",
        "V vs Li/Li+",
        "Upper end of the window on the potentials' hulls, mean; sodium compounds: against Na/Na+.",
    ),
    Column("verified_potentials", "Potentials", "", "Potentials whose means the row holds."),
    Column(
        "network_check",
        "Networks against potentials",
        "",
        "agrees, or which values lie outside the networks' 90% interval, and on which side.",
    ),
    Column("missing_phases", "Missing phases", "", "Competing phases for which there was no structure."),
    Column("temperature_k", "Temperature", "K", "Of the dynamics."),
    Column(
        "diffusivity_cm2_s",
        "Self-diffusion coefficient",
        "cm2/s",
        "Of the mobile ion, from mean squared displacements; median of the posterior.",
        predicted=True,
    ),
    Column(
        "nernst_einstein_ms_cm",
        "Conductivity by Nernst and Einstein",
        "mS/cm",
        "n q mu with mu = q D / kT, at the temperature of the dynamics.",
        predicted=True,
    ),
    Column(
        "framework_displacement_a",
        "Displacement of the framework",
        "angstrom",
        "Root mean square over the run; several angstrom say that the crystal has melted.",
    ),
    Column("duration_ps", "Duration", "ps", "Of the dynamics that displacements are taken from."),
    Column("verify_notes", "Notes", "", "Cautions of the physics check, separated by semicolons."),
)
"""Columns of `softlyte crystals`, `verify` and `diffuse` beside those of a prediction."""
