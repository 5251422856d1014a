"""What potentials say about subjects, put together: moduli, hull, window, and whether the networks agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from softlyte.datasets.columns import VERIFIED_COLUMNS, VERIFIED_POTENTIAL_COLUMNS
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.phase_diagram import MOBILE_IONS
from softlyte.screening.physics.competing import References, competing_formulas
from softlyte.screening.physics.examine import has_energy

UNDECIDED_EV_ATOM = 0.03
"""Potentials differ by up to this much in reaction energies: a smaller gap to the hull decides nothing."""
MODULUS_SPREAD = 0.20
"""Spread of Young's modulus over the potentials, relative to the mean, above which it is flagged."""
LARGE_VOLUME_CHANGE = 0.10
_SAME = 1e-6

AVERAGED = (
    "youngs_modulus_gpa",
    "bulk_modulus_gpa",
    "shear_modulus_gpa",
    "volume_change",
    "density_g_cm3",
)
"""Fields of the records whose mean over the potentials is reported."""
COMPARED = {
    "youngs_modulus_gpa": "verified_youngs_modulus_gpa",
    "e_above_hull_ev_atom": "verified_e_above_hull_ev_atom",
    "oxidation_v": "verified_oxidation_v",
    "reduction_v": "verified_reduction_v",
}
"""Columns of the networks, whose 90% interval is compared, and of the potentials."""


class NamedSubject(Protocol):
    """What the tables need of a subject."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def formula(self) -> str:
        """In normal form."""

    @property
    def source(self) -> str:
        """Parent or file; empty if there is no structure."""


@dataclass(frozen=True)
class Verdict:
    """What one potential says about one subject.

    Attributes:
        name, formula: of the subject.
        potential: name.
        record: of `examine`.
        formation_energy_ev_atom: elements at 0, non-metals anchored to salts.
        e_above_hull_ev_atom: 0 or more above its hull; negative: stable by that margin.
        reduction_v, oxidation_v: window of the phase, put on the hull if it is above.
        missing: competing phases without an energy.
        reason: why there is no place on the hull, empty if there is.
    """

    name: str
    formula: str
    potential: str
    record: Mapping[str, Any]
    formation_energy_ev_atom: float
    e_above_hull_ev_atom: float
    reduction_v: float
    oxidation_v: float
    missing: tuple[str, ...]
    reason: str

    @property
    def status(self) -> str:
        """Return ok, or what is wrong with the structure."""
        problem = str(self.record.get("problem", ""))
        if problem:
            return problem
        topology = str(self.record.get("topology", "kept"))
        return topology if topology == "amorphised" else "ok"


def place_on_hull(
    potential: str,
    subjects: Sequence[tuple[str, str]],
    records: Mapping[str, Mapping[str, Any]],
    references: References,
) -> list[Verdict]:
    """Return one potential's verdict on each subject; sound subjects compete with each other, too.

    Args:
        potential: name.
        subjects: (name, formula).
        records: of `examine` by name.
        references: energies of the competing phases.
    """
    energies = {name: _sound_energy(records[name]) for name, _ in subjects}
    lowest: dict[str, float] = {}
    for name, formula in subjects:
        if np.isfinite(energies[name]):
            lowest[formula] = min(energies[name], lowest.get(formula, np.inf))
    verdicts = []
    for name, formula in subjects:
        elements = _elements(formula)
        hull = references.hull(competing_formulas(elements))
        own, reason = hull.formation_energy(formula, energies[name]), ""
        values = [np.nan] * 3
        if not np.isfinite(energies[name]):
            reason = "no sound relaxation"
        elif not np.isfinite(own):
            reason = "no energy of an element"
        else:
            inside = {
                f: e for f, e in lowest.items() if {el.symbol for el in Composition(f).elements} <= elements
            }
            values, reason = _ask(hull.store(inside), formula, own)
        verdicts.append(
            Verdict(
                name,
                formula,
                potential,
                records[name],
                own,
                values[0],
                values[1],
                values[2],
                hull.missing,
                reason,
            )
        )
    return verdicts


def _ask(store: Any, formula: str, own: float) -> tuple[list[float], str]:
    """Return energy above the hull, reduction and oxidation limit, and why one is missing."""
    composition = Compositions.from_formulas([formula])
    ion = [next((i for i in MOBILE_IONS if Composition(formula)[i] > 0), MOBILE_IONS[0])]
    against_all = store.evaluate(composition, ion, np.array([own]), exclude_self=False)
    among_others = store.evaluate(composition, None, np.array([own]), exclude_self=True)
    # The lowest structure of its formula is judged by what it would decompose to; others by the lowest.
    above = float(against_all.e_above_hull_ev_atom[0])
    if above < _SAME:
        above = float(among_others.e_above_hull_ev_atom[0])
    return [above, float(against_all.reduction_v[0]), float(against_all.oxidation_v[0])], str(
        against_all.reason[0]
    )


def _elements(formula: str) -> set[str]:
    return {el.symbol for el in Composition(formula).elements}


def _sound_energy(record: Mapping[str, Any]) -> float:
    """Return the energy of a structure that relaxed; a soft or odd tensor does not spoil it."""
    return float(record["energy_ev_atom"]) if has_energy(record) else float("nan")


def by_potential_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return VERIFIED_POTENTIAL_COLUMNS, one row for each subject and potential."""
    rows = []
    for v in verdicts:
        r = v.record
        rows.append(
            {
                "structure": v.name,
                "formula": v.formula,
                "potential": v.potential,
                "verify_status": v.status,
                "topology": r.get("topology", ""),
                "atoms": r.get("atoms", 0),
                "verified_youngs_modulus_gpa": r.get("youngs_modulus_gpa", np.nan),
                "verified_bulk_modulus_gpa": r.get("bulk_modulus_gpa", np.nan),
                "verified_shear_modulus_gpa": r.get("shear_modulus_gpa", np.nan),
                "elastic_r2": r.get("elastic_r2", np.nan),
                "verified_volume_change": r.get("volume_change", np.nan),
                "verified_density_g_cm3": r.get("density_g_cm3", np.nan),
                "verified_formation_energy_ev_atom": v.formation_energy_ev_atom,
                "verified_e_above_hull_ev_atom": v.e_above_hull_ev_atom,
                "verified_reduction_v": v.reduction_v,
                "verified_oxidation_v": v.oxidation_v,
                "missing_phases": ", ".join(v.missing),
                "verify_notes": v.reason,
            }
        )
    return pd.DataFrame(rows, columns=list(VERIFIED_POTENTIAL_COLUMNS))


