"""Candidates as crystals, from a space or for given compositions, and the files they are kept in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pymatgen.core import Composition, Species, Structure

from softlyte.datasets.documents import read_json
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.crystal_files import CrystalFailure
from softlyte.screening.crystals.ordering import OrderingError, charge_of, oxidation_states
from softlyte.screening.crystals.parents import Parent, parents_from_files, shipped_parents
from softlyte.screening.crystals.substitution import (
    PER_FORMULA,
    THRESHOLD,
    Crystal,
    Palette,
    Substituted,
    substitute,
)
from softlyte.screening.export import atomic_text, check_free, check_writable, write_csv
from softlyte.screening.space import load_space

CRYSTALS_FILE, SUMMARY_FILE, CIF_FOLDER = "crystals.jsonl", "crystals.csv", "cif"

Progress = Callable[[str, int, int], None]

SALT_THRESHOLD = 1e-5
"""Least likelihood of a competing phase: it exists, and its likeliest structure is wanted whatever it is."""


@dataclass(frozen=True)
class CrystalSpace:
    """Crystals of a space.

    Attributes:
        crystals: by formula, then by likelihood.
        left_out: number of substitutions left out, by reason.
        failures: parents that could not be used.
    """

    crystals: tuple[Crystal, ...]
    left_out: dict[str, int]
    failures: tuple[CrystalFailure, ...]

    def table(self) -> pd.DataFrame:
        """Return one row for each crystal: name, formula, parent, likelihood, sites, volume."""
        return pd.DataFrame(
            {
                "name": [c.name for c in self.crystals],
                "formula": [c.formula for c in self.crystals],
                "parent": [c.parent for c in self.crystals],
                "substitution_likelihood": [c.likelihood for c in self.crystals],
                "sites": [len(c.structure) for c in self.crystals],
                "volume_a3": [c.structure.volume for c in self.crystals],
            }
        )


def enumerate_crystals(
    space: Path | str | None = None,
    parents: Iterable[Path | str] = (),
    threshold: float = THRESHOLD,
    per_formula: int | None = PER_FORMULA,
    formulas: Sequence[str] | None = None,
    shipped: bool = True,
    progress: Progress | None = None,
) -> CrystalSpace:
    """Return the crystals that the species of a space form on the sites of the parents.

    Args:
        space: TOML file or shipped name, whose ions are used; None for the shipped default.
        parents: files of own parents (CIF, POSCAR, pymatgen JSON), beside the shipped ones.
        threshold: least likelihood of a substitution, 0 to 1.
        per_formula: likeliest structures of each composition; None for all.
        formulas: only these compositions; None for all.
        shipped: False leaves the shipped parents out.
        progress: called with a name, done and total.

    Raises:
        UserError: a threshold outside 0..1, a formula that cannot be read, or no usable parent.
    """
    if not 0.0 < threshold <= 1.0:
        raise UserError(
            f"the threshold {threshold:g} is not between 0 and 1; give a likelihood such as 0.003"
        )
    palette = Palette.of_space(load_space(space))
    wanted = None if formulas is None else [_reduced(formula) for formula in formulas]
    own = parents_from_files(parents)
    given = shipped_parents() if shipped else None
    everyone = (*own.parents, *(given.parents if given else ()))
    if not everyone:
        reasons = "; ".join(f"{f.name}: {f.reason}" for f in own.failures) or "none was given"
        raise UserError(f"there is no usable parent ({reasons}); give ordered ionic crystals")
    found = _substituted(everyone, palette, threshold, per_formula, wanted, progress)
    return CrystalSpace(found.crystals, dict(found.left_out), own.failures)


def crystals_of(formula: str, per_formula: int | None = PER_FORMULA) -> tuple[Crystal, ...]:
    """Return the likeliest crystals of one composition from the shipped parents; empty if there is none.

    Raises UserError for a formula that cannot be read.
    """
    reduced = _reduced(formula)
    palette = Palette.of_space(load_space())
    return _substituted(shipped_parents().parents, palette, THRESHOLD, per_formula, [reduced], None).crystals


def salts_of(formula: str, per_formula: int | None = PER_FORMULA) -> tuple[Crystal, ...]:
    """Return the likeliest crystals of any salt, with or without a mobile ion, from the shipped parents.

    Its ions are those of pymatgen's likeliest neutral oxidation states; empty if there are none.
    """
    composition = Composition(_reduced(formula))
    try:
        states = oxidation_states(composition)
    except OrderingError:
        return ()
    ions = tuple(Species(symbol, charge) for symbol, charge in states.items())
    palette = Palette(
        (), tuple(s for s in ions if charge_of(s) > 0), tuple(s for s in ions if charge_of(s) < 0)
    )
    found = substitute(
        shipped_parents().parents,
        palette,
        SALT_THRESHOLD,
        per_formula,
        composition.reduced_formula,
        electrolyte=False,
    )
    return found.crystals


def _substituted(
    parents: Sequence[Parent],
    palette: Palette,
    threshold: float,
    per_formula: int | None,
    wanted: Sequence[str] | None,
    progress: Progress | None,
) -> Substituted:
    if wanted is None:
        return substitute(parents, palette, threshold, per_formula, None, progress)
    found: list[Crystal] = []
    left_out = Counter[str]()
    for formula in dict.fromkeys(wanted):
        only = palette.only(el.symbol for el in Composition(formula).elements)
        part = substitute(parents, only, threshold, per_formula, formula, progress)
        found += part.crystals
        left_out += part.left_out
    return Substituted(tuple(found), left_out)


def _reduced(formula: str) -> str:
    return str(Composition(Compositions.from_formulas([formula]).formulas()[0]).reduced_formula)


def write_crystals(found: CrystalSpace, folder: Path, cif: bool = False, overwrite: bool = False) -> None:
    """Write crystals.jsonl (structures), crystals.csv (summary) and, if wanted, a CIF for each.

    Raises OutputError if the folder cannot be written or holds crystals already (unless `overwrite`).
    """
    check_writable(folder)
    if not overwrite:
        check_free(folder / CRYSTALS_FILE)
    with atomic_text(folder / CRYSTALS_FILE) as handle:
        for crystal in found.crystals:
            handle.write(json.dumps(crystal_record(crystal)) + "\n")
    write_csv(folder / SUMMARY_FILE, found.table())
    if cif:
        (folder / CIF_FOLDER).mkdir(exist_ok=True)
        for crystal in found.crystals:
            text = str(crystal.structure.to(fmt="cif"))
            with atomic_text(folder / CIF_FOLDER / f"{crystal.name}.cif") as handle:
                handle.write(text)


def crystal_record(crystal: Crystal) -> dict[str, object]:
    """Return a crystal as JSON types; `structure` is pymatgen's."""
    return {
        "name": crystal.name,
        "formula": crystal.formula,
        "parent": crystal.parent,
        "substitution_likelihood": round(crystal.likelihood, 8),
        "structure": plain_structure(crystal.structure),
    }


def plain_structure(structure: Structure) -> dict[str, object]:
    """Return pymatgen's dictionary of a structure without what is derived, numbers to 1e-6."""
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "lattice": {"matrix": structure.lattice.matrix.round(6).tolist()},
        "sites": [
            {
                "species": [{"element": site.specie.symbol, "occu": 1}],
                "abc": site.frac_coords.round(6).tolist(),
            }
            for site in structure
        ],
    }


def read_crystals(path: Path) -> list[Crystal]:
    """Read crystals.jsonl; raises UserError naming the line that cannot be read."""
    crystals = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); give the crystals.jsonl of a run") from error
    for number, line in enumerate(lines, start=1):
        try:
            record = read_json(line)
            structure = Structure.from_dict(record["structure"])
            crystals.append(
                Crystal(
                    str(record["name"]),
                    str(record["formula"]),
                    str(record["parent"]),
                    float(record["substitution_likelihood"]),
                    structure,
                )
            )
        except Exception as error:  # pymatgen raises many unrelated types over broken structures
            raise UserError(f"{path}, line {number}: no crystal ({error}); write it anew") from error
    return crystals
