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
# # 3. An own space and own targets
#
# A space says which compositions to screen, a targets file what they must reach. Both are short TOML files that are
# checked before anything runs.

# %%
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from softlyte.datasets.errors import UserError
from softlyte.screening.describe import describe_space, find_in_space
from softlyte.screening.funnel import screen
from softlyte.screening.progress import Bars

OUT = Path("out/own-space")
OUT.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The space
#
# Lithium aluminium-zirconium oxychlorides with a little fluoride. Amounts are numbers, fractions, lists, ranges, or
# what charge balance leaves. [Candidate spaces](../docs/spaces.md) has the whole language.

# %%
SPACE = """
name = "Li-Al-Zr oxychlorides"
exclude_policies = ["toxic"]

[mobile_ions]
Li = 1
[cations]
Al = 3
Zr = 4
[anions]
O = -2
F = -1
Cl = -1

[glass] # what is tried as a glass too
min_former_share = 0.5
max_mobile_per_former = 3.0
[glass.formers]
oxyhalide = ["Al", "Zr"]

[[families]]
name = "Li_a Al1-z Zr_z O_o F_f Cl_x"
covers = "oxychlorides between LiAlCl2.5O0.75 and Li2ZrCl6 with a little fluoride"
totals = [{ of = ["Al", "Zr"], amount = 1 }]
[families.slots]
Li = { amount = { from = 0.5, to = 3, step = 0.25 } }
Al = { amount = [0.2, 0.4, 0.6, 0.8] }
Zr = { amount = [0.2, 0.4, 0.6, 0.8] }
O = { amount = [0.25, 0.5, 0.75] }
F = { amount = [0.1, 0.2] }
Cl = { amount = "balance" }
"""
space = OUT / "own_space.toml"
space.write_text(SPACE)
description = describe_space(space)
print(f"{description.candidates:,} candidates, {description.compositions:,} compositions")
pd.DataFrame([asdict(origin) for origin in description.by_origin])

# %% [markdown]
# A mistake is found before anything runs, and the message says where it is and what to do.

# %%
wrong = OUT / "wrong_space.toml"
wrong.write_text(SPACE.replace("Zr = 4", "Zr = 0"))
try:
    describe_space(wrong)
except UserError as error:
    print(error)

# %% [markdown]
# Is a composition that you care about in it, and if not, why?

# %%
pd.DataFrame([asdict(found) for found in find_in_space(space, ["Li2Al0.6Zr0.4O0.5F0.1Cl4.3", "Li6PS5Cl"])])

# %% [markdown]
# ## The targets
#
# A separator cold-pressed from powder at a cell that works at 2 MPa and 60 °C, at a price per square metre.

# %%
targets = OUT / "own_targets.toml"
targets.write_text(
    """
[[target]]
column = "stack_pressure_mpa"
comparison = "<"
value = 2.0

[[target]]
column = "sigma_at_pressure_ms_cm"
comparison = ">="
value = 0.3

[[target]]
column = "oxidation_v"
comparison = ">="
value = 3.8

[[target]]
column = "cost_usd_m2"
comparison = "<="
value = 2.0

[conditions]
temperature_c = 60
"""
)

# %%
result = screen(space, out=OUT / "run", targets=targets, top=30, refine=60, overwrite=True, progress=Bars())
columns = [
    "formula",
    "phase",
    "p_all_targets",
    "stack_pressure_mpa",
    "sigma_at_pressure_ms_cm",
    "oxidation_v",
    "cost_usd_m2",
]
result.candidates.set_index("rank")[columns].head(8).round(3)

# %% [markdown]
# ## The same targets for a list of your own
#
# A CSV with the column `formula`, and `phase` if it is known. Rows that cannot be used are listed with a reason, the
# others go on.

# %%
own = OUT / "own_candidates.csv"
own.write_text("formula,phase\nLiAlCl2.5O0.75,glass\nLi3YCl6,crystal\nLi2ZrCl6,\nLiXx2Cl,\n")
mine = screen(candidates=own, out=OUT / "own-run", targets=targets, overwrite=True)
mine.candidates.set_index("rank")[columns].round(3)

# %%
pd.read_csv(OUT / "own-run" / "rejected.csv")
