"""The hull of one potential: competing phases, all relaxed with it, and what they are measured from.

Which phases compete is read off the shipped DFT decomposition energies. Their energies come, in this order,
from the shipped table of the potential's energies, from the cache, or from relaxing a structure: the user's,
an element's, or a substituted one. Halogens and oxygen are anchored to measured formation enthalpies of
alkali salts, since a potential's molecules are worse than its solids; metals are the potential's own.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition, Structure

from softlyte.datasets.enthalpies import load_experimental_enthalpies
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table, table_names
from softlyte.datasets.writing import write_bytes
from softlyte.featurize.hull_cache import cache_folder
from softlyte.featurize.phase_diagram import HullStore
from softlyte.screening.crystals.generate import plain_structure, salts_of
from softlyte.screening.physics.examine import has_energy
from softlyte.screening.physics.potentials import Potential

TABLE = "potential_references"
NEAR_HULL_EV_ATOM = 0.03
"""Phases this close to the DFT hull are asked for: a potential places them differently by about as much."""
ANCHORS = {
    "F": ("LiF", "NaF"),
    "Cl": ("LiCl", "NaCl"),
    "Br": ("LiBr", "NaBr"),
    "I": ("LiI", "NaI"),
    "O": ("Li2O", "Na2O"),
}
"""Salts whose measured formation enthalpies fix the energy of a non-metal."""
STRUCTURES_OF_A_PHASE = 2
FORMAT = "1"


@dataclass(frozen=True)
class Wanted:
    """A structure of a competing phase whose energy is not known yet.

    Attributes:
        key: unique, of structure and phase.
        formula: in normal form.
        structure: ordered.
    """

    key: str
    formula: str
    structure: Structure


@dataclass(frozen=True)
class PotentialHull:
    """Formation energies of competing phases by one potential.

    Attributes:
        potential: name.
        energies: eV/atom of the potential by formula, elements included, the lowest of each.
        missing: formulas that compete but have no energy.
    """

    potential: str
    energies: Mapping[str, float]
    missing: tuple[str, ...]

    def chemical_potentials(self) -> dict[str, float]:
        """Return the energy of each element in eV/atom: metals their own, non-metals anchored to salts."""
        measured = _measured()
        found = {
            name: energy for name, energy in self.energies.items() if len(Composition(name).elements) == 1
        }
        levels = {next(iter(Composition(n).elements)).symbol: e for n, e in found.items()}
        for element, salts in ANCHORS.items():
            values = []
            for salt in salts:
                composition = Composition(salt)
                metal = next(el.symbol for el in composition.elements if el.symbol != element)
                name = normal(salt)
                if name in self.energies and metal in levels and name in measured:
                    total = (self.energies[name] - measured[name]) * composition.num_atoms
                    values.append((total - levels[metal] * composition[metal]) / composition[element])
            if values:
                levels[element] = float(np.mean(values))
            else:
                levels.pop(element, None)
        return levels

    def formation_energy(self, formula: str, energy_ev_atom: float) -> float:
        """Return a formation energy in eV/atom from the potential's energy; NaN if an element has none."""
        levels, composition = self.chemical_potentials(), Composition(formula)
        shares = {el.symbol: amount / composition.num_atoms for el, amount in composition.items()}
        if not shares.keys() <= levels.keys():
            return float("nan")
        return energy_ev_atom - sum(share * levels[symbol] for symbol, share in shares.items())

    def store(self, further: Mapping[str, float]) -> HullStore:
        """Return the hull of the competing phases and further ones, energies of the potential by formula."""
        lowest = dict(self.energies)
        for name, energy in further.items():
            lowest[name] = min(energy, lowest.get(name, np.inf))
        levels = self.chemical_potentials()
        rows = [
            (name, self.formation_energy(name, energy))
            for name, energy in lowest.items()
            if len(Composition(name).elements) > 1
            and {el.symbol for el in Composition(name).elements} <= levels.keys()
        ]
        compositions = Compositions.from_formulas([name for name, _ in rows])
        values = np.array([energy for _, energy in rows])
        # Kept in memory: the energies are this run's own.
        return HullStore(compositions, values, f"phases relaxed with {self.potential}", "R2SCAN")


def normal(formula: str) -> str:
    """Return a formula in normal form."""
    return Compositions.from_formulas([formula]).formulas()[0]


@lru_cache(maxsize=1)
def _measured() -> dict[str, float]:
    table = load_experimental_enthalpies()
    return dict(zip(table["formula"], table["formation_enthalpy_ev_atom"], strict=True))


@lru_cache(maxsize=1)
def _near_dft_hull() -> tuple[tuple[str, frozenset[str]], ...]:
    table = load_table("decomposition_energy", drop_flagged=True)
    near = table[table["decomposition_energy_ev_atom"] <= NEAR_HULL_EV_ATOM]["formula"]
    return tuple((f, frozenset(el.symbol for el in Composition(f).elements)) for f in near)


