"""Profiles, lines, reactions and interfaces: worked by hand and against pymatgen."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.interface_reactions import InterfacialReactivity
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.convex_hull import FacetHull, ProgrammeHull
from softlyte.featurize.decomposition import competing_phases, decomposition_reaction
from softlyte.featurize.electrochemistry import CompositionError, reaction_profile
from softlyte.featurize.hull_line import hull_line
from softlyte.featurize.interfaces import (
    CATHODES,
    Partner,
    PartnerError,
    interface_reaction,
    interface_table,
    partners_of,
)
from softlyte.featurize.ion_windows import ion_lines, phase_names
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.reactions import Reaction
from softlyte.featurize.volumes import A3_PER_CM3_MOL, mixed_density, volume_a3, volume_change


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


@pytest.fixture
def invented() -> HullStore:
    """LiCl at -4 eV and LiCl3 at -4.8 eV a formula: windows 0-3.6 V and 3.6-4.8 V."""
    return HullStore(read("LiCl", "LiCl3"), np.array([-2.0, -1.2]))


def test_profile_worked_by_hand(invented: HullStore) -> None:
    profile = reaction_profile(invented, "LiCl3", "Li")
    steps = [(s.low_v, s.high_v, s.uptake, s.products) for s in profile.steps]
    assert steps[0] == (
        pytest.approx(0.0),
        pytest.approx(3.6),
        pytest.approx(2.0),
        {"LiCl": pytest.approx(3)},
    )
    assert steps[1] == (pytest.approx(3.6), pytest.approx(4.8), 0.0, {"LiCl3": pytest.approx(1)})
    assert steps[2] == (pytest.approx(4.8), 6.0, pytest.approx(-1.0), {"Cl2": pytest.approx(1.5)})
    # LiCl3 + 2 Li -> 3 LiCl releases 12 - 4.8 = 7.2 eV at 0 V, 2 eV less for each volt.
    np.testing.assert_allclose(
        profile.energy_ev_atom(np.array([0.0, 1.0, 3.6, 4.0, 5.8])), [-1.8, -1.3, 0, 0, -0.25], atol=1e-9
    )
    reduced, nothing, oxidised = (profile.reaction(v) for v in (1.0, 4.0, 5.0))
    assert str(reduced) == "LiCl3 + 2 Li -> 3 LiCl"
    assert reduced is not None
    assert reduced.energy_ev == pytest.approx(-5.2)
    assert nothing is None
    assert str(oxidised) == "LiCl3 -> 1.5 Cl2 + Li"
    table = profile.table()
    assert table["products"].tolist() == ["LiCl", "LiCl3", "Cl2"]


def test_metastable_phases_in_a_profile(invented: HullStore) -> None:
    # LiCl2 at -4 eV is 0.4 eV above half LiCl and half LiCl3.
    put = reaction_profile(invented, "LiCl2", "Li", -4 / 3)
    assert put.energy_ev_atom(np.array([3.6]))[0] == pytest.approx(0.0)
    own = reaction_profile(invented, "LiCl2", "Li", -4 / 3, on_hull=False)
    assert own.energy_ev_atom(np.array([3.6]))[0] == pytest.approx(-0.4 / 3)
    assert own.above_hull_ev_atom == pytest.approx(0.4 / 3)
    # A phase below the hull costs energy to decompose inside its window.
    stable = reaction_profile(invented, "LiCl2", "Li", -1.55)
    assert stable.energy_ev_atom(np.array([3.6]))[0] == pytest.approx(0.25 / 3)


@pytest.mark.parametrize(
    "formula", ["Li3YCl6", "Li3InCl6", "LiAlCl2.5O0.75", "Li6PS5Cl", "LiCoO2", "Na3YCl6"]
)
def test_reactions_balance_and_limits_are_those_of_the_hull(formula: str, store: HullStore) -> None:
    ion = "Na" if formula.startswith("Na") else "Li"
    profile = reaction_profile(store, formula, ion)
    for step in profile.steps:
        reaction = profile.reaction((step.low_v + step.high_v) / 2)
        if reaction is not None:
            assert reaction.imbalance() < 1e-9
    stays = [step for step in profile.steps if step.uptake == 0]
    window = store.window(read(formula), [ion])
    assert stays[0].low_v == pytest.approx(window[0][0], abs=1e-3)
    assert stays[-1].high_v == pytest.approx(window[1][0], abs=1e-3)
    energies = profile.energy_ev_atom(np.linspace(0, 6, 61))
    assert (energies <= 1e-6).all()


def test_profiles_need_a_hull_and_the_ion(store: HullStore) -> None:
    with pytest.raises(CompositionError, match="holds no Li"):
        reaction_profile(store, "NaCl", "Li")
    with pytest.raises(CompositionError, match="no compound of He"):
        reaction_profile(store, "LiHe", "Li")
    with pytest.raises(CompositionError, match="the metal itself"):
        reaction_profile(store, "Li", "Li")


def test_lines_by_facets_and_by_programmes_agree() -> None:
    rng = np.random.default_rng(3)
    for elements in (2, 3, 4):
        whole = np.unique(rng.integers(0, 4, (12 * elements, elements)), axis=0)
        whole = whole[(whole > 0).sum(axis=1) > 1]
        fractions = np.unique((whole / whole.sum(axis=1, keepdims=True)).round(12), axis=0)
        energies = -rng.uniform(0.2, 1.0, len(fractions))
        start, end = rng.dirichlet(np.ones(elements), 2)
        lines = [
            hull_line(kind(fractions, energies), start, end - start, 1.0)
            for kind in (FacetHull, ProgrammeHull)
        ]
        where = np.linspace(0, 1, 41)
        np.testing.assert_allclose(lines[0].at(where), lines[1].at(where), atol=1e-6)
        x = start + where[:, None] * (end - start)
        np.testing.assert_allclose(lines[0].at(where), FacetHull(fractions, energies).energy(x), atol=1e-9)


def test_windows_read_off_lines_are_those_of_the_hull(store: HullStore) -> None:
    names = ["Li3YCl6", "LiTaOCl4", "Li2ZrCl6", "LiAlCl2.5O0.75", "Na2ZrCl6"]
    ions = ["Na" if name.startswith("Na") else "Li" for name in names]
    lines = ion_lines(store, read(*names), ions)
    hull = store.hull_energy(read(*names))
    np.testing.assert_allclose(lines.hull / lines.atoms, hull, atol=1e-9)
    levels = hull - np.array([-0.1, 0.0, 0.02, 0.3])[:, None]
    reduction, oxidation = lines.limits(levels)
    for row, level in enumerate(levels):
        expected = store.window(read(*names), ions, level)
        np.testing.assert_allclose(reduction[row], expected[0], atol=1e-3)
        np.testing.assert_allclose(oxidation[row], expected[1], atol=1e-3)
    # LiCl -> 1/2 Cl2 + Li: two atoms, one electron; against lithium nothing happens.
    leverage = ion_lines(store, read("LiCl"), ["Li"]).leverage(store.known_energy(read("LiCl")))
    assert np.isnan(leverage[0][0])
    assert leverage[1][0] == pytest.approx(2.0)


def test_rows_without_a_line_are_empty(store: HullStore) -> None:
    lines = ion_lines(store, read("AlCl3", "LiHe", "Li", "LiCl"), ["Li"] * 4)
    assert np.isnan(lines.hull).tolist() == [True, True, True, False]
    reduction, oxidation = lines.limits(np.zeros((1, 4)))
    assert np.isnan(oxidation[0]).tolist() == np.isnan(reduction[0]).tolist() == [True, True, True, False]
    names = phase_names(store, read("AlCl3", "LiCl"), ["Li", "Li"], np.array([np.nan, 0.0]))
    assert names.tolist() == ["", "Cl2"]


def test_decomposition_in_batches_and_alone(store: HullStore) -> None:
    assert competing_phases(store, read("Li3InCl6", "Li3YCl6", "LiHe")).tolist() == [
        "LiCl + InCl3",
        "LiCl + YCl3",
        "",
    ]
    reaction = decomposition_reaction(store, "Li3InCl6")
    assert str(reaction) == "Li3InCl6 -> 3 LiCl + InCl3"
    assert reaction.energy_ev_atom() == pytest.approx(0.01494, abs=1e-4)
    assert np.isnan(decomposition_reaction(store, "Li3YCl6").energy_ev)


@pytest.mark.parametrize(
    ("electrolyte", "partner"),
    [("Li3InCl6", "LiCoO2"), ("Li3InCl6", "CoO2"), ("LiAlCl4", "Li"), ("Na3YCl6", "NaCoO2")],
)
def test_interfaces_agree_with_pymatgen(electrolyte: str, partner: str, store: HullStore) -> None:
    numbers = sorted({int(z) for z in read(electrolyte, partner).atomic_numbers.ravel() if z})
    system = store.systems.system(tuple(numbers))
    entries = [PDEntry(Composition(symbols()[z]), 0.0) for z in numbers]
    for row in system.rows.tolist():
        phase = Composition(store.systems.formula(row))
        entries.append(PDEntry(phase, store.systems.energies[row] * phase.num_atoms))
    pair = InterfacialReactivity(Composition(partner), Composition(electrolyte), PhaseDiagram(entries))
    least = min(kink[2] for kink in pair.get_kinks())
    found = interface_reaction(store, electrolyte, Partner("", partner), on_hull=False)
    assert found.energy_ev_atom == pytest.approx(least, abs=1e-4)
    assert found.reaction is not None
    assert found.reaction.imbalance() < 1e-6
    assert found.reaction.energy_ev_atom() == pytest.approx(found.energy_ev_atom, abs=1e-6)


def test_interfaces_worked_by_hand(invented: HullStore) -> None:
    # LiCl3 + 2 Li -> 3 LiCl, -7.2 eV for six atoms.
    found = interface_reaction(invented, "LiCl3", Partner("Li metal", "Li"))
    assert found.energy_ev_atom == pytest.approx(-1.2)
    assert found.mutual_ev_atom == pytest.approx(-1.2)
    assert found.share == pytest.approx(4 / 6)
    assert str(found.reaction) == "LiCl3 + 2 Li -> 3 LiCl"
    nothing = interface_reaction(invented, "LiCl", Partner("Li metal", "Li"))
    assert (nothing.energy_ev_atom, nothing.reaction, nothing.volume) == (0.0, None, None)
    # The mixture LiCl2 decomposes by itself when it is not put on the hull.
    own = interface_reaction(invented, "LiCl2", Partner("salt", "LiCl"), -4 / 3, on_hull=False)
    assert own.energy_ev_atom == pytest.approx(-0.4 / 3)
    assert own.mutual_ev_atom == pytest.approx(0.0)


def test_partners(store: HullStore) -> None:
    names = [p.name for p in partners_of("Li", ["NMC811", "LiFePO4"])]
    assert names == ["Li metal", "NMC811, discharged", "NMC811, charged", "LiFePO4", "sulfide electrolyte"]
    assert CATHODES["NMC622"][0].formula == "Li5Ni3MnCoO10"
    for discharged, charged in CATHODES.values():
        ion = "Li" if "Li" in discharged.formula else "Na"
        assert discharged.formula.removeprefix(ion).lstrip("0123456789") == charged.formula
    with pytest.raises(PartnerError, match="neither a formula nor one of LCO"):
        partners_of("Li", ["NMC-what"])
    table = interface_table(store, ["LiHeCl", "LiCl"], ["Li", "Li"], ["LCO"])
    assert len(table) == 8
    first = table[table["formula"] == "LiHeCl"]
    assert first["reaction_energy_ev_atom"].isna().all()
    assert (first["note"] == "LiHeCl: no compound of He in the table formation_energy").all()
    assert table["reaction"].tolist()[4:6] == ["coexist", "coexist"]


def test_volume_change_worked_by_hand() -> None:
    # 2 Na + Cl2 -> 2 NaCl: the gas does not count.
    reaction = Reaction({"Na": 2.0, "Cl2": 1.0}, {"NaCl": 2.0}, -8.0)
    salt, metal = volume_a3("NaCl"), volume_a3("Na")
    assert metal == pytest.approx(23.78 * A3_PER_CM3_MOL)
    assert salt is not None
    assert volume_change(reaction).fraction == pytest.approx(salt / metal - 1)
    backwards = volume_change(Reaction({"NaCl": 2.0}, {"Na": 2.0, "Cl2": 1.0}, 8.0))
    assert backwards.gases == ("Cl2",)
    assert backwards.note() == "Cl2 evolves"
    unknown = volume_change(Reaction({"Li3YCl6": 1.0}, {"LiCl": 3.0, "YCl3": 1.0}, 0.0))
    assert np.isnan(unknown.fraction)
    assert unknown.note() == "volume of Li3YCl6 unknown"
    given = volume_change(Reaction({"Li3YCl6": 1.0}, {"LiCl": 3.0, "YCl3": 1.0}, 0.0), {"Li3YCl6": 2.43})
    assert abs(given.fraction) < 0.2


def test_solid_solutions_borrow_the_volume_of_their_ends() -> None:
    density = mixed_density("LiNi0.5Co0.5O2", {"LiNiO2": 0.5, "LiCoO2": 0.5})
    ends = [volume_a3("LiNiO2"), volume_a3("LiCoO2")]
    assert volume_a3("LiNi0.5Co0.5O2", density) == pytest.approx(np.mean([v for v in ends if v]))
    assert mixed_density("LiCoO2", {}) == {}
    assert mixed_density("LiNi0.5Co0.5O2", {"LiXeO2": 1.0}) == {}
