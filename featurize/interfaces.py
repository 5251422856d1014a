"""Chemical reactions at the contact of an electrolyte with electrodes and with another electrolyte.

The two phases are mixed in every proportion; the mixture falls to the hull at its composition, and the
proportion that releases most energy per atom is reported (the pseudo-binary of W. D. Richards et al., Chem.
Mater. 28, 266 (2016), doi:10.1021/acs.chemmater.5b04082). Kinetics are not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import INTERFACE_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, FormulaError
from softlyte.featurize.hull_line import hull_line
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.reactions import Reaction, as_molecules, equilibrium_phases
from softlyte.featurize.stoichiometry import whole_number_stoichiometry
from softlyte.featurize.volumes import VolumeChange, mixed_density, volume_change

Array = NDArray[np.float64]

STABLE_EV_ATOM = 1e-5
"""Reactions that release less than this are none (the tolerance of the hulls)."""


@dataclass(frozen=True)
class Partner:
    """What an electrolyte touches.

    Attributes:
        name: for people, such as `NMC111, charged`.
        formula: composition in the contact.
        end_members: formula units of the layered oxides that it mixes, empty for a compound; they lend it
            their volume (Vegard's law) where no table knows its own.
    """

    name: str
    formula: str
    end_members: Mapping[str, float] = field(default_factory=dict)


_LAYERED: dict[str, dict[str, dict[str, int]]] = {
    "Li": {
        "LCO": {"Co": 1},
        "LNO": {"Ni": 1},
        "LMO": {"Mn": 1},
        "NMC111": {"Ni": 1, "Mn": 1, "Co": 1},
        "NMC622": {"Ni": 3, "Mn": 1, "Co": 1},
        "NMC811": {"Ni": 8, "Mn": 1, "Co": 1},
    },
    "Na": {
        "NCO": {"Co": 1},
        "NNO": {"Ni": 1},
        "NMO": {"Mn": 1},
        "NFO": {"Fe": 1},
        "NFM": {"Ni": 1, "Fe": 1, "Mn": 1},
    },
}
"""Transition metals of layered oxides (Li or Na)MO2 by usual name and mobile ion."""


def _layered(name: str, ion: str, metals: Mapping[str, int]) -> tuple[Partner, Partner]:
    sites = sum(metals.values())
    count = "" if sites == 1 else str(sites)
    host = "".join(f"{m}{n if n > 1 else ''}" for m, n in metals.items()) + f"O{2 * sites}"

    def partner(state: str, alkali: str, alkali_count: str) -> Partner:
        mixed = {f"{alkali}{m}O2": float(n) for m, n in metals.items()} if sites > 1 else {}
        return Partner(f"{name}, {state}", f"{alkali}{alkali_count}{host}", mixed)

    return partner("discharged", ion, count), partner("charged", "", "")


CATHODES: dict[str, tuple[Partner, Partner]] = {
    name: _layered(name, ion, metals) for ion, oxides in _LAYERED.items() for name, metals in oxides.items()
}
"""Layered oxides by their usual name, each discharged (one Li or Na a metal) and charged (none).

Mixtures of Mn, Co, Ni and Fe that the collection does not hold are put on its hull."""

METALS = {"Li": Partner("Li metal", "Li"), "Na": Partner("Na metal", "Na")}
"""The metal anode of each mobile ion."""

SULFIDES = {"Li": Partner("sulfide electrolyte", "Li6PS5Cl"), "Na": Partner("sulfide electrolyte", "Na3PS4")}
"""A sulfide electrolyte that may stand next to the halide, by mobile ion."""

DEFAULT_CATHODES = {"Li": ("LCO", "LNO", "NMC111", "NMC811"), "Na": ("NCO", "NNO", "NMO")}
"""Cathodes that are looked at if nobody asks for others, by mobile ion."""


class PartnerError(UserError):
    """A cathode that is no known name and no formula; the message lists the names."""


@dataclass(frozen=True)
class InterfaceReaction:
    """The reaction that releases most energy.

    Attributes:
        partner: what the electrolyte touches.
        energy_ev_atom: of the reaction per atom of reactants, at most 0; 0: the two coexist.
        mutual_ev_atom: the part that neither phase would release alone (a metastable phase decomposes
            without a partner too).
        share: atomic fraction of electrolyte among the reactants.
        reaction: balanced, for one formula unit of electrolyte (of partner, if no electrolyte takes part);
            None if the two coexist.
        volume: change of the solids' volume; None without a reaction.
        note: what qualifies the numbers.
    """

    partner: Partner
    energy_ev_atom: float
    mutual_ev_atom: float
    share: float
    reaction: Reaction | None
    volume: VolumeChange | None
    note: str


def partners_of(ion: str, cathodes: Sequence[str] | None = None) -> list[Partner]:
    """Return what an electrolyte of Li or Na is put against: metal, cathodes, a sulfide electrolyte.

    Args:
        ion: Li or Na.
        cathodes: names of CATHODES or formulas; None for DEFAULT_CATHODES.

    Raises:
        PartnerError: a cathode is neither.
    """
    found: list[Partner] = [METALS[ion]]
    for name in DEFAULT_CATHODES[ion] if cathodes is None else cathodes:
        known = {key.upper(): pair for key, pair in CATHODES.items()}.get(name.strip().upper())
        if known is not None:
            found += list(known)
            continue
        try:
            written = Compositions.from_formulas([name]).formulas()[0]
        except FormulaError:
            names = ", ".join(CATHODES)
            raise PartnerError(
                f"the cathode {name!r} is neither a formula nor one of {names}; write such as LCO or LiCoO2"
            ) from None
        found.append(Partner(written, written))
    return [*found, SULFIDES[ion]]


def interface_reaction(
    store: HullStore,
    formula: str,
    partner: Partner,
    energy_ev_atom: float | None = None,
    on_hull: bool = True,
    densities: Mapping[str, float] | None = None,
) -> InterfaceReaction:
    """Return what happens where an electrolyte touches a partner.

    Args:
        store: formation energies.
        formula: of the electrolyte.
        partner: see `partners_of`.
        energy_ev_atom: formation energy of the electrolyte; None takes the store's, without an entry the
            hull's.
        on_hull: put an electrolyte above the hull on it; else its own decomposition counts too. Partners
            have the energy of their entry, on the hull only if the store holds none.
        densities: g/cm3 by formula for phases whose volume no table knows.

    Raises:
        PartnerError: one of the two has no hull; the message says why.
    """
    both = whole_number_stoichiometry(Compositions.from_formulas([partner.formula, formula]))
    for row, reason in enumerate(store.systems.refusals(both)):
        # An element alone stands on every hull.
        if reason and not (row == 0 and (both.atomic_numbers[0] > 0).sum() == 1):
            raise PartnerError(f"{(partner.formula, formula)[row]}: {reason}")
    numbers = tuple(sorted({int(z) for z in both.atomic_numbers.ravel() if z}))
    system = store.systems.system(numbers)
    ends = np.zeros((2, len(numbers)))
    for column, z in enumerate(numbers):
        ends[:, column] = np.where(both.atomic_numbers == z, both.amounts, 0.0).sum(axis=1)
    atoms = ends.sum(axis=1)
    ends /= atoms[:, None]
    line = hull_line(system.hull, ends[0], ends[1] - ends[0], stop=1.0)
    known = store.known_energy(both)
    if energy_ev_atom is not None:
        known[1] = energy_ev_atom
    floor = np.array([line.energy[0], line.energy[-1]])
    own = np.where(np.isnan(known), floor, known)
    if on_hull:
        own[1] = min(own[1], floor[1])
    share = line.position
    released = line.energy - ((1 - share) * own[0] + share * own[1])
    alone = (1 - share) * (floor[0] - own[0]) + share * (floor[1] - own[1])
    best = int(np.argmin(released))
    note = f"{partner.formula} put on the hull" if np.isnan(known[0]) else ""
    if released[best] > -STABLE_EV_ATOM:
        return InterfaceReaction(partner, 0.0, 0.0, float("nan"), None, None, note)
    s = float(share[best])
    amounts = (1 - s) * ends[0] + s * ends[1]
    products = as_molecules(equilibrium_phases(store.systems, system, amounts))
    written = Compositions.from_formulas([partner.formula, formula]).amounts.sum(axis=1)
    reactants = {formula: s / written[1], partner.formula: (1 - s) / written[0]}
    reactants = {name: n for name, n in reactants.items() if n > 1e-9}
    unit = next(iter(reactants.values()))
    reaction = Reaction(
        {name: n / unit for name, n in reactants.items()},
        {name: n / unit for name, n in products.items()},
        float(released[best]) / unit,
    )
    volume = volume_change(
        reaction, mixed_density(partner.formula, partner.end_members) | dict(densities or {})
    )
    mutual = float(min(0.0, (released - alone)[best]))
    lent = f"density of {formula} predicted" if formula in (densities or {}) else ""
    remark = "; ".join(part for part in (note, volume.note(), lent) if part)
    return InterfaceReaction(partner, float(released[best]), mutual, s, reaction, volume, remark)


def interface_table(
    store: HullStore,
    formulas: Sequence[str],
    ions: Sequence[str],
    cathodes: Sequence[str] | None = None,
    on_hull: bool = True,
    energies: Array | None = None,
    densities: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return the reactions of several electrolytes with all their partners, INTERFACE_COLUMNS.

    A pair that has no hull keeps its row, with empty numbers and the reason as its note.

    Args:
        store: formation energies.
        formulas: [N] electrolytes.
        ions: [N] Li or Na.
        cathodes: see `partners_of`.
        on_hull: see `interface_reaction`.
        energies: [N] formation energies in eV/atom that go before the store's, NaN for none.
        densities: g/cm3 by formula for phases whose volume no table knows.
    """
    rows: list[tuple[object, ...]] = []
    for i, (formula, ion) in enumerate(zip(formulas, ions, strict=True)):
        given = None if energies is None or np.isnan(energies[i]) else float(energies[i])
        for partner in partners_of(ion, cathodes):
            try:
                found = interface_reaction(store, formula, partner, given, on_hull, densities)
            except PartnerError as error:
                rows.append((formula, partner.name, partner.formula, *[np.nan] * 3, "", np.nan, str(error)))
                continue
            reaction = "coexist" if found.reaction is None else str(found.reaction)
            change = np.nan if found.volume is None else found.volume.fraction
            rows.append(
                (
                    formula,
                    partner.name,
                    partner.formula,
                    found.energy_ev_atom,
                    found.mutual_ev_atom,
                    found.share,
                    reaction,
                    change,
                    found.note,
                )
            )
    if store.systems.cache is not None:
        store.systems.cache.flush()
    return pd.DataFrame(rows, columns=list(INTERFACE_COLUMNS))
