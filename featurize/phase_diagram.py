"""Energies above the hull, decomposition products and electrochemical windows for batches of formulas."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.convex_hull import EQUILIBRIUM_TOLERANCE, SystemHull, system_hull
from softlyte.featurize.stoichiometry import whole_number_stoichiometry

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Metastable = Literal["on_hull", "strict"]

MOBILE_IONS = ("Li", "Na")
"""Ions whose potential scale the windows use; both carry one charge, so V = -mu in eV."""

_SELF = 1e-7  # eV/atom: an entry this close to the hull that it belongs to is part of it
_TRACE = 1e-6  # atomic fraction below which a decomposition product is rounding noise
_CACHED_SYSTEMS = 20_000  # chemical systems kept, some 30 kB each


@dataclass(frozen=True)
class HullResult:
    """What the hull says about N compositions.

    Attributes:
        hull_energy_ev_atom: [N] energy of the competing phases at each composition, eV/atom.
        known_energy_ev_atom: [N] formation energy in the collection, NaN if it lacks the composition.
        e_above_hull_ev_atom: [N] the phase's energy (given, else known) minus the competing phases';
            negative: stable by that margin; NaN without an energy.
        reduction_v: [N] lower limit of the window, V against the mobile ion's metal; NaN if not asked for.
        oxidation_v: [N] upper limit of the window, V against the mobile ion's metal; NaN if not asked for.
        reason: [N] str; why a value that was asked for is missing, else empty.
    """

    hull_energy_ev_atom: Array
    known_energy_ev_atom: Array
    e_above_hull_ev_atom: Array
    reduction_v: Array
    oxidation_v: Array
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class _System:
    """One chemical system: its elements, its competing entries (rows of the store) and their hull."""

    numbers: tuple[int, ...]
    rows: Rows
    hull: SystemHull


class HullStore:
    """Formation energies of many phases, asked for hulls at any composition between them.

    A chemical system's hull is built at its first use and kept. Elements are on every hull at 0 eV/atom.
    Of several entries of one reduced composition the lowest counts. Temperature and pressure are zero,
    and all energies must be of one kind: entries of different functionals must not be mixed.

    Args:
        compositions: [Q] phases.
        energies: [Q] formation energies, eV/atom.
        name: what messages call the collection.

    Raises:
        ValueError: an energy is not finite (the message names the formula) or the lengths differ.
    """

    def __init__(self, compositions: Compositions, energies: Array, name: str = "the entries") -> None:
        energies = np.asarray(energies, dtype=np.float64)
        if energies.shape != (len(compositions),):
            raise ValueError(
                f"{len(compositions)} compositions need as many energies, not shape {energies.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(energies))
        if len(bad):
            formula = compositions[bad[:1]].formulas()[0]
            raise ValueError(f"the energy of {formula} (entry {bad[0]}) is not finite; leave the entry out")
        order = np.argsort(energies, kind="stable")
        _, first = np.unique(compositions.keys()[order], return_index=True)
        rows = np.sort(order[first])
        self.name = name
        self._compositions = compositions[rows]
        self._energies = energies[rows]
        self._row_of = {key.tobytes(): row for row, key in enumerate(self._compositions.keys())}
        z = self._compositions.atomic_numbers
        compound = (z > 0).sum(axis=1) > 1
        self._covered = np.zeros(256, dtype=bool)
        self._covered[np.unique(z[compound])] = True
        # Only a phase below the elements can be on a hull.
        self._competing = np.flatnonzero(compound & (self._energies < 0))
        self._masks = _element_masks(z[self._competing])
        self._fractions = self._compositions.fractions()
        self._systems: OrderedDict[tuple[int, ...], _System] = OrderedDict()

    @classmethod
    def from_table(cls, name: str = "formation_energy") -> HullStore:
        """Build from the unflagged rows of a table with formula and formation_energy_ev_atom.

        Raises:
            TableError: there is no such table.
        """
        from softlyte.datasets.tables import load_table

        table = load_table(name)
        if "flag" in table:
            table = table[table["flag"].fillna("") == ""]
        energies = table["formation_energy_ev_atom"].to_numpy(np.float64)
        return cls(Compositions.from_formulas(table["formula"]), energies, f"the table {name}")

    def __len__(self) -> int:
        """Return the number of phases, one for each reduced composition."""
        return len(self._energies)

    def known_energy(self, compositions: Compositions) -> Array:
        """Return the formation energy of compositions that the collection holds, else NaN, [N] eV/atom."""
        rows = self._lookup(whole_number_stoichiometry(compositions))
        return np.where(rows >= 0, self._energies[rows], np.nan)

    def hull_energy(self, compositions: Compositions, exclude_self: bool = True) -> Array:
        """Return the energy of the phases that compete at each composition.

        Args:
            compositions: [N].
            exclude_self: leave out the phase of the same reduced composition, so that a stable phase
                is compared with what it would otherwise decompose to.

        Returns:
            [N] eV/atom, at most 0; NaN where `evaluate` gives a reason.
        """
        return self.evaluate(compositions, exclude_self=exclude_self).hull_energy_ev_atom

    def energy_above_hull(
        self, compositions: Compositions, energies: Array, exclude_self: bool = True
    ) -> Array:
        """Return given energies minus the competing phases', [N] eV/atom; negative: stable by that margin."""
        return np.asarray(energies, dtype=np.float64) - self.hull_energy(compositions, exclude_self)

    def window(
        self,
        compositions: Compositions,
        mobile_ion: Sequence[str],
        energies: Array | None = None,
        metastable: Metastable = "on_hull",
    ) -> tuple[Array, Array]:
        """Return reduction and oxidation limit, each [N] V against the mobile ion's metal.

        Arguments, conventions and the reasons for NaN are those of `evaluate`.
        """
        result = self.evaluate(compositions, mobile_ion, energies, metastable)
        return result.reduction_v, result.oxidation_v

    def decomposition(self, composition: Compositions, exclude_self: bool = True) -> dict[str, float]:
        """Return the stable mixture of competing phases at one composition.

        Args:
            composition: one row.
            exclude_self: leave out the phase of the same reduced composition.

        Returns:
            Reduced formula to molar fraction (of formula units, summing to 1), largest first.

        Raises:
            ValueError: more than one row, or an element without entries.
        """
        if len(composition) != 1:
            raise ValueError(f"decomposition takes one composition, not {len(composition)}")
        reason = self._refusals(composition)[0]
        if reason:
            raise ValueError(f"{composition.formulas()[0]}: {reason}")
        composition = whole_number_stoichiometry(composition)
        (numbers, _), *_ = _groups(composition, np.array([True]))
        system = self._system(numbers)
        if exclude_self:
            system = self._without(system, int(self._lookup(composition)[0]))
        shares = system.hull.mixture(composition.fractions()[0, : len(numbers)])
        phases = self._compositions[system.rows]
        atoms = np.concatenate([phases.integer_amounts().sum(axis=1), np.ones(len(numbers))])
        moles = np.where(shares > _TRACE, shares, 0.0) / atoms
        names = [*phases.formulas(), *(symbols()[z] for z in numbers)]
        order = [i for i in np.argsort(-moles, kind="stable") if moles[i] > 0]
        return {names[i]: float(moles[i] / moles.sum()) for i in order}

    def evaluate(
        self,
        compositions: Compositions,
        mobile_ion: Sequence[str] | None = None,
        energies: Array | None = None,
        metastable: Metastable = "on_hull",
        exclude_self: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> HullResult:
        """Return hull energy, energy above the hull and window of N compositions in one pass.

        The window is the range of the mobile ion's potential over which the phase is in equilibrium when
        the ion, and nothing else, may come and go. A phase below the hull of its competitors has the
        wide window that its energy gives it. A phase above the hull has, in truth, none: "on_hull" puts
        it on the hull (the usual convention, which forgives the metastability), "strict" gives NaN. A
        phase without an energy is put on the hull as well, or NaN if "strict". Decimal subscripts are read
        as the whole-number stoichiometry that they round (`whole_number_stoichiometry`).

        Args:
            compositions: [N].
            mobile_ion: [N] "Li" or "Na"; None leaves the windows out.
            energies: [N] formation energies of the phases in eV/atom, NaN where unknown; None takes the
                collection's own. An energy given for a phase of the collection replaces the collection's.
            metastable: the convention for phases above the hull, "on_hull" or "strict".
            exclude_self: leave the phase of the same reduced composition out of the competing phases of
                hull_energy_ev_atom and e_above_hull_ev_atom. Windows do not depend on it.
            progress: called with the number of rows just finished.

        Returns:
            Arrays over N. A row is NaN, with the reason, if no compound of the collection holds one of its
            elements, if it lacks its mobile ion, or if it has no window by the "strict" convention.

        Raises:
            ValueError: mobile_ion or energies differ in length, or the convention is unknown.
        """
        n = len(compositions)
        if metastable not in ("on_hull", "strict"):
            raise ValueError(f"metastable is 'on_hull' or 'strict', not {metastable!r}")
        if mobile_ion is not None and len(mobile_ion) != n:
            raise ValueError(f"{n} compositions need as many mobile ions, not {len(mobile_ion)}")
        if energies is not None and np.shape(energies) != (n,):
            raise ValueError(f"{n} compositions need as many energies, not shape {np.shape(energies)}")
        compositions = whole_number_stoichiometry(compositions)
        rows = self._lookup(compositions)
        known = np.where(rows >= 0, self._energies[rows], np.nan)
        own = known if energies is None else np.asarray(energies, dtype=np.float64)
        ions = np.zeros(n, dtype=np.uint8) if mobile_ion is None else _ion_numbers(mobile_ion)
        reason = self._refusals(compositions)
        values = np.full((4, n), np.nan)
        for numbers, group in _groups(compositions, reason == ""):
            x = compositions.amounts[group, : len(numbers)]
            x = x / x.sum(axis=1, keepdims=True)
            values[:, group] = self._ask(
                self._system(numbers), x, rows[group], own[group], ions[group], exclude_self
            )
            if progress is not None:
                progress(len(group))
        hull_energy, competing, reduction, oxidation = values
        if mobile_ion is not None:
            _explain_ions(compositions, mobile_ion, ions, reason)
            if metastable == "strict":
                above = np.isfinite(reduction) & ~(own <= competing + EQUILIBRIUM_TOLERANCE)
                reduction[above] = oxidation[above] = np.nan
                reason[above] = [
                    f"{gap:.4f} eV/atom above the hull" if np.isfinite(gap) else "its energy is unknown"
                    for gap in (own - competing)[above]
                ]
        return HullResult(hull_energy, known, own - hull_energy, reduction, oxidation, reason)

    def _ask(
        self,
        system: _System,
        x: Array,
        rows: Rows,
        own: Array,
        ions: NDArray[np.uint8],
        exclude_self: bool,
    ) -> Array:
        """Evaluate n compositions of one chemical system.

        Args:
            system: the chemical system of k elements.
            x: [n, k] atomic fractions.
            rows: [n] entries of the same composition, -1 where there is none.
            own: [n] eV/atom energies of the phases, NaN where unknown.
            ions: [n] atomic number whose window is asked for, 0 for none.
            exclude_self: see `evaluate`.

        Returns:
            [4, n] hull energy, energy of the phases that compete for the window, reduction_v, oxidation_v.
        """
        whole = system.hull.energy(x)
        known = np.where(rows >= 0, self._energies[rows], np.nan)
        # An entry is in its own way only where it is a corner of the hull.
        corner = known <= whole + _SELF
        replaced = corner & ~(np.abs(own - known) <= _SELF)
        competing, level = whole.copy(), np.fmin(own, whole)
        level[corner & ~replaced] = whole[corner & ~replaced]
        out = np.full((4, len(x)), np.nan)
        for i in np.flatnonzero(replaced | (corner & exclude_self)):
            rest = self._without(system, int(rows[i])).hull
            competing[i] = rest.energy(x[i : i + 1])[0]
            if replaced[i] and ions[i] in system.numbers:
                level[i] = np.fmin(own[i], competing[i])
                column = system.numbers.index(int(ions[i]))
                out[2:, i] = _volts(rest, x[i : i + 1], level[i : i + 1], column)[:, 0]
        for column, number in enumerate(system.numbers):
            asked = np.flatnonzero((ions == number) & ~replaced)
            if len(asked):
                out[2:, asked] = _volts(system.hull, x[asked], level[asked], column)
        out[:2] = competing if exclude_self else whole, competing
        return out

    def _lookup(self, compositions: Compositions) -> Rows:
        """Return the entry of the same reduced composition, [N], -1 where there is none."""
        keys = compositions.keys()
        return np.fromiter((self._row_of.get(key.tobytes(), -1) for key in keys), np.int64, len(keys))

    def _refusals(self, compositions: Compositions) -> NDArray[np.object_]:
        """Return why each row cannot be placed on a hull, [N] str, empty where it can."""
        z = compositions.atomic_numbers
        reason = np.full(len(z), "", dtype=object)
        for row in np.flatnonzero(((z > 0) & ~self._covered[z]).any(axis=1)):
            missing = ", ".join(symbols()[i] for i in z[row] if i and not self._covered[i])
            reason[row] = f"no compound of {missing} in {self.name}"
        amounts = compositions.amounts.sum(axis=1)
        reason[~(np.isfinite(amounts) & (amounts > 0))] = "no atoms"
        return reason

    def _system(self, numbers: tuple[int, ...]) -> _System:
        """Return one chemical system, built at its first use."""
        found = self._systems.get(numbers)
        if found is None:
            mask = _element_masks(np.array([numbers], dtype=np.uint8))[0]
            rows = self._competing[((self._masks & ~mask) == 0).all(axis=1)]
            found = self._systems[numbers] = self._build(numbers, rows)
            if len(self._systems) > _CACHED_SYSTEMS:
                self._systems.popitem(last=False)
        else:
            self._systems.move_to_end(numbers)
        return found

    def _without(self, system: _System, row: int) -> _System:
        """Return the system without one entry; not kept."""
        kept = system.rows[system.rows != row]
        return system if len(kept) == len(system.rows) else self._build(system.numbers, kept)

    def _build(self, numbers: tuple[int, ...], rows: Rows) -> _System:
        z = self._compositions.atomic_numbers[rows]
        # One column an element of the system; padding (0) goes to a spare first column.
        column = np.zeros(256, dtype=np.int64)
        column[list(numbers)] = np.arange(1, len(numbers) + 1)
        wide = np.zeros((len(rows), len(numbers) + 1))
        np.put_along_axis(wide, column[z], self._fractions[rows], axis=1)
        return _System(numbers, rows, system_hull(wide[:, 1:], self._energies[rows]))


def _volts(hull: SystemHull, x: Array, level: Array, column: int) -> Array:
    """Return reduction and oxidation limit, [2, n] V: a potential mu is the voltage -mu/e of one charge."""
    lower, upper = hull.potential_range(x, level, column)
    # "+ 0.0" turns the -0.0 of a phase stable against the metal into 0.0.
    return np.stack([-upper + 0.0, -lower + 0.0])


def _groups(compositions: Compositions, usable: NDArray[np.bool_]) -> Iterator[tuple[tuple[int, ...], Rows]]:
    """Yield each chemical system's atomic numbers, ascending, with its usable rows."""
    rows = np.flatnonzero(usable)
    systems, inverse = np.unique(compositions.atomic_numbers[rows], axis=0, return_inverse=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(inverse.ravel(), minlength=len(systems)))
    for system, group in zip(systems, np.split(rows[order], ends[:-1]), strict=False):
        yield tuple(int(z) for z in system if z), group


def _element_masks(atomic_numbers: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the set of elements of each row as bits, [N, 2]."""
    masks = np.zeros((len(atomic_numbers), 2), dtype=np.uint64)
    for column in atomic_numbers.T:
        bit = np.uint64(1) << (column % 64).astype(np.uint64)
        masks[np.arange(len(column)), column // 64] |= np.where(column > 0, bit, np.uint64(0))
    return masks


def _ion_numbers(mobile_ion: Sequence[str]) -> NDArray[np.uint8]:
    """Return the atomic number of each mobile ion, [N], 0 for anything but MOBILE_IONS."""
    number = {ion: symbols().index(ion) for ion in MOBILE_IONS}
    return np.array([number.get(ion, 0) for ion in mobile_ion], dtype=np.uint8)


def _explain_ions(
    compositions: Compositions,
    mobile_ion: Sequence[str],
    ions: NDArray[np.uint8],
    reason: NDArray[np.object_],
) -> None:
    """Write the reason of rows that have no window for want of their mobile ion."""
    absent = ~(compositions.atomic_numbers == ions[:, None]).any(axis=1)
    for row in np.flatnonzero((absent | (ions == 0)) & (reason == "")):
        ion = mobile_ion[int(row)]
        reason[row] = f"holds no {ion}" if ions[row] else f"the mobile ion is Li or Na, not {ion!r}"
