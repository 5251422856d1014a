"""Hulls and windows: worked by hand, against linear programmes, pymatgen and the literature."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import CheckResult, check_tables, load_table
from softlyte.featurize import convex_hull
from softlyte.featurize.convex_hull import FacetHull, ProgrammeHull, system_hull
from softlyte.featurize.decomposition import DecompositionError, decomposition_reaction
from softlyte.featurize.phase_diagram import HullStore
from softlyte.featurize.stoichiometry import whole_number_stoichiometry


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


@pytest.fixture(scope="module")
def phases() -> dict[str, float]:
    table = load_table("formation_energy", drop_flagged=True)
    return dict(zip(table["formula"], table["formation_energy_ev_atom"], strict=True))


@pytest.fixture
def invented() -> HullStore:
    """Two phases of invented energies: facets Li-LiCl, LiCl-LiCl3 and LiCl3-Cl.

    Their potentials (Li, Cl), by hand, are (0, -4), (-3.6, -0.4) and (-4.8, 0) eV.
    """
    return HullStore(read("LiCl", "LiCl3", "Li2Cl2"), np.array([-2.0, -1.2, -1.9]))


def test_windows_worked_by_hand(invented: HullStore) -> None:
    assert len(invented) == 2  # Li2Cl2 is LiCl again, and higher
    reduction, oxidation = invented.window(read("LiCl", "LiCl3"), ["Li", "Li"])
    np.testing.assert_allclose(reduction, [0.0, 3.6], atol=1e-9)
    np.testing.assert_allclose(oxidation, [3.6, 4.8], atol=1e-9)


def test_hull_energies_worked_by_hand(invented: HullStore) -> None:
    compositions = read("LiCl", "LiCl2", "LiCl3", "Li")
    np.testing.assert_allclose(
        invented.hull_energy(compositions, exclude_self=False), [-2.0, -8.8 / 6, -1.2, 0.0], atol=1e-12
    )
    # Without LiCl, 3 LiCl -> LiCl3 + 2 Li: -4.8 eV for 6 atoms. Without LiCl3, 2 atoms of 4 are LiCl.
    np.testing.assert_allclose(invented.hull_energy(compositions), [-0.8, -8.8 / 6, -1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(
        invented.energy_above_hull(compositions, np.array([-2.0, -1.4, -1.2, 0.0])),
        [-1.2, 8.8 / 6 - 1.4, -0.2, 0.0],
        atol=1e-12,
    )
    np.testing.assert_array_equal(invented.known_energy(compositions), [-2.0, np.nan, -1.2, np.nan])
    reaction = decomposition_reaction(invented, "LiCl")
    assert reaction.products == pytest.approx({"Li": 2 / 3, "LiCl3": 1 / 3})
    assert reaction.energy_ev == pytest.approx(-1.6 + 4.0)
    assert decomposition_reaction(invented, "LiCl", exclude_self=False).products == pytest.approx(
        {"LiCl": 1.0}
    )


def test_energies_of_the_caller_worked_by_hand(invented: HullStore) -> None:
    # LiCl2 at -4.65 eV a formula is 0.25 eV below LiCl + LiCl3; its edges are at mu_Cl -0.65 and -0.15.
    reduction, oxidation = invented.window(read("LiCl2"), ["Li"], np.array([-1.55]))
    np.testing.assert_allclose([reduction[0], oxidation[0]], [3.35, 4.35], atol=1e-9)
    # An energy for a phase of the store replaces the store's: LiCl at -3 eV, mu_Cl -0.9 beside LiCl3.
    reduction, oxidation = invented.window(read("LiCl"), ["Li"], np.array([-1.5]))
    np.testing.assert_allclose([reduction[0], oxidation[0]], [0.0, 2.1], atol=1e-9)
    # Repeating the store's own energy changes nothing.
    reduction, oxidation = invented.window(read("LiCl"), ["Li"], np.array([-2.0]))
    np.testing.assert_allclose([reduction[0], oxidation[0]], [0.0, 3.6], atol=1e-9)


def test_conventions_for_metastable_phases(invented: HullStore) -> None:
    compositions, ions = read("LiCl2", "LiCl2", "LiCl", "LiCl2"), ["Li"] * 4
    energies = np.array([-1.4, -1.55, -2.0, np.nan])
    reduction, oxidation = invented.window(compositions, ions, energies)
    np.testing.assert_allclose(reduction, [3.6, 3.35, 0.0, 3.6], atol=1e-9)
    np.testing.assert_allclose(oxidation, [3.6, 4.35, 3.6, 3.6], atol=1e-9)
    strict = invented.evaluate(compositions, ions, energies, metastable="strict")
    np.testing.assert_allclose(strict.reduction_v, [np.nan, 3.35, 0.0, np.nan], atol=1e-9)
    assert strict.reason.tolist() == ["0.0667 eV/atom above the hull", "", "", "its energy is unknown"]
    np.testing.assert_allclose(strict.hull_energy_ev_atom[[0, 3]], -8.8 / 6)


def random_system(seed: int, elements: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractions and energies of invented phases, and compositions inside the system."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 4, size=(12 * elements, elements))
    whole = np.unique(whole[(whole > 0).sum(axis=1) > 1], axis=0)
    fractions = whole / whole.sum(axis=1, keepdims=True)
    fractions = np.unique(fractions.round(12), axis=0)
    energies = -rng.uniform(0.2, 1.0, len(fractions)) * (1 - (fractions**2).sum(axis=1))
    x = rng.integers(1, 6, size=(8, elements)).astype(float)
    return fractions, energies, x / x.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("elements", [2, 3, 4, 5])
def test_facets_agree_with_linear_programmes(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The programmes relax equilibrium by this much, which the division by an amount would magnify.
    monkeypatch.setattr(convex_hull, "EQUILIBRIUM_TOLERANCE", 1e-8)
    for seed in range(3):
        fractions, energies, x = random_system(seed, elements)
        facets, programme = FacetHull(fractions, energies), ProgrammeHull(fractions, energies)
        hull = facets.energy(x)
        np.testing.assert_allclose(hull, programme.energy(x), atol=1e-8)
        for level in (hull, hull - 0.02, hull - 0.3):
            for element in range(elements):
                got = np.array(facets.potential_range(x, level, element))
                wanted = np.array(programme.potential_range(x, level, element))
                np.testing.assert_allclose(got, wanted, atol=1e-4)
        own = np.concatenate([energies, np.zeros(elements)])
        matrix = np.vstack([fractions, np.eye(elements)])
        for row in range(len(x)):
            for mixture in (facets.mixture(x[row]), programme.mixture(x[row])):
                np.testing.assert_allclose(mixture @ matrix, x[row], atol=1e-6)
                assert mixture @ own == pytest.approx(hull[row], abs=1e-6)


def test_systems_without_compounds_and_of_many_elements() -> None:
    nothing = system_hull(np.zeros((0, 3)), np.zeros(0))
    x = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(nothing.energy(x), [0.0])
    np.testing.assert_array_equal(nothing.mixture(x[0]), x[0])
    # LiCl and NaF among nine elements: too many for facets.
    fractions = np.zeros((2, 9))
    fractions[0, [0, 1]] = fractions[1, [2, 3]] = 0.5
    many = system_hull(fractions, np.array([-2.0, -3.0]))
    assert isinstance(many, ProgrammeHull)
    x = np.full((1, 9), 1 / 9)
    np.testing.assert_allclose(many.energy(x), [-10 / 9], atol=1e-9)
    lower, upper = many.potential_range(x, many.energy(x), 0)
    np.testing.assert_allclose([lower[0], upper[0]], [-4.0, 0.0], atol=1e-3)


REAL = (
    "Li3InCl6",
    "Li3ErCl6",
    "Li3ScCl6",
    "LiAlCl4",
    "Na3YCl6",
    "NaTaCl6",
    "Li6PS5Cl",
    "Li7La3Zr2O12",
    "Li3YCl6",
    "LiTaOCl4",
    "LiAlCl2.5O0.75",
    "LiAl",
    "Na2ZrCl6",
)
"""Stable, metastable, unknown and glassy compositions."""


def ion_of(formula: str) -> str:
    return "Na" if "Na" in formula else "Li"


@pytest.mark.parametrize("formula", REAL)
def test_agrees_with_pymatgen(formula: str, store: HullStore, phases: dict[str, float]) -> None:
    composition = Composition(formula)
    elements = set(composition.elements)
    entries = [PDEntry(Composition(element.symbol), 0.0) for element in elements]
    letters = {element.symbol for element in elements}
    for name, energy in phases.items():
        if set("".join(c if c.isalpha() else " " for c in name)) - set("".join(letters) + " "):
            continue
        phase = Composition(name)
        if set(phase.elements) <= elements and len(phase) > 1:
            entries.append(PDEntry(phase, energy * phase.num_atoms))
    diagram = PhaseDiagram(entries)
    hull = store.hull_energy(read(formula), exclude_self=False)[0]
    assert hull == pytest.approx(diagram.get_hull_energy_per_atom(composition), abs=1e-6)
    ion = ion_of(formula)
    profile = diagram.get_element_profile(Element(ion), composition)
    # The profile lists, from the metal downwards, the potentials where the ion begins to leave; the
    # phase neither takes up nor loses the ion from the first entry without uptake to the next.
    volts = [-float(step["chempot"]) for step in profile]
    uptake = [float(step["evolution"]) for step in profile]
    reduction, oxidation = store.window(read(formula), [ion])
    at = [i for i, amount in enumerate(uptake) if abs(amount) < 1e-3]
    if at:
        assert reduction[0] == pytest.approx(volts[at[0]], abs=2e-3)
        assert oxidation[0] == pytest.approx(volts[at[-1] + 1], abs=2e-3)
    else:
        assert reduction[0] == pytest.approx(oxidation[0], abs=2e-3)
        first_loss = next(i for i, amount in enumerate(uptake) if amount < 0)
        assert oxidation[0] == pytest.approx(volts[first_loss], abs=2e-3)


@pytest.mark.parametrize(
    ("formula", "reduction_v", "oxidation_v"),
    [
        ("Li3PS4", 1.71, 2.31),
        ("Li7P3S11", 2.28, 2.31),
        ("Li2PO2N", 0.68, 2.63),
        ("Li7La3Zr2O12", 0.05, 2.91),
        ("Li0.3333La0.5556TiO3", 1.75, 3.71),
        ("Li1.3Al0.3Ti1.7P3O12", 2.17, 4.21),
        ("Li3PO4", 0.69, 4.21),
    ],
)
def test_agrees_with_published_windows(
    formula: str, reduction_v: float, oxidation_v: float, store: HullStore
) -> None:
    """Zhu, He, Mo, ACS Appl. Mater. Interfaces 7, 23685 (2015), doi:10.1021/acsami.5b07517."""
    reduction, oxidation = store.window(read(formula), ["Li"])
    assert reduction[0] == pytest.approx(reduction_v, abs=0.06)
    assert oxidation[0] == pytest.approx(oxidation_v, abs=0.06)


def test_single_batch_order_and_scale_do_not_matter(store: HullStore) -> None:
    ions = [ion_of(formula) for formula in REAL]
    batch = store.evaluate(read(*REAL), ions)
    backwards = store.evaluate(read(*REAL[::-1]), ions[::-1])
    for row, formula in enumerate(REAL):
        compositions = read(formula)
        doubled = Compositions(compositions.atomic_numbers, compositions.amounts * 2)
        for same in (store.evaluate(compositions, [ions[row]]), store.evaluate(doubled, [ions[row]])):
            for name in ("hull_energy_ev_atom", "known_energy_ev_atom", "reduction_v", "oxidation_v"):
                value = getattr(batch, name)[row]
                assert getattr(same, name)[0] == pytest.approx(value, abs=1e-9, nan_ok=True)
                mirrored = getattr(backwards, name)[len(REAL) - 1 - row]
                assert mirrored == pytest.approx(value, abs=1e-9, nan_ok=True)
    assert (batch.hull_energy_ev_atom <= 0).all()
    assert (batch.reduction_v <= batch.oxidation_v).all()
    assert (batch.reason == "").all()


def test_stable_phases_have_a_margin(store: HullStore, phases: dict[str, float]) -> None:
    names = ["LiCl", "NaCl", "Li3InCl6", "Li3ScCl6"]
    energies = np.array([phases[name] for name in names])
    np.testing.assert_array_equal(store.known_energy(read(*names)), energies)
    margin = store.energy_above_hull(read(*names), energies)
    whole = store.energy_above_hull(read(*names), energies, exclude_self=False)
    # LiCl competes with Li and Cl alone; Li3ScCl6 is metastable in this table either way.
    assert margin[0] == pytest.approx(energies[0])
    assert (margin[:3] < -1e-3).all()
    assert margin[3] == pytest.approx(whole[3])
    assert whole[3] > 0
    np.testing.assert_allclose(whole[:3], 0.0, atol=1e-9)


def test_lower_energy_never_narrows_the_window(store: HullStore) -> None:
    names = ["Li3YCl6", "LiTaOCl4", "Li2ZrCl6", "LiAlCl2.5O0.75"]
    hull = store.hull_energy(read(*names))
    before = store.window(read(*names), ["Li"] * 4)
    for margin in (1e-4, 0.01, 0.05, 0.5):
        after = store.window(read(*names), ["Li"] * 4, hull - margin)
        assert (after[0] <= before[0] + 1e-9).all()
        assert (after[1] >= before[1] - 1e-9).all()
        before = after
    assert (before[1] > store.window(read(*names), ["Li"] * 4)[1]).all()


def test_bad_rows_are_named_and_do_not_hurt_the_others(store: HullStore) -> None:
    names = ["LiCl", "AlCl3", "LiHeCl", "LiRn2", "NaCl", "KCl"]
    result = store.evaluate(read(*names), ["Li", "Li", "Li", "Li", "Li", "K"])
    assert result.reason.tolist() == [
        "",
        "holds no Li",
        "no compound of He in the table formation_energy",
        "no compound of Rn in the table formation_energy",
        "holds no Li",
        "the mobile ion is Li or Na, not 'K'",
    ]
    assert np.isfinite(result.hull_energy_ev_atom).tolist() == [True, True, False, False, True, True]
    assert np.isfinite(result.oxidation_v).tolist() == [True] + [False] * 5
    np.testing.assert_array_equal(np.isnan(result.oxidation_v), np.isnan(result.reduction_v))
    empty = store.evaluate(Compositions(np.zeros((0, 3), np.uint8), np.zeros((0, 3))), [])
    assert len(empty.reason) == len(empty.oxidation_v) == 0
    nothing = store.evaluate(Compositions(np.zeros((1, 2), np.uint8), np.zeros((1, 2))), ["Li"])
    assert nothing.reason.tolist() == ["no atoms"]
    with pytest.raises(DecompositionError, match="no compound of He"):
        decomposition_reaction(store, "LiHeCl")


def test_misuse_is_refused(invented: HullStore) -> None:
    one = read("LiCl")
    with pytest.raises(ValueError, match="as many mobile ions, not 2"):
        invented.evaluate(one, ["Li", "Li"])
    with pytest.raises(ValueError, match="as many energies"):
        invented.evaluate(one, ["Li"], np.zeros(2))
    with pytest.raises(ValueError, match="'on_hull' or 'strict'"):
        invented.evaluate(one, ["Li"], metastable="loose")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"energy of NaCl \(entry 1\) is not finite"):
        HullStore(read("LiCl", "NaCl"), np.array([-1.0, np.nan]))
    with pytest.raises(ValueError, match="as many energies"):
        HullStore(one, np.zeros(2))


def test_decimals_are_read_as_the_fractions_that_they_round() -> None:
    written = read("Li0.3333La0.5556TiO3", "Li2.8Zr0.75Al0.25Cl3.75O1.4", "Li3YCl6", "Ba0.005Li2.99ClO")
    whole = whole_number_stoichiometry(written)
    assert whole.formulas() == ["Li3La5Ti9O27", "Li56Zr15Al5Cl75O28", "Li3YCl6", "Ba0.005Li2.99ClO"]
    np.testing.assert_array_equal(whole.atomic_numbers, written.atomic_numbers)
    moved = np.abs(whole.fractions() - written.fractions())
    assert moved.max() < 1e-4


ROUNDED = {
    "Li0.33La0.56TiO3": "Li3La5Ti9O27",  # 0.01 electrons too many as written
    "Li0.34La0.55TiO3": "Li10La16Ti29O87",  # 0.01 too few
    "Li0.5La0.5TiO3": "LiLaTi2O6",  # neutral as written
    "Li0.3La0.6TiO3": "Li3La6Ti10O30",  # one decimal is no rounding
    "Li0.95FePO4": "Li19Fe20P20O80",  # iron does mix its valences: no neutral neighbour within 0.005
    "Li3.25Ge0.25P0.75S4": "Li13GeP3S16",
}


@pytest.mark.parametrize("written", ROUNDED)
def test_rounded_subscripts_are_read_as_the_neutral_composition_that_they_round(written: str) -> None:
    compositions = read(written)
    whole = whole_number_stoichiometry(compositions)
    assert whole.formulas() == [ROUNDED[written]]
    per_atom = whole.amounts.sum() / compositions.amounts.sum()
    assert np.abs(whole.amounts / per_atom - compositions.amounts).max() < 0.02
    np.testing.assert_array_equal(whole_number_stoichiometry(whole).amounts, whole.amounts)


def test_a_rounded_subscript_opens_no_spurious_limit(store: HullStore) -> None:
    rounded, neutral = store.window(read("Li0.33La0.56TiO3", "Li3La5Ti9O27"), ["Li", "Li"])[1]
    assert rounded == pytest.approx(neutral, abs=1e-6)
    assert rounded > 3.5  # 1.75 V by the 0.01 electrons that the rounding adds


def test_shipped_windows_are_those_of_the_shipped_energies(store: HullStore) -> None:
    assert check_tables(("windows_computed",)) == [CheckResult("windows_computed", ok=True)]
    table = load_table("windows_computed").sample(300, random_state=0)
    result = store.evaluate(
        Compositions.from_formulas(table["formula"]), table["mobile_ion"].tolist(), exclude_self=False
    )
    np.testing.assert_allclose(result.e_above_hull_ev_atom, table["e_above_hull_ev_atom"], atol=1e-6)
    np.testing.assert_allclose(result.reduction_v, table["reduction_v"], atol=2e-4)
    np.testing.assert_allclose(result.oxidation_v, table["oxidation_v"], atol=2e-4)
