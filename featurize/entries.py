"""Formation energies from a user's own file or from the Materials Project, one functional at a time.

Two kinds of file are read: CSV or Parquet with formation energies (thermo.parquet of `softlyte data fetch-mp`
is one), and JSON with pymatgen entries (total energies), as `mp_api`, `pymatgen` and `emmet` write them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow import ArrowException

from softlyte.datasets.documents import DocumentError, read_json
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, FormulaError, symbols
from softlyte.featurize.functionals import FunctionalError, functional_of
from softlyte.featurize.phase_diagram import HullStore

Array = NDArray[np.float64]

CSV_COLUMNS = ("formula", "formation_energy_ev_atom", "functional")
"""Columns that a CSV or Parquet file of entries needs; others are ignored."""

LARGEST = 1e6
"""A number of eV or of atoms beyond this is a slip."""

LOWEST_EV_ATOM, HIGHEST_EV_ATOM = -6.0, 5.0
"""eV/atom; no solid is bound more strongly than -5 (fluorides of f elements): more is another unit."""


class EntriesError(UserError):
    """A file of entries that cannot be used; the message names the row and the remedy."""


@dataclass(frozen=True)
class PhaseEntries:
    """Phases with formation energies of one functional.

    Attributes:
        compositions: [M].
        energies: [M] eV/atom, elements at 0.
        functional: one of `functionals.FUNCTIONALS`.
        name: what messages call them.
    """

    compositions: Compositions
    energies: Array
    functional: str
    name: str

    def store(self, cached: bool = True) -> HullStore:
        """Return a hull store of these phases alone."""
        nothing = HullStore(Compositions.from_formulas([]), np.zeros(0), "", self.functional)
        return self.added_to(nothing, cached)

    def added_to(self, store: HullStore, cached: bool = True) -> HullStore:
        """Return the store with these phases besides; raises FunctionalError for another functional."""
        return store.extended(self.compositions, self.energies, self.functional, self.name, cached)


def read_entries(path: Path | str) -> PhaseEntries:
    """Read a file of entries: `.json` holds pymatgen entries, `.parquet` and anything else (CSV) CSV_COLUMNS.

    Raises:
        EntriesError: no such file, or a row that cannot be used (its number, value and the remedy).
        FunctionalError: the file mixes functionals, or names an unknown one.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return _from_parquet(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise EntriesError(f"there is no file {path}; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise EntriesError(f"the file {path} cannot be read as text ({error}); give CSV or JSON") from error
    if path.suffix.lower() != ".json":
        return _from_csv(text, path.name)
    try:
        content = read_json(text)
    except DocumentError as error:
        raise EntriesError(f"the file {path} is not valid JSON ({error}); write it again") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise EntriesError(f"the file {path} holds no list of entries; write [entry.as_dict(), ...]")
    return entries_from_total_energies(content, path.name)


def _from_csv(text: str, name: str) -> PhaseEntries:
    try:
        table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise EntriesError(f"the file {name} is not valid CSV ({error}); check it") from error
    return _from_table(table, name, first=2)


def _from_parquet(path: Path) -> PhaseEntries:
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise EntriesError(f"there is no file {path}; check the path") from None
    except (OSError, ArrowException) as error:
        raise EntriesError(f"the file {path} is no readable Parquet file ({error}); copy it again") from error
    return _from_table(table, path.name, first=1)


def _from_table(table: pd.DataFrame, name: str, first: int) -> PhaseEntries:
    """Check a table with CSV_COLUMNS; `first` is the number of its first row in messages."""
    missing = [column for column in CSV_COLUMNS if column not in table]
    if missing:
        raise EntriesError(
            f"the file {name} has no column {', '.join(missing)}; it needs {', '.join(CSV_COLUMNS)}"
        )
    if table.empty:
        raise EntriesError(f"the file {name} has a header but no rows; add at least one phase")
    energies = np.zeros(len(table))
    for row, cell in enumerate(table["formation_energy_ev_atom"]):
        try:
            energies[row] = float(cell)
        except (TypeError, ValueError):
            energies[row] = np.nan
        if not LOWEST_EV_ATOM <= energies[row] <= HIGHEST_EV_ATOM:
            raise EntriesError(
                f"{name}, row {row + first}: the formation energy {cell!r} is no number of eV/atom between "
                f"{LOWEST_EV_ATOM:g} and {HIGHEST_EV_ATOM:g}; give eV per atom, elements at 0"
            )
    functional = _one_functional(table["functional"], name)
    return PhaseEntries(_parse(table["formula"].tolist(), name), energies, functional, name)


def entries_from_total_energies(entries: Sequence[Mapping[str, Any]], name: str) -> PhaseEntries:
    """Return formation energies from total energies, against the lowest entry of each element among them.

    Args:
        entries: dictionaries of pymatgen's ComputedEntry or ComputedStructureEntry: composition, energy and
            energy_adjustments or correction in eV, parameters.run_type.
        name: what messages call them.

    Raises:
        EntriesError: an entry lacks something, or an element has no entry of its own to refer to.
        FunctionalError: run types of more than one functional, or an unknown one.
    """
    if not entries:
        raise EntriesError(f"{name} holds no entries; give at least one and its elements")
    formulas, totals, kinds = [], np.zeros(len(entries)), []
    for number, entry in enumerate(entries):
        formula, totals[number] = _total_energy(entry, f"{name}, entry {number + 1}")
        formulas.append(formula)
        parameters = entry.get("parameters") or {}
        parameters = parameters if isinstance(parameters, dict) else {}
        kinds.append(str(parameters.get("run_type") or parameters.get("functional") or ""))
    functional = _one_functional(kinds, name)
    compositions = _parse(formulas, name)
    atoms = compositions.amounts.sum(axis=1)
    per_atom = totals / atoms
    count = (compositions.atomic_numbers > 0).sum(axis=1)
    reference = np.full(256, np.nan)
    reference[0] = 0.0
    for row in np.flatnonzero(count == 1):
        z = compositions.atomic_numbers[row].max()
        reference[z] = np.fmin(reference[z], per_atom[row])
    lacking = np.unique(compositions.atomic_numbers[np.isnan(reference[compositions.atomic_numbers])])
    if len(lacking):
        names = ", ".join(symbols()[z] for z in lacking)
        raise EntriesError(f"{name} holds no entry of the element {names}; add it, of the same functional")
    energies = per_atom - (compositions.amounts * reference[compositions.atomic_numbers]).sum(axis=1) / atoms
    return PhaseEntries(compositions, energies, functional, name)


def _total_energy(entry: Mapping[str, Any], place: str) -> tuple[str, float]:
    """Return formula and corrected energy in eV of one entry."""
    composition, energy = entry.get("composition"), entry.get("energy")
    if not isinstance(composition, dict) or not all(map(_is_number, (energy, *composition.values()))):
        raise EntriesError(f"{place}: no composition or no energy; write ComputedEntry.as_dict()")
    correction = entry.get("correction")
    if not _is_number(correction):
        adjustments = entry.get("energy_adjustments") or []
        if not isinstance(adjustments, list):
            raise EntriesError(f"{place}: its energy adjustments are no list; write ComputedEntry.as_dict()")
        correction = sum(_adjustment(a, place) for a in adjustments)
    formula = "".join(f"{element}{amount:g}" for element, amount in composition.items())
    assert _is_number(energy)  # noqa: S101 - looked at above
    return formula, float(energy) + float(correction)


def _adjustment(adjustment: Mapping[str, Any], place: str) -> float:
    """Return one correction of an entry in eV, as pymatgen's EnergyAdjustment classes count it."""
    known = adjustment if isinstance(adjustment, dict) else {}
    if _is_number(known.get("value")):
        return float(known["value"])
    if _is_number(known.get("adj_per_atom")) and _is_number(known.get("n_atoms")):
        return float(known["adj_per_atom"]) * float(known["n_atoms"])
    kind = known.get("@class", "without a class")
    raise EntriesError(
        f"{place}: an energy adjustment {kind} that is not understood; give corrected energies"
    )


def _is_number(value: object) -> TypeGuard[float]:
    """Tell whether a JSON value is a number that an energy in eV or an amount can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _one_functional(names: Iterable[str], place: str) -> str:
    counts: Counter[str] = Counter()
    for number, name in enumerate(names):
        if not str(name).strip():
            raise EntriesError(f"{place}, entry {number + 1}: no functional; say which, for example PBE")
        counts[functional_of(str(name))] += 1
    if len(counts) > 1:
        found = ", ".join(f"{kind} ({count})" for kind, count in counts.most_common())
        raise FunctionalError(
            f"{place} mixes functionals: {found}; energies of two functionals cannot share a hull, keep one"
        )
    return next(iter(counts))


def _parse(formulas: list[str], place: str) -> Compositions:
    try:
        return Compositions.from_formulas(formulas)
    except FormulaError as error:
        raise EntriesError(f"{place}: {error}") from error


def fetch_entries(elements: Iterable[str], functional: str = "PBE") -> PhaseEntries:
    """Return the Materials Project's energies of one chemical system; needs network and the extra `mp`.

    The key is read from $MP_API_KEY. `softlyte.datasets.materials_project.fetch` keeps what is fetched.

    Args:
        elements: symbols; all of their subsystems come too.
        functional: "PBE" (GGA and GGA+U, mixed and corrected by the Materials Project) or "R2SCAN".

    Raises:
        FunctionalError: the functional is unknown.
        UserError: the Materials Project does not serve it unmixed, mp-api is not installed, the key is
            missing or refused, or the server does not answer.
    """
    from softlyte.datasets.materials_project import fetch, load_fetched

    kind = functional_of(functional)
    system = "-".join(sorted(set(elements)))
    with TemporaryDirectory(prefix="softlyte-") as folder:
        fetch([system], folder, tables=("thermo",), functional=kind)
        table = load_fetched(folder, "thermo")
    return _from_table(table, f"the Materials Project's {kind} energies of {system}", first=1)
