"""The glass table from SciGlass, as served in the wheel glasspy 0.4.0.

Only the two SciGlass data files of the wheel are read (EPAM Systems 2019, doi 10.5281/zenodo.8287159); none
of the wheel's code is used. Their notice travels with the table.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.build.additive import additive_volume
from softlyte.datasets.build.artifacts import Reader
from softlyte.datasets.build.flagging import Flags, contradicting
from softlyte.datasets.formulas import DECIMALS, Compositions
from softlyte.datasets.writing import BuiltTable

_PROPERTIES = "glasspy/data/datafiles/select_SciGK.csv.zip"
_COMPOSITIONS = "glasspy/data/datafiles/select_AtMol.csv.zip"
_AMU_PER_A3_IN_G_CM3 = 1.66053906660
_MAX_ELEMENTS = 16
_BOLTZMANN_EV_K = 8.617333262e-5
_LN10 = float(np.log(10.0))

RESISTIVITY_K = {
    "log10_sigma_s_cm_20c": 293.15,
    "log10_sigma_s_cm_100c": 373.15,
    "log10_sigma_s_cm_150c": 423.15,
    "log10_sigma_s_cm_300c": 573.15,
}
"""Conductivity columns and the temperature in K that each holds for."""

HIGHEST_LOG10_SIGMA = {
    "log10_sigma_s_cm_20c": -1.2,
    "log10_sigma_s_cm_100c": -0.5,
    "log10_sigma_s_cm_150c": -0.3,
    "log10_sigma_s_cm_300c": 0.0,
}
"""No ionic glass conducts better (the best silver glasses reach about 0.05 S/cm at 20 C)."""

LOWEST_LOG10_SIGMA = -20.0
"""Below this, 1e-20 S/cm, nothing is measured: the source extrapolated a line."""

ACTIVATION_RANGE_EV = (0.05, 2.2)
"""Slope of log sigma against 1/T outside which signs or units of the source must be wrong."""

DECIMALS_OF = {
    "glass_transition_k": 2,
    "youngs_modulus_gpa": 2,
    "shear_modulus_gpa": 2,
    "bulk_modulus_gpa": 2,
    "poisson_ratio": 4,
    "hardness_gpa": 3,
    "density_g_cm3": 4,
    **dict.fromkeys(RESISTIVITY_K, 3),
}
"""Digits behind the point of each property; the columns of the table in order."""

_SOURCE_COLUMNS = {
    "glass_transition_k": "TG",
    "youngs_modulus_gpa": "MOD_UNG",
    "shear_modulus_gpa": "MOD_SDV",
    "poisson_ratio": "pois",
    "hardness_gpa": "MIKROTV",
    "density_g_cm3": "DENSITY",
    "log10_sigma_s_cm_20c": "RO20",
    "log10_sigma_s_cm_100c": "RO100",
    "log10_sigma_s_cm_150c": "RO150",
    "log10_sigma_s_cm_300c": "RO300",
}

CONTRADICTION = {
    "glass_transition_k": 60.0,
    "youngs_modulus_gpa": 0.114,
    "shear_modulus_gpa": 0.114,
    "poisson_ratio": 0.10,
    "hardness_gpa": 0.301,
    "density_g_cm3": 0.0414,
    **dict.fromkeys(RESISTIVITY_K, 2.0),
}
"""Spread within one composition beyond which values contradict each other.

60 K; a factor 1.3 in moduli, 2 in hardness, 1.1 in density (as log10); 0.1 in Poisson's ratio; 2 decades."""

_AS_LOG10 = ("youngs_modulus_gpa", "shear_modulus_gpa", "hardness_gpa", "density_g_cm3")