def competing_formulas(elements: Iterable[str]) -> tuple[str, ...]:
    """Return the formulas that a hull of these elements needs, in normal form, sorted.

    Elements, salts that anchor its non-metals, and everything near the DFT hull.
    """
    wanted = set(elements)
    anchors = {salt for element in wanted & ANCHORS.keys() for salt in ANCHORS[element]}
    metals = {el.symbol for salt in anchors for el in Composition(salt).elements} - ANCHORS.keys()
    found = {f for f, system in _near_dft_hull() if system <= wanted}
    found |= {normal(salt) for salt in anchors} | ((wanted | metals) - ANCHORS.keys())
    return tuple(sorted(found))


class References:
    """Where the energies of competing phases come from, for one potential.

    Args:
        potential: whose energies.
        own: the user's structures of phases.
    """

    def __init__(self, potential: Potential, own: Sequence[Structure] = ()) -> None:
        self.potential = potential
        self._checksum = potential.checksum()
        self._own: dict[str, list[Structure]] = defaultdict(list)
        for structure in own:
            self._own[normal(structure.composition.reduced_formula)].append(structure)
        self._shipped = _shipped_energies(self._checksum)
        self._relaxed: dict[str, float] = {}

    def wanted(self, formulas: Iterable[str]) -> list[Wanted]:
        """Return structures to relax for the phases whose energy is neither shipped nor in the cache.

        Own structures are always relaxed: they may be lower than the shipped ones.
        """
        found: list[Wanted] = []
        for formula in formulas:
            structures = list(self._own.get(formula, []))
            if not structures and formula not in self._shipped:
                structures = list(_structures_of(formula))
            for structure in structures:
                key = self._key(structure)
                energy = self._cached(key)
                if energy is None:
                    found.append(Wanted(f"phase-{formula}-{key[:12]}", formula, structure))
                else:
                    self._take(formula, energy)
        return found

    def add(self, wanted: Wanted, record: Mapping[str, Any]) -> None:
        """Take the record of a relaxed phase; one without a sound energy is left out."""
        if not has_energy(record):
            return
        energy = float(record["energy_ev_atom"])
        self._take(wanted.formula, energy)
        folder = self._folder()
        if folder is not None:
            path = folder / f"{self._key(wanted.structure)}.json"
            if not path.exists():
                write_bytes(path, (json.dumps({"energy_ev_atom": energy}) + "\n").encode())

    def hull(self, formulas: Iterable[str]) -> PotentialHull:
        """Return the hull of these phases as far as their energies are known."""
        energies, missing = {}, []
        for formula in formulas:
            known = [e[formula] for e in (self._shipped, self._relaxed) if formula in e]
            if known:
                energies[formula] = min(known)
            elif formula not in ANCHORS:
                missing.append(formula)
        return PotentialHull(self.potential.name, energies, tuple(missing))

    def _take(self, formula: str, energy: float) -> None:
        self._relaxed[formula] = min(energy, self._relaxed.get(formula, np.inf))

    def _key(self, structure: Structure) -> str:
        return hashlib.sha256(json.dumps(plain_structure(structure)).encode()).hexdigest()

    def _folder(self) -> Path | None:
        base = cache_folder()
        return None if base is None else base / "potentials" / f"{FORMAT}-{self._checksum}"

    def _cached(self, key: str) -> float | None:
        folder = self._folder()
        path = None if folder is None else folder / f"{key}.json"
        if path is None or not path.exists():
            return None
        try:
            return float(json.loads(path.read_text(encoding="utf-8"))["energy_ev_atom"])
        except (ValueError, KeyError, TypeError):
            return None  # a damaged entry is computed again


def _shipped_energies(checksum: str) -> dict[str, float]:
    """Return the shipped energies of a potential's weights by formula, eV/atom."""
    if TABLE not in table_names():
        return {}
    table = load_table(TABLE, drop_flagged=True)
    rows = table[table["weights"] == checksum]
    return dict(zip(rows["formula"], rows["energy_ev_atom"], strict=True))


@lru_cache(maxsize=4096)
def _structures_of(formula: str) -> tuple[Structure, ...]:
    """Return structures that a phase may have: an element's, or salts by substitution; empty if none."""
    if len(Composition(formula).elements) == 1:
        found = _element_structures().get(Composition(formula).elements[0].symbol)
        return () if found is None else (found,)
    return tuple(c.structure for c in salts_of(formula, STRUCTURES_OF_A_PHASE))


@lru_cache(maxsize=1)
def _element_structures() -> dict[str, Structure]:
    """Return the elements' structures that come with matcalc (MatPES, doi 10.48550/arXiv.2503.04070)."""
    folder = Path(str(importlib.util.find_spec("matcalc").origin)).parent  # type: ignore[union-attr]
    path = folder / "elemental_refs" / "MatPES-r2SCAN-Element-Refs.json.gz"
    entries = json.loads(gzip.decompress(path.read_bytes()))
    return {symbol: Structure.from_dict(entry["structure"]) for symbol, entry in entries.items()}
