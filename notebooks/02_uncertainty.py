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
# # 2. Inside a prediction and its uncertainty
#
# What the networks say of one composition, how sure they are, what the doubt consists of, and what the ranking
# makes of it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.predictor import Predictor
from softlyte.screening.explain import explain_pressure
from softlyte.screening.predict import predict

FORMULAS = ["Li3YCl6", "Li2ZrCl6", "LiAlCl2.5O0.75"]
predictor = Predictor.load()

# %% [markdown]
# ## Medians and 90% intervals

# %%
table = predict(FORMULAS, predictor=predictor).set_index(["formula", "phase"])
shown = ["youngs_modulus_gpa", "sigma_ms_cm", "oxidation_v", "stack_pressure_mpa"]
table[[f"{name}{end}" for name in shown for end in ("_lower", "", "_upper")]].round(3).T

# %% [markdown]
# ## What the doubt consists of
#
# Ten networks vote, each with a normal distribution. Their disagreement is what training has not taught them
# (epistemic); the width of each is the scatter of the data (aleatoric). Both are scaled so that 90% intervals cover
# 90% of materials from chemical systems that no network has seen.

# %%
compositions = Compositions.from_formulas(FORMULAS)
predictions = predictor.predict(compositions)  # phase 0: crystals
pd.DataFrame(
    {
        "formula": FORMULAS,
        "applicability": predictions.applicability,
        "log10_sigma_sd_decades": predictions["sigma_s_cm"].sd(),
        "sigma_epistemic_share": predictions["sigma_s_cm"].epistemic_share(),
        "oxidation_sd_v": predictions["oxidation_v"].sd(),
        "oxidation_epistemic_share": predictions["oxidation_v"].epistemic_share(),
    }
).round(2)

# %%
fig, axes = plt.subplots(1, len(FORMULAS), figsize=(10, 3), sharey=True)
x = np.linspace(-8, 2, 400)  # log10 mS/cm
for place, (formula, ax) in enumerate(zip(FORMULAS, axes, strict=True)):
    sigma = predictions["sigma_s_cm"]
    centres, widths = sigma.member_mean[:, place] + 3, sigma.member_sd[:, place]
    bells = np.exp(-0.5 * ((x - centres[:, None]) / widths[:, None]) ** 2) / (
        widths[:, None] * np.sqrt(2 * np.pi)
    )
    ax.plot(x, bells.T, color="grey", lw=0.6)
    ax.plot(x, bells.mean(axis=0), color="black")
    ax.axvline(0, ls="--", color="grey")
    ax.set(title=formula, xlabel="log10 conductivity (mS/cm)")
axes[0].set_ylabel("probability density")
plt.show()

# %% [markdown]
# Grey: the members, black: the ensemble, dashed: 1 mS/cm. Any level of interval can be had, and any probability.

# %%
low, high = predictions["sigma_s_cm"].interval(0.5)
pd.DataFrame(
    {
        "formula": FORMULAS,
        "sigma_ms_cm_lower_50": 1e3 * low,
        "sigma_ms_cm_upper_50": 1e3 * high,
        "p_sigma_above_1_ms_cm": 1 - predictions["sigma_s_cm"].probability_below(1e-3),
    }
).round(3)

# %% [markdown]
# ## Against what is measured
#
# The cited values of these compositions. They were in the training data, so this is no test of the networks; it shows
# how far two measurements of one composition lie apart. Tests on unseen chemistry stand in
# [the measured results](../benchmarks/RESULTS.md).

# %%
cited = load_table("conductivity_cited")
cited[cited["formula"].isin(FORMULAS)][["formula", "phase", "sigma_ms_cm", "temperature_c", "source_title"]]

# %% [markdown]
# ## From properties to a stack pressure
#
# No network predicts a pressure. It follows from moduli, hardness, glass transition and a law on published cells;
# the report says which of them governs.

# %%
for report in explain_pressure(["LiAlCl2.5O0.75"], phase="glass", predictor=predictor):
    print(report.text())

# %% [markdown]
# ## When not to believe a row
#
# `applicability` near 0 says that the networks disagree more than on nearly all held-out rows. `flags` says the same
# in words.

# %%
predict(["LiAlCl2.5O0.75", "Li3YCl6", "LiBH4"], phase="crystal", predictor=predictor)[
    ["formula", "applicability", "nearest_known", "distance_to_known", "flags"]
].round(2)
