# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5. The thermodynamics of one candidate
#
# Where a composition lies on the hull, over which potentials it is stable, what it becomes outside them, and how it
# reacts with electrodes. [Hulls, windows and interfaces](../docs/thermodynamics.md) says how each number is made.

# %%
import matplotlib.pyplot as plt
import numpy as np

from softlyte.screening.window import window

report = window(["Li3InCl6", "Li2ZrCl6"], cathodes=["NMC811"])

# %% [markdown]
# ## Window and hull
#
# Li3InCl6 is in the shipped collection of DFT energies (`known`), Li2ZrCl6 is not: its formation energy is the networks',
# and all that follows has an interval.

# %%
shown = ["hull_basis", "formation_energy_ev_atom", "e_above_hull_ev_atom", "p_within_50_mev"]
limits = [f"{name}{end}" for name in ("reduction_v", "oxidation_v") for end in ("_lower", "", "_upper")]
report.windows.set_index("formula")[[*shown, *limits]].T

# %% [markdown]
# What it becomes, as balanced reactions:

# %%
for row in report.windows.itertuples():
    print(row.formula)
    print("  decomposition:", row.decomposition_reaction)
    print("  reduction:    ", row.reduction_reaction)
    print("  oxidation:    ", row.oxidation_reaction)

# %% [markdown]
# ## Against potential
#
# At each potential the equilibrium products and the energy that the reaction releases. 0 V is lithium metal.

# %%
report.profiles["Li3InCl6"].table().round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 3.5))
potential = np.linspace(0, 5, 500)
for formula, profile in report.profiles.items():
    ax.plot(potential, 1e3 * profile.energy_ev_atom(potential), label=formula)
ax.set(xlabel="Potential (V vs Li/Li+)", ylabel="Reaction energy (meV/atom)")
ax.legend()
plt.show()

# %% [markdown]
# ## Against electrodes and a sulfide electrolyte
#
# The mixture that releases most energy per atom, the reaction and the change of volume of the solids.

# %%
report.interfaces.round(3)

# %% [markdown]
# ## Conventions change numbers
#
# A phase above the hull has, strictly, no window; papers put it on the hull first. And one correction of the energies,
# for oxidised halogens, matters beside charged cathodes.

# %%
corrected = window(["Li3InCl6"], cathodes=["LCO"], corrections=["oxidised_halogens"])
plain = window(["Li3InCl6"], cathodes=["LCO"])
for name, run in (("as tabulated", plain), ("corrected", corrected)):
    charged = run.interfaces.set_index("partner").loc["LCO, charged"]
    print(f"{name}: {1e3 * charged['reaction_energy_ev_atom']:.0f} meV/atom; {charged['reaction']}")

# %% [markdown]
# `report.html()` is the page that `softlyte window --plot` writes: reaction energies and phase diagrams, offline.

# %%
page = report.html()
print(f"{len(page) / 1e6:.1f} MB of HTML")
