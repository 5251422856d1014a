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
# # 6. Verify by physics
#
# A universal potential relaxes and strains a structure: elastic moduli, energy above a hull of the same potential, window.
# It knows nothing of the networks, so it may disagree with them. Needs the extra `physics`; the weights of the potentials
# lie in their packages. Here one small crystal under one potential; a candidate of 30 atoms takes about a minute.

# %%
from pathlib import Path

from pymatgen.core import Lattice, Structure

from softlyte.screening.crystals.generate import crystals_of
from softlyte.screening.physics.verify import verify
from softlyte.screening.predict import predict
from softlyte.screening.progress import Bars

OUT = Path("out/verify")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## A structure
#
# A file that you have (CIF, POSCAR), or one of the crystals that a composition may be: its ions on the sites of known
# crystals. For Li2ZrCl6 these are proposals to relax, likeliest first.

# %%
for crystal in crystals_of("Li2ZrCl6"):
    print(crystal.parent, crystal.structure.composition.reduced_formula, len(crystal.structure), "sites")

# %% [markdown]
# To be quick, this notebook verifies lithium chloride, in rock salt with a lattice constant that is 2% too large.

# %%
salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.24), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
file = OUT / "LiCl.cif"
salt.get_primitive_structure().to(str(file))
result = verify([file], OUT / "run", potentials=["diep"], workers=1, overwrite=True, progress=Bars())
result.verified.T

# %% [markdown]
# `verified_volume_change` says how far the cell moved, `verified_e_above_hull_ev_atom` where it lies on a hull whose other
# phases were relaxed by the same potential; energies of different methods never share a hull. With two potentials
# (the default) `verified_modulus_spread` and `verified_hull_spread_ev_atom` say how far they disagree; a gap to the hull below
# 30 meV/atom is undecided.

# %% [markdown]
# ## Beside the networks

# %%
networks = predict(["LiCl"], phase="crystal").iloc[0]
verified = result.verified.iloc[0]
for name in ("youngs_modulus_gpa", "bulk_modulus_gpa", "shear_modulus_gpa"):
    low, middle, high = (networks[f"{name}{end}"] for end in ("_lower", "", "_upper"))
    print(
        f"{name}: networks {middle:.1f} [{low:.1f}, {high:.1f}], potential {verified[f'verified_{name}']:.1f}"
    )
print("verdict:", verified["network_check"] or "within the networks' intervals")

# %% [markdown]
# The relaxed structure is kept as CIF. A stopped run goes on where it was by the same call; for many candidates give a CSV:
# `softlyte verify candidates.csv --top 20 --out verified`.

# %%
sorted(path.name for path in (OUT / "run" / "structures").iterdir())
