"""What is known already of the materials that a file is about: repetitions, agreement, contradictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pandas as pd
from scipy.special import ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL
from softlyte.datasets.own.measurements import COLUMNS, ROOM_C
from softlyte.datasets.own.quantities import BY_COLUMN, QUANTITIES, SD
from softlyte.datasets.repeats import pooled_sd
from softlyte.datasets.tables import load_table

NEAR_C = 5.0
"""Conductivities that are compared lie no further apart: 5 K move one of 0.4 eV by 0.1 decades."""

ENOUGH_FREEDOM = 5
"""Repeats with fewer degrees of freedom give no scatter to judge a difference by."""

OWN = "own"

_IN_DECADES = frozenset(q.column for q in QUANTITIES if q.unit in ("GPa", "MPa"))
"""Quantities that span decades and are kept as they are: differences are taken between logarithms."""


@dataclass(frozen=True)
class Match:
    """A value of the file beside those that are known of the same material and conditions.

    Attributes:
        row: of the file.
        formula, phase: of the material.
        quantity: column of the vocabulary.
        value: of the file, in the quantity's own unit (S/cm for the conductivity).
        known: [K] known values, ascending, same unit.
        sources: [K] what each known value is from: a vendored table, or own measurements.
        difference: from the median of the known, in decades for conductivity, moduli, hardness and pressure,
            else in the unit.
        allowed: a difference that one repeat in ten exceeds; NaN where too few repeats are known to say.
    """

    row: int
    formula: str
    phase: str
    quantity: str
    value: float
    known: tuple[float, ...]
    sources: tuple[str, ...]
    difference: float
    allowed: float

    @property
    def contradicts(self) -> bool:
        """True where the value lies further from the known ones than repeats do."""
        return bool(abs(self.difference) > self.allowed)


@dataclass(frozen=True)
class Comparison:
    """What a file says beside what is known.

    Attributes:
        matches: same formula, phase and (for conductivities) temperature; contradictions first.
        repeated: rows of the file that an own version holds already, or that stand in the file twice: row
            number and where it is.
    """

    matches: tuple[Match, ...]
    repeated: dict[int, str]

    @property
    def contradictions(self) -> tuple[Match, ...]:
        """The matches that differ by more than repeats do."""
        return tuple(m for m in self.matches if m.contradicts)


def compare(frame: pd.DataFrame, own: pd.DataFrame | None) -> Comparison:
    """Compare a file's rows with own measurements and with the vendored tables.

    A value contradicts the K known ones where it lies further from their median than one repeat in ten does:
    1.64 sqrt(s^2 (1 + 1/K) + u^2), s the pooled standard deviation between measurements of one composition
    and phase in the cited tables, u the uncertainty that is stated with the value.

    Args:
        frame: of `Measurements`, indexed by row.
        own: from `load_own`; None if there are none.
    """
    known = vendored_values()
    if own is not None and len(own):
        known = pd.concat([known, _own_values(own)], ignore_index=True)
    matches = []
    for quantity in QUANTITIES:
        column = quantity.column
        rows = frame[frame[column].notna() & ~frame["censored"]]
        there = known[(known["quantity"] == column) & known["formula"].isin(rows["formula"])]
        for row, new in rows.iterrows():
            same = there[(there["formula"] == new["formula"]) & there["phase"].isin([new["phase"], ""])]
            if column == "log10_sigma_s_cm":
                same = same[(same["temperature_c"] - new["temperature_c"]).abs() <= NEAR_C]
            if len(same):
                matches.append(_match(int(str(row)), new, same.sort_values("value"), column))
    matches.sort(key=lambda m: (not m.contradicts, m.row, m.quantity))
    return Comparison(tuple(matches), _repeated(frame, own))


def scale_of(column: str) -> str:
    """Return the unit of a difference of two values of a quantity: decades, V, K, ..."""
    decades = BY_COLUMN[column].logarithmic or column in _IN_DECADES
    return "decades" if decades else BY_COLUMN[column].unit


def _in_scale(values: np.ndarray, column: str) -> np.ndarray:
    """Return values as they are compared: decades for what spans decades, else as they are."""
    return np.log10(values) if column in _IN_DECADES else values


def _match(row: int, new: pd.Series, same: pd.DataFrame, column: str) -> Match:
    value, known = float(new[column]), same["value"].to_numpy(np.float64)
    difference = float(_in_scale(np.array([value]), column)[0] - np.median(_in_scale(known, column)))
    sd = np.nan_to_num(float(new[column + SD]))
    if column in _IN_DECADES:
        sd /= value * np.log(10.0)
    spread = np.sqrt(repeat_scatter(column) ** 2 * (1 + 1 / len(known)) + sd**2)
    if BY_COLUMN[column].logarithmic:
        value, known = 10.0**value, 10.0**known
    return Match(
        row,
        str(new["formula"]),
        str(new["phase"]),
        column,
        value,
        tuple(known.tolist()),
        tuple(same["origin"]),
        difference,
        float(ndtri(0.5 + INTERVAL_LEVEL / 2) * spread),
    )


def _repeated(frame: pd.DataFrame, own: pd.DataFrame | None) -> dict[int, str]:
    """Return the rows whose material, conditions, values and source are known already, and where."""
    same = [c for c in COLUMNS if c not in ("file_row", "formula_as_written", "note")]
    places: dict[tuple[object, ...], str] = {}
    if own is not None:
        for row in own.to_dict("records"):
            places.setdefault(_key(row, same), f"version {row['version']}, row {row['file_row']}")
    out: dict[int, str] = {}
    for number, row in zip(frame.index, frame.to_dict("records"), strict=True):
        key = _key(row, same)
        if key in places:
            out[int(number)] = places[key]
        else:
            places[key] = f"row {number} of the file"
    return out


def _key(row: dict, columns: list[str]) -> tuple[object, ...]:
    values = (row[c] for c in columns)
    return tuple(("" if v != v else round(v, 6)) if isinstance(v, float) else v for v in values)


def _own_values(own: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for quantity in QUANTITIES:
        chosen = own[own[quantity.column].notna() & ~own["censored"]]
        parts.append(
            pd.DataFrame(
                {
                    "quantity": quantity.column,
                    "formula": chosen["formula"],
                    "phase": chosen["phase"],
                    "temperature_c": chosen["temperature_c"],
                    "value": chosen[quantity.column],
                    "origin": [
                        f"{OWN}, version {v}, row {r}"
                        for v, r in zip(chosen["version"], chosen["file_row"], strict=True)
                    ],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@lru_cache(maxsize=1)
def vendored_values() -> pd.DataFrame:
    """Return the measured values of the vendored tables.

    Columns: quantity, formula, phase ("" where the table does not know it), temperature_c, value, origin.
    Upper bounds, flagged rows and computed values are left out; of a stated range the middle is taken.
    """
    sigma = [
        _values(t, name, "log10_sigma_s_cm", t["log10_sigma_s_cm"])
        for name in ("conductivity_cited", "conductivity_obelix")
        for t in [load_table(name, drop_flagged=True)]
        for t in [t[~t["censored"].astype(bool)]]
    ]
    mechanics = load_table("mechanics_cited", drop_flagged=True)
    mechanics = mechanics[mechanics["computed"] == "no"]
    parts = list(sigma)
    for column in ("youngs_modulus_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "hardness_gpa"):
        middle = np.sqrt(mechanics[f"{column}_min"] * mechanics[f"{column}_max"])
        parts.append(_values(mechanics, "mechanics_cited", column, middle))
    windows = load_table("windows_cited", drop_flagged=True)
    windows = windows[windows["computed"] == "no"]
    parts += [_values(windows, "windows_cited", c, windows[c]) for c in ("oxidation_v", "reduction_v")]
    glass = load_table("glass_transition_cited", drop_flagged=True)
    parts.append(_values(glass, "glass_transition_cited", "glass_transition_k", glass["glass_transition_k"]))
    pressure = load_table("pressure_cited", drop_flagged=True)
    middle = np.sqrt(pressure["stack_pressure_mpa_min"] * pressure["stack_pressure_mpa_max"])
    parts.append(_values(pressure, "pressure_cited", "stack_pressure_mpa", middle))
    parts.append(_glasses())
    known = pd.concat(parts, ignore_index=True)
    # A pressure of 0 has no logarithm.
    sound = known["value"].notna() & (known["formula"] != "")
    return known[sound & ((known["value"] > 0) | ~known["quantity"].isin(_IN_DECADES))]


def _values(table: pd.DataFrame, name: str, quantity: str, values: pd.Series | np.ndarray) -> pd.DataFrame:
    phase = table["phase"] if "phase" in table else pd.Series("", index=table.index)
    if name == "conductivity_obelix":
        phase = pd.Series("crystal", index=table.index)
    if name == "glass_transition_cited":
        phase = pd.Series("glass", index=table.index)
    words = phase.map(lambda p: "glass" if "glass" in p else "crystal" if "crystal" in p else "")
    temperature = table.get("temperature_c", ROOM_C)
    title = table["source_title"] if "source_title" in table else table.get("doi", pd.Series("", table.index))
    return pd.DataFrame(
        {
            "quantity": quantity,
            "formula": table["formula"],
            "phase": words,
            "temperature_c": temperature,
            "value": np.asarray(values, np.float64),
            "origin": [f"{name}: {t}" if t else name for t in title],
        }
    )


def _glasses() -> pd.DataFrame:
    table = load_table("glass_properties", drop_flagged=True)
    parts = []
    for column in ("youngs_modulus_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "hardness_gpa"):
        parts.append(_values(table.assign(phase="glass"), "glass_properties", column, table[column]))
    for column in ("glass_transition_k", "density_g_cm3"):
        parts.append(_values(table.assign(phase="glass"), "glass_properties", column, table[column]))
    for celsius in (20, 100, 150, 300):
        values = table[f"log10_sigma_s_cm_{celsius}c"]
        at = table.assign(phase="glass", temperature_c=float(celsius))
        parts.append(_values(at, "glass_properties", "log10_sigma_s_cm", values))
    return pd.concat(parts, ignore_index=True)


@cache
def repeat_scatter(column: str) -> float:
    """Return the standard deviation between measurements of one material, NaN with too few repeats.

    In decades for what spans decades. Stack pressures of cells are what worked there, not repeats of one
    measurement, and have none. The large table of glasses does not count: its repeats are mostly one
    laboratory's, and say little of another's.
    """
    if column == "stack_pressure_mpa":
        return float("nan")
    known = vendored_values()
    chosen = known[(known["quantity"] == column) & ~known["origin"].str.startswith("glass_properties")]
    group = (chosen["formula"] + "|" + chosen["phase"]).to_numpy(str)
    sd, freedom = pooled_sd(group, _in_scale(chosen["value"].to_numpy(np.float64), column).round(2))
    return sd if freedom >= ENOUGH_FREEDOM else float("nan")
