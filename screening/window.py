"""Window, decomposition and interfaces of given formulas: the function behind `softlyte window`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softlyte.datasets.columns import WINDOW_COLUMNS
from softlyte.datasets.formulas import Compositions, FormulaError
from softlyte.featurize.decomposition import decomposition_reaction
from softlyte.featurize.electrochemistry import ReactionProfile, reaction_profile
from softlyte.featurize.entries import read_entries
from softlyte.featurize.functionals import PBE
from softlyte.featurize.hull_plots import page, phase_diagram_figure, profile_figure
from softlyte.featurize.hull_systems import MAX_ELEMENTS
from softlyte.featurize.interfaces import INTERFACE_COLUMNS, interface_table, partners_of
from softlyte.featurize.phase_diagram import HullStore, Metastable
from softlyte.featurize.volumes import volume_a3
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.models.predictor import Predictor
from softlyte.screening.evaluate import PropertyPredictor, default_hull
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.hull_evidence import WindowHeads
from softlyte.screening.inputs import MAX_AMOUNT, InputError, rows_from_formulas
from softlyte.screening.stability import HULL_BASES, stability

Array = NDArray[np.float64]

_BEYOND = 2e-3  # V past a limit at which its reaction is asked for


@dataclass(frozen=True)
class WindowReport:
    """What the hull says about given formulas.

    Attributes:
        windows: a row a formula, WINDOW_COLUMNS; a formula that cannot be placed has only its reason.
        profiles: by formula, its decomposition against potential.
        interfaces: reactions with electrodes and a sulfide electrolyte, INTERFACE_COLUMNS.
        store: the hulls that all of it stands on.
    """

    windows: pd.DataFrame
    profiles: dict[str, ReactionProfile]
    interfaces: pd.DataFrame
    store: HullStore

    def profile_table(self) -> pd.DataFrame:
        """Return all profiles as one table: formula, then the columns of `ReactionProfile.table`."""
        parts = [p.table().assign(formula=formula) for formula, p in self.profiles.items()]
        if not parts:
            return pd.DataFrame(columns=["formula"])
        joined = pd.concat(parts, ignore_index=True)
        return joined[["formula", *[c for c in joined.columns if c != "formula"]]]

    def html(self, corners: Sequence[str] | None = None) -> str:
        """Return one page: reaction energy against potential, and phase diagrams of up to four components.

        Args:
            corners: of a section in which all formulas lie; None draws the elements of each formula that
                has at most four.

        Raises:
            PlotError: the corners cannot be drawn or do not hold a formula.
        """
        formulas = list(self.profiles)
        if not formulas:
            raise InputError("there is nothing to plot: none of the formulas has a window; see their reasons")
        figures = [profile_figure(list(self.profiles.values()))]
        if corners is not None:
            figures.append(phase_diagram_figure(self.store, formulas, corners))
        else:
            small = [f for f in formulas if len(_elements(f)) <= 4]
            for elements in dict.fromkeys(_elements(f) for f in small):
                together = [f for f in small if _elements(f) == elements]
                figures.append(phase_diagram_figure(self.store, together))
        return page(figures, f"Softlyte: {', '.join(formulas)}")


def window(
    formulas: Sequence[str],
    ion: str | None = None,
    metastable: Metastable = "on_hull",
    cathodes: Sequence[str] | None = None,
    entries: Path | str | None = None,
    alone: bool = False,
    corrections: Sequence[str] = (),
    predictor: PropertyPredictor | None = None,
    weights: Path | str | None = None,
    device: str = "auto",
) -> WindowReport:
    """Place formulas on the hull: window with the products at both limits, decomposition, interfaces.

    A phase of the collection has its own energy; any other one the networks' formation energy, and its
    numbers come with a 90% interval. Formulas that cannot be read or placed keep their row, with the reason.

    Args:
        formulas: such as ["Li3YCl6", "Li3InCl6"].
        ion: "Li" or "Na", the ion whose potential counts; None takes the more abundant in each formula.
        metastable: a phase above the hull is put on it ("on_hull") or has no window ("strict").
        cathodes: names of `interfaces.CATHODES` or formulas; None for the usual ones.
        entries: file of own or Materials Project entries, see `featurize.entries`.
        alone: use the entries alone instead of adding them to the shipped ones.
        corrections: names of `corrections.CORRECTIONS` to add to every energy.
        predictor: an ensemble already loaded; None loads `weights`.
        weights: folder of trained weights; None for the shipped ones.
        device: "auto", "cpu" or "cuda", for loading weights.

    Raises:
        InputError: no formula, an unknown ion or convention, or `alone` without entries.
        UserError: entries, weights, cathodes or corrections cannot be used.
    """
    rows = rows_from_formulas(formulas)
    if ion is not None and ion not in MOBILE_IONS:
        raise InputError(f"the mobile ion is {ion!r}; choose {' or '.join(MOBILE_IONS)}")
    if metastable not in ("on_hull", "strict"):
        raise InputError(f"metastable is {metastable!r}; choose on_hull or strict")
    if alone and entries is None:
        raise InputError("alone needs a file of entries; name one or leave alone out")
    for name in MOBILE_IONS:
        partners_of(name, cathodes)  # a misspelt cathode is found before any work
    store = _store(entries, alone, corrections)
    usable, compositions, ions, table = _read(rows.formula, ion)
    if not usable:
        return WindowReport(table, {}, pd.DataFrame(columns=list(INTERFACE_COLUMNS)), store)
    predictions = None
    if store.functional == PBE:
        # The networks learned PBE energies: they must not stand on another functional's hull.
        model = Predictor.load(weights, device) if predictor is None else predictor
        predictions = model.predict(compositions, np.zeros(len(compositions), dtype=np.uint8))
    energies, has_hull = _fill(table, usable, compositions, ions, store, predictions, metastable)
    names = [str(f) for f in table["formula"].iloc[usable]]
    on_hull = metastable == "on_hull"
    placed = np.flatnonzero(has_hull).tolist()
    profiles: dict[str, ReactionProfile] = {}
    for i in placed:
        energy = float(energies[i])
        profile = reaction_profile(store, names[i], ions[i], energy, on_hull)
        profiles[names[i]] = profile
        row = usable[i]
        table.at[row, "decomposition_reaction"] = str(decomposition_reaction(store, names[i], energy))
        for name, value in _limit_reactions(profile).items():
            table.at[row, name] = value
    densities = {} if predictions is None else _densities(names, predictions)
    interfaces = interface_table(
        store,
        [names[i] for i in placed],
        [ions[i] for i in placed],
        cathodes,
        on_hull,
        energies[placed],
        densities,
    )
    return WindowReport(table, profiles, interfaces, store)


REPEATED = "it repeats an earlier formula; the composition is kept once"
"""Reason of a row that is no mistake but has its result in an earlier one."""


def _store(entries: Path | str | None, alone: bool, corrections: Sequence[str]) -> HullStore:
    read = None if entries is None else read_entries(entries)
    if read is not None and alone:
        return read.store()
    base = HullStore.from_table(corrections=corrections) if corrections else default_hull()
    return base if read is None else read.added_to(base)


def _read(formulas: list[str], ion: str | None) -> tuple[list[int], Compositions, list[str], pd.DataFrame]:
    """Return usable rows, their compositions and ions, and the table with the reasons of the others."""
    table = pd.DataFrame(np.nan, index=range(len(formulas)), columns=list(WINDOW_COLUMNS), dtype=object)
    text = [name for name in WINDOW_COLUMNS if name in _TEXT]
    table[text] = ""
    usable, parts, ions = [], [], []
    seen: set[str] = set()
    for row, formula in enumerate(formulas):
        table.at[row, "formula"] = formula
        try:
            one = Compositions.from_formulas([formula])
        except FormulaError as error:
            table.at[row, "reason"] = str(error)
            continue
        written = one.formulas()[0]
        reason = _refusal(one, ion)
        if not reason and written in seen:
            reason = REPEATED
        if reason:
            table.at[row, "reason"] = reason
            continue
        seen.add(written)
        its_ion = ion or MOBILE_IONS[int(mobile_ion_of(one)[0])]
        table.at[row, "formula"], table.at[row, "mobile_ion"] = written, its_ion
        usable.append(row)
        parts.append(one)
        ions.append(its_ion)
    return usable, Compositions.concatenate(parts), ions, table


_TEXT = frozenset(
    {
        "formula",
        "mobile_ion",
        "hull_basis",
        "decomposition_reaction",
        "reduction_reaction",
        "oxidation_reaction",
        "reason",
    }
)


def _refusal(one: Compositions, ion: str | None) -> str:
    """Return why a composition has no window whatever the collection, empty if nothing speaks against it."""
    wanted = MOBILE_IONS if ion is None else (ion,)
    count = int((one.atomic_numbers > 0).sum())
    if count > MAX_ELEMENTS:
        return f"{count} elements, more than the {MAX_ELEMENTS} of a hull; write a simpler formula"
    if not np.isfinite(one.amounts).all() or one.amounts.max() > MAX_AMOUNT:
        return f"a subscript is above {MAX_AMOUNT:.0f}; write the reduced formula"
    if not any(one.amount_of(name)[0] > 0 for name in wanted):
        return f"it holds no {' or '.join(wanted)}, so no mobile ion; add one or drop the formula"
    if count == 1:
        return "it is the metal itself, which has no window; give a compound"
    return ""


def _fill(
    table: pd.DataFrame,
    usable: list[int],
    compositions: Compositions,
    ions: list[str],
    store: HullStore,
    predictions: Predictions | None,
    metastable: Metastable,
) -> tuple[Array, NDArray[np.bool_]]:
    """Write the hull's numbers into the table; returns [n] energies in eV/atom and who has a hull."""
    n = len(usable)
    unknown = PropertyPrediction(np.full((1, n), np.nan), np.full((1, n), np.nan))
    formation = unknown if predictions is None else predictions["formation_energy_ev_atom"]
    if predictions is not None:
        foreign = predictions.unknown_elements
        formation = PropertyPrediction(
            np.where(foreign, np.nan, formation.member_mean), np.where(foreign, np.nan, formation.member_sd)
        )
    heads = None
    if predictions is not None and store is default_hull():
        heads = _window_heads(compositions, ions, predictions)
    found = stability(compositions, formation, store, named=False, ions=ions, heads=heads)
    known = store.known_energy(compositions)
    energy = np.where(np.isnan(known), store.corrected(compositions, formation.mean()), known)
    above = found.e_above_hull
    values: dict[str, NDArray] = {
        "hull_basis": np.array(HULL_BASES)[found.basis],
        "formation_energy_ev_atom": energy,
        "p_within_50_mev": found.p_within_50_mev(),
        "reason": found.reason,
    }
    spread = np.where(found.known, 0.0, formation.sd())
    values |= _interval("formation_energy_ev_atom", energy, spread)
    values |= _interval("e_above_hull_ev_atom", above.mean(), above.sd())
    for name, limit in (("reduction_v", found.reduction_v), ("oxidation_v", found.oxidation_v)):
        values |= _interval(name, limit.median(), limit.sd())
    if metastable == "strict":
        unstable = ~(above.mean() <= 1e-5)
        reasons = [
            f"{gap:.4f} eV/atom above the hull" if np.isfinite(gap) else "its energy is unknown"
            for gap in above.mean()
        ]
        values["reason"] = np.where(unstable & (found.reason == ""), reasons, found.reason)
        for name in ("reduction_v", "oxidation_v"):
            for end in ("", "_lower", "_upper"):
                values[name + end] = np.where(unstable, np.nan, values[name + end])
    values["reduction_v_lower"] = np.maximum(values["reduction_v_lower"], 0.0)
    for name, column in values.items():
        table.loc[usable, name] = column
    return energy, found.reason == ""


