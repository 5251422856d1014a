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
# # 7. The next experiments
#
# From a screening to a batch for the bench: what to make with the precursors at hand, with masses, and what each experiment
# would teach. [The next experiments](../docs/next-experiments.md) says how the batch is chosen and what that saves.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from softlyte.screening.funnel import screen
from softlyte.screening.progress import Bars
from softlyte.screening.proposals import propose

OUT = Path("out/next-experiments")

# %% [markdown]
# ## A screening to choose from

# %%
result = screen(
    "oxychloride-glasses",
    out=OUT,
    limit=1_500,
    refine=80,
    top=80,
    seed=3,
    overwrite=True,
    report=False,
    progress=Bars(),
)
result.candidates[["formula", "phase", "p_all_targets"]].head(5).round(3)

# %% [markdown]
# ## A batch with what is on the shelf
#
# The best rows of a ranking are often the same material with other subscripts: if one fails, all do. The batch is the one
# whose successes are worth most together. Candidates that the shelf cannot make are counted.

# %%
SHELF = ["LiCl", "Li2O", "NaCl", "AlCl3", "ZrCl4", "NbCl5", "SnCl4", "Al2O3"]
batch = propose(OUT, budget=5, precursors=SHELF, device="cpu")
print(batch.left_out)
batch.table[
    ["formula", "phase", "p_all_targets", "p_any", "limiting_target", "informs", "cost_usd_kg"]
].round(3)

# %% [markdown]
# `p_any` is the probability that at least one of the batch up to that row meets every target.

# %%
fig, ax = plt.subplots(figsize=(5, 3))
ax.plot(range(1, len(batch.table) + 1), batch.table["p_any"], marker="o")
ax.set(
    xlabel="Experiments",
    ylabel="P(at least one success)",
    ylim=(0, None),
    xticks=range(1, len(batch.table) + 1),
)
plt.show()

# %% [markdown]
# ## On the bench
#
# Masses for 10 g, why each was chosen and what would be learned.

# %%
for row in batch.table.itertuples():
    print(f"{row.order}. {row.formula} ({row.phase}): {row.batch_recipe}")
    print(f"   {row.why}")
    print(f"   {row.learned}")

# %% [markdown]
# What comes back from the laboratory goes into [notebook 4](04_own_data.ipynb): `add_measurements`, `adapt`, then `propose` again
# with `own_data=` and `weights=`.
