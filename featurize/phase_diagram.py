"""Energies above the hull and electrochemical windows for batches of formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.chemical_systems import chemical_system_groups
from softlyte.featurize.convex_hull import EQUILIBRIUM_TOLERANCE, SystemHull
from softlyte.featurize.corrections import correction
from softlyte.featurize.functionals import PBE, refuse_mixing
from softlyte.featurize.hull_cache import HullCache
from softlyte.featurize.hull_systems import ChemicalSystem, HullSystems, entries_checksum
from softlyte.featurize.stoichiometry import whole_number_stoichiometry

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Metastable = Literal["on_hull", "strict"]

MOBILE_IONS = ("Li", "Na")
"""Ions whose potential scale the windows use; both carry one charge, so V = -mu in eV."""

_SELF = 1e-7  # eV/atom: an entry this close to the hull that it belongs to is part of it


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


class HullStore:
    """Formation energies of many phases, asked for hulls at any composition between them.

    A chemical system's hull is built at its first use and kept, in memory and, with a cache, on disk.
    Elements are on every hull at 0 eV/atom. Of several entries of one reduced composition the lowest
    counts. Temperature and pressure are zero, and all energies must be of one kind: entries of different
    functionals must not be mixed.

    Args:
        compositions: [Q] phases.
        energies: [Q] formation energies, eV/atom.
        name: what messages call the collection.
        functional: kind of the energies, one of `functionals.FUNCTIONALS`.
        corrections: names of `corrections.CORRECTIONS` that the energies already contain.
        cache: where the hulls of this collection lie on disk; None keeps them in memory alone.

    Raises:
        ValueError: an energy is not finite (the message names the formula) or the lengths differ.
    """

    def __init__(
        self,
        compositions: Compositions,
        energies: Array,
        name: str = "the entries",
        functional: str = PBE,
        corrections: Sequence[str] = (),
        cache: HullCache | None = None,
    ) -> None:
        self.systems = HullSystems(compositions, energies, name, cache)
        self.functional = functional
        self.corrections = tuple(corrections)

    @classmethod
    def from_table(
        cls, name: str = "formation_energy", corrections: Sequence[str] = (), cached: bool = True
    ) -> HullStore:
        """Build from the unflagged rows of a table with formula and formation_energy_ev_atom (PBE).

        Args:
            name: of the table.
            corrections: names of `corrections.CORRECTIONS` to add to every energy.
            cached: keep hulls on disk, under the checksum of the table (see `hull_cache`).

        Raises:
            TableError: there is no such table.
            CorrectionError: there is no such correction.
        """
        from softlyte.datasets.tables import load_card, load_table

        table = load_table(name)
        if "flag" in table:
            table = table[table["flag"].fillna("") == ""]
        compositions = Compositions.from_formulas(table["formula"])
        energies = table["formation_energy_ev_atom"].to_numpy(np.float64)
        energies = energies + correction(corrections, compositions)
        checksum = "-".join([*sorted(corrections), load_card(name).sha256])
        cache = HullCache(checksum) if cached else None
        return cls(compositions, energies, f"the table {name}", PBE, corrections, cache)

    def extended(
        self, compositions: Compositions, energies: Array, functional: str, name: str, cached: bool = True
    ) -> HullStore:
        """Return a store that holds further phases besides; of one composition the lower energy counts.

        Args:
            compositions: [M] further phases.
            energies: [M] formation energies, eV/atom, without corrections: the store's are added.
            functional: kind of these energies.
            name: what messages call them.
            cached: keep the new store's hulls on disk, under the checksum of all its entries.

        Raises:
            FunctionalError: the energies are of another kind than this store's.
            ValueError: an energy is not finite or the lengths differ.
        """
        refuse_mixing(self.functional, functional, name)
        joined = Compositions.concatenate([self.systems.compositions, compositions])
        values = np.concatenate([self.systems.energies, self.corrected(compositions, energies)])
        cache = HullCache(entries_checksum(joined, values)) if cached else None
        name = f"{self.systems.name} and {name}" if len(self) else name
        return HullStore(joined, values, name, self.functional, self.corrections, cache)

    def corrected(self, compositions: Compositions, energies: Array) -> Array:
        """Return energies, [N] or [S, N] eV/atom, with the corrections that the store's own contain."""
        values = np.asarray(energies, dtype=np.float64)
        return values + correction(self.corrections, compositions) if self.corrections else values

    def __len__(self) -> int:
        """Return the number of phases, one for each reduced composition."""
        return len(self.systems)

    def known_energy(self, compositions: Compositions) -> Array:
        """Return the formation energy of compositions that the collection holds, else NaN, [N] eV/atom."""
        rows = self.systems.lookup(whole_number_stoichiometry(compositions))
        return np.where(rows >= 0, self.systems.energies[rows], np.nan)

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
        rows = self.systems.lookup(compositions)
        known = np.where(rows >= 0, self.systems.energies[rows], np.nan)
        own = known if energies is None else np.asarray(energies, dtype=np.float64)
        ions = np.zeros(n, dtype=np.uint8) if mobile_ion is None else _ion_numbers(mobile_ion)
        reason = self.systems.refusals(compositions)
        values = np.full((4, n), np.nan)
        for numbers, group in chemical_system_groups(compositions, reason == ""):
            x = compositions.amounts[group, : len(numbers)]
            x = x / x.sum(axis=1, keepdims=True)
            values[:, group] = self._ask(
                self.systems.system(numbers), x, rows[group], own[group], ions[group], exclude_self
            )
            if progress is not None:
                progress(len(group))
        if self.systems.cache is not None:
            self.systems.cache.flush()
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
        system: ChemicalSystem,
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
        known = np.where(rows >= 0, self.systems.energies[rows], np.nan)
        # An entry is in its own way only where it is a corner of the hull.
        corner = known <= whole + _SELF
        replaced = corner & ~(np.abs(own - known) <= _SELF)
        competing, level = whole.copy(), np.fmin(own, whole)
        level[corner & ~replaced] = whole[corner & ~replaced]
        out = np.full((4, len(x)), np.nan)
        for i in np.flatnonzero(replaced | (corner & exclude_self)):
            rest = self.systems.without(system, int(rows[i])).hull
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


def _volts(hull: SystemHull, x: Array, level: Array, column: int) -> Array:
    """Return reduction and oxidation limit, [2, n] V: a potential mu is the voltage -mu/e of one charge."""
    lower, upper = hull.potential_range(x, level, column)
    # "+ 0.0" turns the -0.0 of a phase stable against the metal into 0.0.
    return np.stack([-upper + 0.0, -lower + 0.0])


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
