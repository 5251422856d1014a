"""Melting of halide mixtures: measured eutectics, low-melting salts, eutectics of ideal mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element
from scipy.constants import R as GAS_CONSTANT

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.datasets.tables import load_table

FloatArray = NDArray[np.float64]

HALOGENS = tuple(Element(symbol).Z for symbol in ("F", "Cl", "Br", "I"))
OXYGEN = Element("O").Z
ANIONS = frozenset((*HALOGENS, *(Element(symbol).Z for symbol in ("N", "O", "S", "Se", "Te"))))

LOW_MELTING_K = (330.0, 700.0)
"""Simple salts and complexes that melt in this range hold molecules or discrete polyhedra that link up, the
ones that vitrify; alkali and rare-earth halides melt above, molecular liquids (TiCl4, SnCl4) below, and their
salts with alkali halides have nothing of them. Measured eutectics are taken whatever their temperature."""


@dataclass(frozen=True)
class Reference:
    """A measured melting point or eutectic.

    Attributes:
        label: such as "eutectic LiCl-AlCl3" or "TaCl5".
        cations: atomic number -> share of the cations.
        halogen: atomic number of the halogen.
        temperature_k: measured.
    """

    label: str
    cations: dict[int, float]
    halogen: int
    temperature_k: float

    @property
    def is_mixture(self) -> bool:
        """True for an eutectic or a complex of several cations, False for a simple salt."""
        return len(self.cations) > 1


@dataclass(frozen=True)
class Salt:
    """A binary halide: its cation's and halogen's atomic number, melting point, enthalpy of fusion.

    Attributes:
        melting_k: K.
        enthalpy_kj_mol: kJ per mole of formula units, NaN where not known.
    """

    cation: int
    halogen: int
    melting_k: float
    enthalpy_kj_mol: float


@lru_cache(maxsize=1)
def references() -> tuple[Reference, ...]:
    """Return the measured temperatures that the rule may use, one a system of cations and halogen.

    Of a system with several (LiAlCl4 and the eutectic beside it) the lowest counts. Rows without composition
    and rows flagged as wrong are left out.
    """
    best: dict[tuple[frozenset[int], int], Reference] = {}
    eutectics = load_table("eutectics_cited", drop_flagged=True)
    melting = load_table("melting_cited", drop_flagged=True)
    melting = melting[(melting["sublimes"] == "no") | (melting["formula"] == "AlCl3")]
    rows = [
        (f"eutectic {system}", formula, kelvin)
        for system, formula, kelvin in zip(
            eutectics["system"], eutectics["formula"], eutectics["eutectic_k"], strict=True
        )
    ]
    rows += [
        (formula, formula, kelvin)
        for formula, kelvin in zip(melting["formula"], melting["melting_point_k"], strict=True)
        if LOW_MELTING_K[0] <= kelvin <= LOW_MELTING_K[1]
    ]
    for label, formula, kelvin in rows:
        split = _split(formula)
        if split is None:
            continue
        cations, halogen = split
        key = (frozenset(cations), halogen)
        if key not in best or kelvin < best[key].temperature_k:
            best[key] = Reference(label, cations, halogen, float(kelvin))
    return tuple(best.values())


@lru_cache(maxsize=1)
def salts() -> dict[tuple[int, int], Salt]:
    """Return the binary halides with a cited melting point by (cation, halogen)."""
    found: dict[tuple[int, int], Salt] = {}
    melting = load_table("melting_cited", drop_flagged=True)
    for formula, kelvin, enthalpy in zip(
        melting["formula"], melting["melting_point_k"], melting["enthalpy_of_fusion_kj_mol"], strict=True
    ):
        split = _split(formula)
        if split is not None and len(split[0]) == 1:
            (cation,), halogen = split
            salt = Salt(cation, halogen, float(kelvin), float(enthalpy))
            old = found.get((cation, halogen))
            if old is None or salt.melting_k < old.melting_k:
                found[(cation, halogen)] = salt
    return found


def ideal_eutectic(melting_k: FloatArray, enthalpy_kj_mol: FloatArray) -> tuple[float, FloatArray]:
    """Return temperature in K and mole fractions [S] of the eutectic of an ideal mixture.

    ln x_i = -(dH_i/R) (1/T - 1/T_i) for each solid that freezes pure out of an ideal melt (Schroeder-van
    Laar); the temperature at which the x_i add up to 1.

    Args:
        melting_k: [S] melting points.
        enthalpy_kj_mol: [S] enthalpies of fusion.
    """
    melting = np.asarray(melting_k, dtype=np.float64)
    slope = np.asarray(enthalpy_kj_mol, dtype=np.float64) * 1e3 / GAS_CONSTANT

    def fractions(kelvin: float) -> FloatArray:
        return np.asarray(np.exp(-slope * (1.0 / kelvin - 1.0 / melting)))

    low, high = 1.0, float(melting.min())
    for _ in range(60):
        centre = (low + high) / 2
        low, high = (centre, high) if fractions(centre).sum() < 1 else (low, centre)
    return high, fractions(high)


@lru_cache(maxsize=65536)
def ideal_eutectic_of(elements: frozenset[int]) -> tuple[float, dict[int, float]] | None:
    """Return temperature in K and cation shares of the ideal eutectic of a set of elements; None if unknown.

    Each cation brings its lowest-melting salt with one of the halogens that are there, molecular liquids such
    as TiCl4 left out; oxygen is passed over,
    since as an ideal solute it would freeze out at 1,700 K.
    """
    halogens = elements & frozenset(HALOGENS)
    cations = sorted(elements - ANIONS)
    if not halogens or not cations:
        return None
    chosen = []
    for cation in cations:
        there = [salts()[cation, h] for h in halogens if (cation, h) in salts()]
        there = [salt for salt in there if salt.enthalpy_kj_mol == salt.enthalpy_kj_mol]
        # A molecular liquid mixes with salts in no ideal way; its own low melting point would say "flows".
        there = [salt for salt in there if salt.melting_k >= LOW_MELTING_K[0]]
        if not there:
            return None
        chosen.append(min(there, key=lambda salt: salt.melting_k))
    kelvin, fractions = ideal_eutectic(
        np.array([salt.melting_k for salt in chosen]), np.array([salt.enthalpy_kj_mol for salt in chosen])
    )
    return kelvin, {salt.cation: float(x) for salt, x in zip(chosen, fractions, strict=True)}


def _split(formula: str) -> tuple[dict[int, float], int] | None:
    """Return cation shares and halogen of a halide with one halogen and no other anion, else None."""
    if not formula:
        return None
    row = Compositions.from_formulas([formula])
    amounts = {int(z): float(n) for z, n in zip(row.atomic_numbers[0], row.amounts[0], strict=True) if z}
    anions = set(amounts) & ANIONS
    cations = {z: n for z, n in amounts.items() if z not in ANIONS}
    if len(anions) != 1 or not anions <= set(HALOGENS) or not cations or Element(symbols()[1]).Z in cations:
        return None
    total = sum(cations.values())
    return {z: n / total for z, n in cations.items()}, anions.pop()
