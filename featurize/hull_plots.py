"""Plots of hulls: reaction energy against potential, and phase diagrams of up to four components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions, FormulaError, symbols
from softlyte.featurize.electrochemistry import ReactionProfile, products_text
from softlyte.featurize.phase_diagram import HullStore

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_COMPONENTS = 4
"""A phase diagram of more components cannot be drawn."""

UNSTABLE_EV_ATOM = 0.05
"""eV/atom above the hull up to which a phase is drawn beside the stable ones."""


class PlotError(UserError):
    """A diagram that cannot be drawn; the message says why and what can."""


def profile_figure(profiles: Sequence[ReactionProfile]) -> Figure:
    """Return the reaction energy of phases against the potential of their mobile ion.

    Args:
        profiles: at least one; each is one line, its products named where the mouse is.
    """
    from plotly.graph_objects import Figure, Scatter

    figure = Figure()
    for profile in profiles:
        volts, energies, names = [], [], []
        for step in profile.steps:
            volts += [step.low_v, step.high_v]
            energies += [1e3 * e / profile.atoms for e in step.energy_ev]
            names += [products_text(step.products)] * 2
        figure.add_trace(Scatter(x=volts, y=energies, text=names, name=profile.formula, mode="lines+markers"))
    ions = " or ".join(sorted({f"{p.mobile_ion}/{p.mobile_ion}+" for p in profiles}))
    figure.update_layout(
        title="Decomposition energy against potential",
        xaxis_title=f"potential, V vs {ions}",
        yaxis_title="reaction energy, meV per atom of the phase",
        template="plotly_white",
    )
    return figure


def phase_diagram_figure(
    store: HullStore, formulas: Sequence[str], corners: Sequence[str] | None = None
) -> Figure:
    """Return the phase diagram of a ternary or quaternary section with the given phases marked.

    Args:
        store: formation energies.
        formulas: phases to mark; those without an entry are drawn on the hull, by their composition.
        corners: compositions of the section's corners, such as LiCl, AlCl3, Al2O3; None takes the elements
            of all formulas.

    Raises:
        PlotError: more than MAX_COMPONENTS corners, or formulas that do not lie in the section.
    """
    from pymatgen.analysis.phase_diagram import CompoundPhaseDiagram, PDEntry, PDPlotter, PhaseDiagram
    from pymatgen.core import Composition

    try:
        marked = Compositions.from_formulas(formulas)
        ends = None if corners is None else Compositions.from_formulas(corners)
    except FormulaError as error:
        raise PlotError(str(error)) from error
    everything = marked if ends is None else Compositions.concatenate([marked, ends])
    numbers = tuple(sorted({int(z) for z in everything.atomic_numbers.ravel() if z}))
    count = len(numbers) if corners is None else len(corners)
    if not 2 <= count <= MAX_COMPONENTS:
        raise PlotError(
            f"a phase diagram of {count} components cannot be drawn; name two to {MAX_COMPONENTS} corners of "
            "a section, such as LiCl, AlCl3, Al2O3"
        )
    system = store.systems.system(numbers)
    entries = [PDEntry(Composition(symbols()[z]), 0.0) for z in numbers]
    phases, energies = store.systems.compositions[system.rows], store.systems.energies[system.rows]
    hull = store.hull_energy(phases, exclude_self=False)
    near = np.flatnonzero(energies - hull <= UNSTABLE_EV_ATOM)
    for row in near.tolist():
        phase = Composition(store.systems.formula(int(system.rows[row])))
        entries.append(PDEntry(phase, float(energies[row]) * phase.num_atoms))
    known = store.known_energy(marked)
    for row, formula in enumerate(marked.formulas()):
        if np.isnan(known[row]):
            phase = Composition(formula)
            level = float(store.hull_energy(marked[row : row + 1])[0])
            entries.append(PDEntry(phase, (level + 1e-6) * phase.num_atoms, name=f"{formula} (no entry)"))
    if corners is None:
        diagram = PhaseDiagram(entries)
    else:
        diagram = CompoundPhaseDiagram(
            entries, [Composition(c) for c in corners], normalize_terminal_compositions=True
        )
        inside = {entry.original_entry.composition.reduced_formula for entry in diagram.all_entries}
        outside = [f for f in formulas if Composition(f).reduced_formula not in inside]
        if outside:
            raise PlotError(
                f"{', '.join(outside)} is no mixture of the corners {', '.join(corners)}; choose others"
            )
    figure: Figure = PDPlotter(diagram, backend="plotly", show_unstable=UNSTABLE_EV_ATOM).get_plot()
    figure.update_layout(title=f"Phase diagram of {'-'.join(corners or [symbols()[z] for z in numbers])}")
    return figure


def page(figures: Sequence[Figure], title: str) -> str:
    """Return one HTML page with all figures; it needs no network to be looked at."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)
    ]
    head = f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{title}</title></head><body>'
    return "\n".join([head, *parts, "</body></html>"]) + "\n"