def verified_table(
    subjects: Sequence[NamedSubject], verdicts: Sequence[Verdict], network: pd.DataFrame
) -> pd.DataFrame:
    """Return VERIFIED_COLUMNS, one row for each subject: means and spreads over the potentials.

    Args:
        subjects: in the order of the rows.
        verdicts: of every potential.
        network: predictions by formula, with intervals; formulas may lack.
    """
    by_name: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_name.setdefault(verdict.name, []).append(verdict)
    rows = [_row(subject, by_name.get(subject.name, []), network) for subject in subjects]
    return pd.DataFrame(rows, columns=list(VERIFIED_COLUMNS))


def _row(subject: NamedSubject, verdicts: Sequence[Verdict], network: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"structure": subject.name, "formula": subject.formula, "parent": subject.source}
    row["verify_status"] = "no structure"
    row |= {"verified_potentials": "", "network_check": "", "verify_notes": "", "atoms": 0}
    if not verdicts:
        return row
    bad = [v for v in verdicts if v.status != "ok"]
    row["verify_status"] = bad[0].status if bad else "ok"
    row["atoms"] = int(verdicts[0].record.get("atoms", 0))
    row["verified_potentials"] = ", ".join(v.potential for v in verdicts)
    for name in (
        "youngs_modulus_gpa",
        "bulk_modulus_gpa",
        "shear_modulus_gpa",
        "volume_change",
        "density_g_cm3",
    ):
        row[f"verified_{name}"] = _mean([v.record.get(name, np.nan) for v in verdicts])
    modulus = [v.record.get("youngs_modulus_gpa", np.nan) for v in verdicts]
    row["verified_modulus_spread"] = _spread(modulus) / row["verified_youngs_modulus_gpa"]
    for name in ("formation_energy_ev_atom", "e_above_hull_ev_atom", "reduction_v", "oxidation_v"):
        row[f"verified_{name}"] = _mean([getattr(v, name) for v in verdicts])
    row["verified_hull_spread_ev_atom"] = _spread([v.e_above_hull_ev_atom for v in verdicts])
    row["network_check"] = _network_check(row, network)
    row["verify_notes"] = "; ".join(_notes(row, verdicts))
    return row


def _mean(values: Sequence[float]) -> float:
    """Return the mean over potentials; NaN if one of them has no value."""
    return float(np.mean(values))


def _spread(values: Sequence[float]) -> float:
    """Return the largest minus the smallest value; NaN for a single potential."""
    return float(np.max(values) - np.min(values)) if len(values) > 1 else float("nan")


def _network_check(row: Mapping[str, Any], network: pd.DataFrame) -> str:
    """Return "agrees", or what lies outside the networks' 90% interval, and on which side."""
    if row["formula"] not in network.index:
        return "not predicted"
    predicted, said, compared = network.loc[row["formula"]], [], 0
    for column, verified in COMPARED.items():
        value = row[verified]
        low, high = predicted[f"{column}_lower"], predicted[f"{column}_upper"]
        if not np.isfinite(value) or not np.isfinite(low):
            continue
        compared += 1
        if column == "e_above_hull_ev_atom":
            value = max(value, 0.0)  # as predictions are shown
        if value < low or value > high:
            label = column.rsplit("_", 1)[0].replace("_", " ")
            said.append(f"{label} {'below' if value < low else 'above'} its interval")
    if not compared:
        return "nothing to compare"
    return "; ".join(said) or "agrees"


def _notes(row: Mapping[str, Any], verdicts: Sequence[Verdict]) -> list[str]:
    notes = [f"{v.potential}: {v.record['problem']}" for v in verdicts if v.record.get("problem")]
    changed = [v.potential for v in verdicts if v.record.get("topology") not in (None, "", "kept")]
    if changed:
        notes.append(f"relaxed into another structure ({', '.join(changed)})")
    if row["verified_modulus_spread"] > MODULUS_SPREAD:
        notes.append("potentials disagree on the modulus")
    if abs(row["verified_volume_change"]) > LARGE_VOLUME_CHANGE:
        notes.append("large volume change")
    if 0 < row["verified_e_above_hull_ev_atom"] < UNDECIDED_EV_ATOM:
        notes.append("hull gap undecided")
    if row["verified_hull_spread_ev_atom"] > UNDECIDED_EV_ATOM:
        notes.append("potentials disagree on the hull")
    missing = sorted({phase for v in verdicts for phase in v.missing})
    if missing:
        notes.append(f"hull lacks {', '.join(missing)}")
    reasons = sorted({v.reason for v in verdicts if v.reason})
    return notes + [f"no hull: {reason}" for reason in reasons]