def glass_properties(read: Reader) -> BuiltTable:
    """Return glasses with Li, Na or a halogen and at least one property, by SciGlass number.

    Every value in the table stands; a value that cannot be right, or that is not an ionic conductivity, is
    emptied and named in the flag.
    """
    source, dropped = joined_glasses(read, list(_SOURCE_COLUMNS.values()))
    compositions = glass_compositions(source)
    wanted = np.zeros(len(source), dtype=bool)
    for element in ("Li", "Na", "F", "Cl", "Br", "I"):
        wanted |= compositions.amount_of(element) > 0
    present = source[list(_SOURCE_COLUMNS.values())].notna().any(axis=1).to_numpy()
    dropped |= {
        "no_li_na_halogen": int((~wanted).sum()),
        "no_property": int((wanted & ~present).sum()),
    }
    keep = np.flatnonzero(wanted & present)
    source, compositions = source.iloc[keep].reset_index(drop=True), compositions[keep]
    formula = pd.Series(compositions.formulas())
    values = {name: source[column].to_numpy(dtype=float) for name, column in _SOURCE_COLUMNS.items()}
    values["glass_transition_k"] = values["glass_transition_k"] + 273.15
    for name in RESISTIVITY_K:
        values[name] = -values[name]
    flags = Flags(len(source))
    _remove_implausible(values, flags, compositions)
    _remove_electronic(values, flags, compositions)
    for name, spread in CONTRADICTION.items():
        series = pd.Series(np.log10(values[name]) if name in _AS_LOG10 else values[name])
        _remove(values, flags, contradicting(formula, series, spread, spread / 2), name, "contradictory")
    values["bulk_modulus_gpa"] = _bulk_modulus(values)
    frame = pd.DataFrame(
        {
            "glass_id": source["KOD"].astype(str) + "-" + source["GLASNO"].astype(str),
            "formula": formula,
            **{name: values[name] for name in DECIMALS_OF},
            "carrier_class": _carrier_class(values, compositions),
            "year": source["Year"].astype(int),
            "flag": flags.text(),
        }
    )
    return BuiltTable(frame, DECIMALS_OF, dropped)


