"""Volume change of a reaction: a layer that swells or shrinks presses on the cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pymatgen.core import Composition, Element

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.reactions import Reaction

A3_PER_CM3_MOL = 1e24 / 6.02214076e23
"""Cubic angstrom per formula unit in one cm3/mol (Avogadro constant of the SI, 2019)."""

GASES = frozenset(
    {"H2", "N2", "O2", "F2", "Cl2"}
    | {"CO", "CO2", "COS", "NO", "NO2", "N2O", "SO2", "H2S", "H2Se", "HF", "HCl", "HBr", "HI", "H3N", "PH3"}
    | {"Cl2O", "ClO2", "ClF", "ClF3", "OF2", "SF4", "SF6", "PF3", "PF5", "BF3", "BCl3", "SiF4", "CF4", "NF3"}
)
"""Substances that boil below 25 C at 1 bar (CRC Handbook of Chemistry and Physics); they leave the solid."""

VOLUME_TABLES = ("crystal_volume", "crystal_volume_other")
"""Tables with formula and volume_a3_atom."""


@dataclass(frozen=True)
class VolumeChange:
    """How the volume of the solids changes.

    Attributes:
        fraction: (products - reactants) / reactants, solids alone; NaN if a volume is not known.
        unknown: formulas without a known volume.
        gases: products that leave as gas.
    """

    fraction: float
    unknown: tuple[str, ...]
    gases: tuple[str, ...]

    def note(self) -> str:
        """Return what qualifies the number, empty if nothing does."""
        parts = [f"volume of {', '.join(self.unknown)} unknown"] if self.unknown else []
        parts += [f"{', '.join(self.gases)} evolves"] if self.gases else []
        return "; ".join(parts)


@lru_cache(maxsize=1)
def _known_volumes() -> dict[str, float]:
    """Volume per atom in cubic angstrom by reduced formula, from the tables (DFT, 0 K)."""
    from softlyte.datasets.tables import load_table

    volumes: dict[str, float] = {}
    for name in VOLUME_TABLES:
        table = load_table(name, drop_flagged=True)
        volumes |= dict(zip(table["formula"], table["volume_a3_atom"], strict=True))
    return volumes


def volume_a3(formula: str, densities: Mapping[str, float] | None = None) -> float | None:
    """Return the volume of one formula unit of a solid in cubic angstrom, None if it is not known.

    Args:
        formula: as in a reaction.
        densities: g/cm3 by formula that go before the tables, for phases that only a prediction knows.
    """
    composition = Composition(formula)
    if densities is not None and formula in densities:
        return float(composition.weight) / densities[formula] * A3_PER_CM3_MOL
    if composition.is_element:
        # pymatgen's molar volumes are those of the element's stable form near room temperature.
        molar = Element(composition.elements[0].symbol).molar_volume
        return None if molar is None else float(molar) * A3_PER_CM3_MOL * composition.num_atoms
    name = Compositions.from_formulas([formula]).formulas()[0]
    per_atom = _known_volumes().get(name)
    return None if per_atom is None else per_atom * composition.num_atoms


def mixed_density(formula: str, end_members: Mapping[str, float]) -> dict[str, float]:
    """Return the density of a solid solution by Vegard's law, for the `densities` of `volume_a3`.

    Args:
        formula: of the solid solution.
        end_members: formula units of each end member in one formula unit of it.

    Returns:
        Formula to g/cm3; nothing where the tables know the solution itself, or not all end members.
    """
    volumes = {name: volume_a3(name) for name in end_members}
    if not end_members or volume_a3(formula) is not None or None in volumes.values():
        return {}
    total = sum(n * (volumes[name] or 0.0) for name, n in end_members.items())
    return {formula: float(Composition(formula).weight) / total * A3_PER_CM3_MOL}


def volume_change(reaction: Reaction, densities: Mapping[str, float] | None = None) -> VolumeChange:
    """Return how much more room the solid products take than the solid reactants.

    Args:
        reaction: balanced.
        densities: see `volume_a3`.
    """
    unknown: list[str] = []
    totals = []
    for side in (reaction.reactants, reaction.products):
        total = 0.0
        for formula, amount in side.items():
            if formula in GASES:
                continue
            volume = volume_a3(formula, densities)
            if volume is None:
                unknown.append(formula)
            else:
                total += amount * volume
        totals.append(total)
    gases = tuple(f for f in reaction.products if f in GASES)
    known = not unknown and totals[0] > 0
    return VolumeChange(totals[1] / totals[0] - 1.0 if known else float("nan"), tuple(unknown), gases)