def _window_heads(compositions: Compositions, ions: list[str], predictions: Predictions) -> WindowHeads:
    """Return the networks' windows, NaN where they count against another ion or an element is foreign.

    The heads have learned uncorrected energies of the shipped collection: they serve that one alone.
    """
    asked = np.array([MOBILE_IONS.index(ion) for ion in ions])
    silent = (mobile_ion_of(compositions) != asked) | predictions.unknown_elements
    reduction, oxidation = (
        PropertyPrediction(np.where(silent, np.nan, p.member_mean), p.member_sd)
        for p in (predictions["reduction_v"], predictions["oxidation_v"])
    )
    return reduction, oxidation


def _interval(name: str, centre: Array, sd: Array) -> dict[str, NDArray]:
    """Return a value with the ends of its 90% interval."""
    lower, upper = PropertyPrediction(centre[None], np.maximum(sd, 1e-12)[None]).interval()
    return {name: centre, f"{name}_lower": lower, f"{name}_upper": upper}


def _limit_reactions(profile: ReactionProfile) -> dict[str, str]:
    """Return the balanced reactions just beyond both limits; empty where the metal does not reduce."""
    low, high = _limit_of(profile, -1), _limit_of(profile, 1)
    reduced = profile.reaction(low - _BEYOND) if low > _BEYOND else None
    oxidised = profile.reaction(high + _BEYOND)
    return {
        "reduction_reaction": "" if reduced is None else str(reduced),
        "oxidation_reaction": "" if oxidised is None else str(oxidised),
    }


def _limit_of(profile: ReactionProfile, sign: int) -> float:
    """Return the potential in V at which a profile leaves the phase's own ion content, up or down."""
    stays = [step for step in profile.steps if step.uptake == 0]
    if stays:
        return stays[-1].high_v if sign > 0 else stays[0].low_v
    # A window of no width lies where uptake turns into loss.
    return min((step.low_v for step in profile.steps if step.uptake < 0), default=profile.steps[-1].high_v)


def _densities(names: list[str], predictions: Predictions) -> dict[str, float]:
    """Return the networks' densities of phases whose volume no table knows."""
    median = predictions["density_g_cm3"].median()
    return {name: float(median[i]) for i, name in enumerate(names) if volume_a3(name) is None}


def _elements(formula: str) -> tuple[int, ...]:
    return tuple(sorted({int(z) for z in Compositions.from_formulas([formula]).atomic_numbers.ravel() if z}))
