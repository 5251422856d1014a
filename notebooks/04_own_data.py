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
# # 4. Own data
#
# What a laboratory measures is checked, compared with what is known, kept in versions, and learned from: in seconds by
# adapting the shipped networks, in hours by training anew. [Own measurements](../docs/own-data.md) has the columns and units.

# %%
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from softlyte.datasets.errors import UserError
from softlyte.datasets.own.store import load_own
from softlyte.datasets.tables import load_table
from softlyte.models.adaptation import adapt
from softlyte.models.estimator import CompositionRegressor
from softlyte.screening.own_data import add_measurements
from softlyte.screening.predict import predict

OUT = Path("out/own-data")
shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)

# %% [markdown]
# ## A file of measurements
#
# A CSV with the unit of each column in its header. Published conductivities of sodium chlorides stand in for a
# laboratory's here; the shipped networks have learned from them, so what follows moves less than new measurements would.

# %%
cited = load_table("conductivity_cited", drop_flagged=True)
rows = cited[(cited["mobile_ion"] == "Na") & (cited["phase"] == "crystal")]
ours = pd.DataFrame(
    {
        "formula": rows["formula"],
        "phase": rows["phase"],
        "conductivity (mS/cm)": rows["sigma_ms_cm"],
        "temperature (C)": rows["temperature_c"],
        "source": rows["source_title"],
    }
)
ours.to_csv(OUT / "measured.csv", index=False)
ours

# %% [markdown]
# A mistake adds nothing, and the message says where it is:

# %%
wrong = ours.copy()
wrong.iloc[1, 2] = 980.0  # a conductivity in the wrong unit
wrong.to_csv(OUT / "wrong.csv", index=False)
try:
    add_measurements(OUT / "wrong.csv", to=OUT / "store")
except UserError as error:
    print(error)

# %% [markdown]
# ## Beside what is known

# %%
added = add_measurements(OUT / "measured.csv", to=OUT / "store")
pd.DataFrame([asdict(match) for match in added.comparison.matches]).head(8)

# %% [markdown]
# The store holds each file as a version with its checksum; `load_own` returns all rows that count.

# %%
load_own(OUT / "store")[["formula", "phase", "log10_sigma_s_cm", "temperature_c", "source"]]

# %% [markdown]
# ## Adapt the predictions
#
# A Gaussian process on what the networks got wrong, over the distance of compositions. Each material is left out in turn:
# the check says whether it helps.

# %%
folder, checks, remarks = adapt(own_data=OUT / "store", out=OUT / "weights", device="cpu")
print("\n".join(remarks))
pd.DataFrame([asdict(check) for check in checks]).round(3).T

# %% [markdown]
# A neighbour of the measured materials moves and narrows; a lithium glass stays as it was, or nearly.

# %%
asked = {"crystal": ["Na2.5Y0.5Zr0.5Cl6"], "glass": ["LiAlCl2.5O0.75"]}
columns = ["sigma_ms_cm_lower", "sigma_ms_cm", "sigma_ms_cm_upper"]
tables = {
    name: pd.concat([predict(formulas, phase=phase, weights=weights) for phase, formulas in asked.items()])
    for name, weights in (("shipped", None), ("adapted", folder))
}
pd.concat({name: table.set_index(["formula", "phase"])[columns] for name, table in tables.items()}).round(3)

# %% [markdown]
# The folder of adapted weights goes wherever weights are asked for: `screen(..., weights=folder)`, `--weights`.
#
# ## Train on a property of your own
#
# `CompositionRegressor` is the network for one number, with scikit-learn's interface. A few rows are enough to try it, not to
# trust it: its standard deviation is not calibrated. To retrain all of Softlyte with your rows (hours), see
# [training](../docs/training.md): `softlyte train models/configs/composition.toml --own-data STORE --out DIR`.

# %%
regressor = CompositionRegressor(epochs=10)
regressor.fit(ours["formula"].tolist(), np.log10(ours["conductivity (mS/cm)"]))
mean, sd = regressor.predict(["Na2.5Y0.5Zr0.5Cl6", "Na3YCl6"], return_std=True)
pd.DataFrame(
    {"formula": ["Na2.5Y0.5Zr0.5Cl6", "Na3YCl6"], "log10_sigma_ms_cm": mean, "sd_decades": sd}
).round(2)