def joined_glasses(read: Reader, columns: list[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return properties joined to atomic percent by glass number, sorted, and counts of what fell out.

    Args:
        read: of the wheel.
        columns: SciGlass's names of the wanted properties.
    """
    properties = _read_zip(read(_PROPERTIES), ["KOD", "GLASNO", "Year", *columns])
    percent = _read_zip(read(_COMPOSITIONS), None).rename(columns={"Kod": "KOD", "GlasNo": "GLASNO"})
    key = ["KOD", "GLASNO"]
    twice = properties.duplicated(key, keep=False)
    percent = percent[~percent.duplicated(key, keep=False)]
    joined = properties[~twice].merge(percent, on=key, how="inner", suffixes=("", "_percent"))
    elements = _element_columns(joined)
    total = joined[elements].sum(axis=1)
    complete = (total > 99.0) & (total < 101.0)
    amounts = np.round(joined[elements].to_numpy(dtype=float) / 100.0, DECIMALS)
    few = (amounts > 0).sum(axis=1) <= _MAX_ELEMENTS
    dropped = {
        "duplicated_glass_number": int(twice.sum()),
        "no_composition": int((~twice).sum() - len(joined) + (~complete).sum()),
        "over_16_elements": int((complete & ~few).sum()),
    }
    joined = joined[complete & few].sort_values(key, kind="stable").reset_index(drop=True)
    return joined, dropped


def glass_compositions(source: pd.DataFrame) -> Compositions:
    """Return atomic fractions to 4 decimals as amounts; traces under 0.005 atomic % disappear."""
    elements = _element_columns(source)
    amounts = np.round(source[elements].to_numpy(dtype=float) / 100.0, DECIMALS)
    return Compositions.from_table([int(name) for name in elements], amounts)


def _element_columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if name.isdigit()]


def _remove(
    values: dict[str, NDArray[np.float64]], flags: Flags, mask: NDArray[np.bool_], name: str, code: str
) -> None:
    """Empty the values of the mask, [N], and say so in the flag."""
    flags.take_out(mask, name, code, values[name], DECIMALS_OF[name])
    values[name] = np.where(mask, np.nan, values[name])


def _outside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.isfinite(values) & ((values < low) | (values > high))


def _remove_implausible(
    values: dict[str, NDArray[np.float64]], flags: Flags, compositions: Compositions
) -> None:
    """Empty what no glass can have, and what contradicts another property of the same glass."""
    oxide = compositions.amount_of("O") > 0.3
    # Oxide glasses start at about 17 GPa (B2O3); softer entries are unit errors or foams.
    lowest_e = np.where(oxide, 10.0, 1.0)
    limits: dict[str, tuple[NDArray[np.float64] | float, float]] = {
        "glass_transition_k": (150.0, 1400.0),
        "youngs_modulus_gpa": (lowest_e, 160.0),
        "shear_modulus_gpa": (0.4 * lowest_e, 65.0),
        "poisson_ratio": (0.05, 0.45),
        "hardness_gpa": (0.1, 12.0),
    }
    for name, (low, high) in limits.items():
        outside = np.isfinite(values[name]) & ((values[name] < low) | (values[name] > high))
        _remove(values, flags, outside, name, "implausible")
    poisson = values["youngs_modulus_gpa"] / (2 * values["shear_modulus_gpa"]) - 1
    clash = _outside(poisson, 0.05, 0.45)
    for name in ("youngs_modulus_gpa", "shear_modulus_gpa", "poisson_ratio"):
        _remove(values, flags, clash, name, "elastic_constants_clash")
    odd = np.isfinite(poisson) & (np.abs(poisson - values["poisson_ratio"]) > 0.05)
    _remove(values, flags, odd, "poisson_ratio", "elastic_constants_clash")
    mass = compositions.masses() / compositions.amounts.sum(axis=1)
    volume = mass / values["density_g_cm3"] * _AMU_PER_A3_IN_G_CM3
    ratio = volume / additive_volume(compositions, volume)
    _remove(values, flags, _outside(ratio, 1 / 1.3, 1.3), "density_g_cm3", "implausible")


def _remove_electronic(
    values: dict[str, NDArray[np.float64]], flags: Flags, compositions: Compositions
) -> None:
    """Empty conductivities that are not ionic, or that cannot be right."""
    sigma = np.stack([values[name] for name in RESISTIVITY_K], axis=1)
    electronic = _electronic(compositions)
    too_high = (sigma > np.array(list(HIGHEST_LOG10_SIGMA.values()))).any(axis=1)
    slope_ev = _activation_energy(sigma)
    wrong_slope = _outside(slope_ev, *ACTIVATION_RANGE_EV)
    for position, name in enumerate(RESISTIVITY_K):
        _remove(values, flags, electronic, name, "electronic_conductor")
        _remove(values, flags, too_high | wrong_slope, name, "implausible")
        _remove(values, flags, sigma[:, position] < LOWEST_LOG10_SIGMA, name, "extrapolated")


def _activation_energy(sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Arrhenius slope in eV between the coldest and the hottest value of a row, [N], NaN if one.

    sigma: [N, 4] log10 S/cm at the temperatures of RESISTIVITY_K.
    """
    inverse = 1.0 / np.array(list(RESISTIVITY_K.values()))
    known = np.isfinite(sigma)
    rows = np.arange(len(sigma))
    cold, hot = known.argmax(axis=1), sigma.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (sigma[rows, hot] - sigma[rows, cold]) / (inverse[cold] - inverse[hot])
    return np.where(known.sum(axis=1) > 1, slope * _LN10 * _BOLTZMANN_EV_K, np.nan)


def _electronic(compositions: Compositions) -> NDArray[np.bool_]:
    """Mark glasses that conduct by electrons or polarons, [N].

    Over 1 atomic % of transition metals with mixed valence; chalcogenides (S, Se, Te over 5% and more than
    oxygen) with less than 10% Li and Na; less than 20% anions (metallic glasses).
    """
    amount = compositions.amount_of
    polaron = sum(amount(metal) for metal in ("V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Mo", "W"))
    chalcogen = amount("S") + amount("Se") + amount("Te")
    alkali = amount("Li") + amount("Na")
    anions = chalcogen + sum(amount(anion) for anion in ("N", "O", "F", "Cl", "Br", "I"))
    semiconductor = (chalcogen > 0.05) & (chalcogen > amount("O")) & (alkali < 0.10)
    return np.asarray((polaron > 0.01) | semiconductor | (anions < 0.20), dtype=bool)


def _carrier_class(values: dict[str, NDArray[np.float64]], compositions: Compositions) -> NDArray[np.object_]:
    """Return which ion most likely carries the current, [N]; "" where no conductivity is left."""
    alkali = compositions.amount_of("Li") + compositions.amount_of("Na")
    fast = sum(compositions.amount_of(metal) for metal in ("Ag", "Cu", "Tl"))
    measured = np.zeros(len(compositions), dtype=bool)
    for name in RESISTIVITY_K:
        measured |= np.isfinite(values[name])
    kind = np.where(fast > 0.01, "ag_cu_tl", np.where(alkali >= 0.05, "li_na", "other"))
    return np.where(measured, kind, "").astype(object)


def _bulk_modulus(values: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return K in GPa from E and G, else from E and Poisson's ratio; NaN outside 0.05 <= nu <= 0.42.

    K = E / (3 (1 - 2 nu)) with nu = E / (2 G) - 1; near nu = 0.5 an error of E is multiplied many times.
    """
    e, g = values["youngs_modulus_gpa"], values["shear_modulus_gpa"]
    nu = np.where(np.isfinite(g), e / (2 * g) - 1, values["poisson_ratio"])
    with np.errstate(divide="ignore"):
        k = e / (3 * (1 - 2 * nu))
    return np.where((nu >= 0.05) & (nu <= 0.42), k, np.nan)


def _read_zip(content: bytes, columns: list[str] | None) -> pd.DataFrame:
    """Read the one tab-separated file of a zip inside the wheel."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(archive.namelist()[0]) as file:
        return pd.read_csv(file, sep="\t", usecols=columns, encoding="latin-1", low_memory=False)
