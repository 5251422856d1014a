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
# # 1. A first screening
#
# From a space of candidates to a ranked table, a figure and a report. This notebook screens a random sample of a
# shipped space, so that it is done in half a minute; `softlyte screen --out FOLDER` does a whole space.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from softlyte.screening.funnel import screen
from softlyte.screening.progress import Bars

OUT = Path("out/first-screen")

# %% [markdown]
# `oxychloride-glasses` holds 467,168 candidates: oxychlorides from two to four cheap precursors. `limit` draws a
# sample of them, `refine` says how many of the best get the exact hull calculation, `top` how many are written.

# %%
result = screen(
    "oxychloride-glasses",
    out=OUT,
    limit=2_000,
    refine=100,
    top=50,
    seed=1,
    overwrite=True,
    progress=Bars(),
)

# %% [markdown]
# ## Where candidates fell, and why

# %%
pd.read_csv(OUT / "funnel.csv", keep_default_na=False)

# %% [markdown]
# ## The best rows
#
# Every column has its unit in its name; [the columns](../docs/columns.md) explains each. `p_all_targets` is the
# probability that all targets hold at once: less than 2 MPa of stack pressure, at least 1 mS/cm, stable to 4 V, at
# most 0.05 eV/atom above the hull, at most 50 USD per litre.

# %%
best = result.candidates.set_index("rank")
best[
    [
        "formula",
        "phase",
        "p_all_targets",
        "stack_pressure_mpa",
        "sigma_ms_cm",
        "youngs_modulus_gpa",
        "oxidation_v",
        "e_above_hull_ev_atom",
        "cost_usd_l",
    ]
].head(10).round(3)

# %% [markdown]
# Each predicted column comes with `_lower` and `_upper`, the ends of its 90% interval. They are wide: a ranking
# says what to try first, not what will be measured.

# %%
best[["formula", "sigma_ms_cm_lower", "sigma_ms_cm", "sigma_ms_cm_upper", "flags"]].head(5).round(3)

# %% [markdown]
# ## A figure of one's own
#
# Results are ordinary DataFrames.

# %%
fig, ax = plt.subplots(figsize=(6, 4))
top = best.head(15)
for name, marker in (("glass", "o"), ("crystal", "s")):
    rows = top[top["phase"] == name]
    low = rows["sigma_ms_cm"] - rows["sigma_ms_cm_lower"]
    high = rows["sigma_ms_cm_upper"] - rows["sigma_ms_cm"]
    ax.errorbar(
        rows["stack_pressure_mpa"],
        rows["sigma_ms_cm"],
        yerr=[low, high],
        fmt=marker,
        lw=0.6,
        label=name,
    )
ax.axvline(2, ls="--", color="grey")
ax.axhline(1, ls="--", color="grey")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="Stack pressure (MPa)",
    ylabel="Conductivity (mS/cm)",
    title="Best 15, targets dashed",
)
ax.legend()
plt.show()

# %% [markdown]
# ## The report
#
# `screen` has also written one page that sorts, filters and shows a card for each candidate; it opens without a
# network. The folder holds all results as files.

# %%
print(result.report)
sorted(path.name for path in OUT.iterdir() if not path.name.startswith("."))
