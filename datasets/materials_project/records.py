"""Documents of the Materials Project become rows, in the units and names of Softlyte's columns."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pymatgen.core import Structure

from softlyte.datasets.formulas import Compositions, FormulaError, chemical_systems, normalise_formula
from softlyte.datasets.materials_project.query import FUNCTIONALS

Document = Mapping[str, Any]

FIELDS: dict[str, tuple[str, ...]] = {
    "summary": (
        "material_id",
        "formula_pretty",
        "chemsys",
        "structure",
        "symmetry",
        "nsites",
        "theoretical",
        "energy_above_hull",
        "has_props",
        "deprecated",
        "builder_meta",
        "last_updated",
    ),
    "thermo": (
        "material_id",
        "formula_pretty",
        "chemsys",
        "thermo_type",
        "energy_type",
        "formation_energy_per_atom",
        "energy_above_hull",
        "entries",
        "deprecated",
        "builder_meta",
        "last_updated",
    ),
    "elasticity": (
        "material_id",
        "formula_pretty",
        "chemsys",
        "structure",
        "bulk_modulus",
        "shear_modulus",
        "universal_anisotropy",
        "state",
        "warnings",
        "deprecated",
        "builder_meta",
        "last_updated",
    ),
}
"""What is asked for of each kind of document."""

_FIDELITY = {"PBE": "dft_pbe_crystal", "R2SCAN": "dft_r2scan_crystal"}
"""Fidelity of formation energies; training knows the former alone and refuses the other."""


_SHARED = {
    "mp_id": "Material id; its page is https://materialsproject.org/materials/ID.",
    "formula": "Reduced composition, elements in electronegativity order.",
    "chemical_system": "Elements in alphabetical order.",
}
_LAST = {
    "cif": "The crystal as CIF text, without symmetry.",
    "last_updated": "Day on which the Materials Project last changed the document.",
}
STRUCTURES = {
    **_SHARED,
    "sites": "Atoms of the cell.",
    "space_group": "Symbol of the space group.",
    "theoretical": "True if no experimental structure is known to match.",
    "e_above_hull_ev_atom": "Above the Materials Project's own hull, which mixes functionals, eV/atom.",
    **_LAST,
}
THERMO = {
    **_SHARED,
    "functional": "Of the energies: PBE (with GGA+U mixed in and corrected) or R2SCAN.",
    "fidelity": "What kind of computation the numbers come from.",
    "formation_energy_ev_atom": "Formation energy with the Materials Project's corrections, eV/atom.",
    "e_above_hull_ev_atom": "Above the hull of this functional, eV/atom.",
    **_LAST,
}
ELASTICITY = {
    **_SHARED,
    "k_vrh_gpa": "Voigt-Reuss-Hill average of the bulk modulus, GPa.",
    "g_vrh_gpa": "Voigt-Reuss-Hill average of the shear modulus, GPa.",
    "youngs_modulus_gpa": "9KG/(3K+G) from these averages, GPa.",
    "k_voigt_gpa": "Voigt average of the bulk modulus, GPa.",
    "k_reuss_gpa": "Reuss average of the bulk modulus, GPa.",
    "g_voigt_gpa": "Voigt average of the shear modulus, GPa.",
    "g_reuss_gpa": "Reuss average of the shear modulus, GPa.",
    "universal_anisotropy": "Universal elastic anisotropy, 0 for an isotropic crystal.",
    "fidelity": "What kind of computation the numbers come from.",
    "cautions": "What the Materials Project warns about in this tensor.",
    **_LAST,
}
CANDIDATES = {
    "formula": "Reduced composition, elements in electronegativity order.",
    "phase": "crystal.",
    "mp_id": "Material id of the most stable crystal of this formula.",
    "space_group": "Symbol of its space group.",
    "e_above_hull_ev_atom": "Above the Materials Project's own hull, which mixes functionals, eV/atom.",
}
"""Columns of the tables and what they mean; units stand in the names and the meanings."""


class _LeftOut(Exception):
    """A document that makes no row; its text is the reason."""


@dataclass
class Rows:
    """A table and what did not make it.

    Attributes:
        frame: rows in the order of their ids.
        left_out: number of documents left out, by reason.
    """

    frame: pd.DataFrame
    left_out: Counter[str] = field(default_factory=Counter)


def structure_rows(documents: Sequence[Document]) -> Rows:
    """Return one row for each summary document: structure, space group, energy above the hull."""

    def row(document: Document) -> dict[str, Any]:
        symmetry = document.get("symmetry") or {}
        return {
            "sites": int(document.get("nsites") or 0),
            "space_group": str(symmetry.get("symbol") or ""),
            "theoretical": bool(document.get("theoretical")),
            "e_above_hull_ev_atom": _number(document.get("energy_above_hull")),
            "cif": _cif(document.get("structure")),
        }

    return _rows(documents, row, STRUCTURES)


def thermo_rows(documents: Sequence[Document], functional: str) -> Rows:
    """Return one row for each thermo document: formation energy and the structure that has it."""

    def row(document: Document) -> dict[str, Any]:
        # The server's filter lets nothing else through; a hull of two functionals would be worthless.
        if str(document.get("thermo_type")).upper() != FUNCTIONALS[functional]:
            raise _LeftOut("another functional")
        energy = _number(document.get("formation_energy_per_atom"))
        if energy != energy:
            raise _LeftOut("no formation energy")
        entries = document.get("entries") or {}
        entry = entries.get(document.get("energy_type")) or next(iter(entries.values()), None)
        structure = entry.get("structure") if isinstance(entry, Mapping) else None
        return {
            "functional": functional,
            "fidelity": _FIDELITY[functional],
            "formation_energy_ev_atom": energy,
            "e_above_hull_ev_atom": _number(document.get("energy_above_hull")),
            "cif": "" if structure is None else _cif(structure),
        }

    return _rows(documents, row, THERMO)


def elasticity_rows(documents: Sequence[Document]) -> Rows:
    """Return one row for each elasticity document: moduli and the structure that was strained."""

    def row(document: Document) -> dict[str, Any]:
        bulk, shear = document.get("bulk_modulus") or {}, document.get("shear_modulus") or {}
        k, g = _number(bulk.get("vrh")), _number(shear.get("vrh"))
        if document.get("state") == "failed":
            raise _LeftOut("the elastic tensor could not be fitted")
        if k != k or g != g:
            raise _LeftOut("no moduli")
        # Not the document's own Young's modulus: it comes from pymatgen's y_mod, whose unit is another one.
        soft = 3 * k + g
        return {
            "k_vrh_gpa": k,
            "g_vrh_gpa": g,
            "youngs_modulus_gpa": 9 * k * g / soft if soft > 0 else float("nan"),
            "k_voigt_gpa": _number(bulk.get("voigt")),
            "k_reuss_gpa": _number(bulk.get("reuss")),
            "g_voigt_gpa": _number(shear.get("voigt")),
            "g_reuss_gpa": _number(shear.get("reuss")),
            "universal_anisotropy": _number(document.get("universal_anisotropy")),
            "fidelity": _FIDELITY["PBE"],
            "cautions": " ".join(str(text) for text in document.get("warnings") or ()),
            "cif": _cif(document.get("structure")),
        }

    return _rows(documents, row, ELASTICITY)


def candidate_rows(structures: pd.DataFrame) -> Rows:
    """Return formulas to screen: compounds with Li or Na, each with the id of its most stable crystal."""
    left_out: Counter[str] = Counter()
    compositions = Compositions.from_formulas(structures["formula"])
    ion = (compositions.amount_of("Li") > 0) | (compositions.amount_of("Na") > 0)
    compound = (compositions.atomic_numbers > 0).sum(axis=1) > 1
    usable = structures[ion & compound]
    left_out["no compound of Li or Na"] += len(structures) - len(usable)
    ordered = usable.sort_values("e_above_hull_ev_atom", kind="stable", na_position="last")
    kept = ordered.drop_duplicates("formula").sort_index()
    left_out["a more stable crystal has the formula"] += len(usable) - len(kept)
    frame = kept[["formula", "mp_id", "space_group", "e_above_hull_ev_atom"]].copy()
    frame.insert(1, "phase", "crystal")
    return Rows(frame.reset_index(drop=True), +left_out)


def _rows(
    documents: Sequence[Document], make: Callable[[Document], dict[str, Any]], columns: Mapping[str, str]
) -> Rows:
    """Return the table of what `make` returns, with the columns that all tables share."""
    rows, left_out = [], Counter[str]()
    for document in sorted(documents, key=lambda d: _natural(str(d.get("material_id")))):
        try:
            if (document.get("builder_meta") or {}).get("license") == "BY-NC":
                raise _LeftOut("licence CC BY-NC")
            if document.get("deprecated"):
                raise _LeftOut("deprecated by the Materials Project")
            made = make(document)
            formula = normalise_formula(str(document.get("formula_pretty")))
        except FormulaError:
            left_out["no readable formula"] += 1
        except _LeftOut as reason:
            left_out[str(reason)] += 1
        else:
            shared = {"mp_id": str(document["material_id"]), "formula": formula}
            rows.append(shared | made | {"last_updated": _date(document.get("last_updated"))})
    frame = pd.DataFrame(rows, columns=[name for name in columns if name != "chemical_system"])
    systems = chemical_systems(Compositions.from_formulas(frame["formula"])) if rows else []
    frame.insert(2, "chemical_system", pd.Series(systems, dtype=object))
    return Rows(frame[list(columns)], left_out)


def _cif(structure: Any) -> str:
    """Return a structure of a document as CIF; raises _LeftOut."""
    if not structure:
        raise _LeftOut("no structure")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CIF is asked for in P1: no symmetry is looked for
            return str(Structure.from_dict(dict(structure)).to(fmt="cif"))
    except Exception:  # pymatgen raises whatever a malformed structure leads to
        raise _LeftOut("unreadable structure") from None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _date(value: Any) -> str:
    """Return the day of a time stamp, which is text or MongoDB's {"$date": text}."""
    if isinstance(value, Mapping):
        value = value.get("$date")
    return str(value or "")[:10]


def _natural(name: str) -> tuple[str, int, str]:
    """Sort mp-2 before mp-10."""
    prefix, _, rest = name.partition("-")
    return prefix, int(rest) if rest.isdigit() else 0, rest
