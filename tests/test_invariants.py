"""What must hold of every material: scale, order, units, prices, hulls, neighbours in a batch.

Monotone pressures stand in test_pressure.py, conserved elements in test_cost.py and test_recipes.py, those of
crystals in test_crystal_network.py.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.own.quantities import in_own_unit, understand
from softlyte.datasets.tables import load_table
from softlyte.featurize.charge import charge_imbalance
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictor import Predictor
from softlyte.screening.cost import precursor_cost
from softlyte.screening.decision import assess, decide, joint_probability
from softlyte.screening.families import classify_family
from softlyte.screening.known import nearest_known
from softlyte.screening.prices import PriceTable
from softlyte.screening.targets import TARGET_COLUMNS, Target, load_targets, make_targets

some = settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

CATIONS = {"Li": 1, "Na": 1, "Al": 3, "Y": 3, "In": 3, "Zr": 4, "Ta": 5, "Nb": 5, "Ti": 4}
ANIONS = {"F": 1, "Cl": 1, "Br": 1, "I": 1, "O": 2}


@st.composite
def materials(draw: st.DrawFn) -> dict[str, float]:
    """A charge-balanced composition of the elements of the tiny ensemble, in quarters of atoms."""
    cations = {draw(st.sampled_from(["Li", "Na"])): draw(st.integers(1, 6))}
    for symbol in draw(st.lists(st.sampled_from(list(CATIONS)), max_size=2, unique=True)):
        cations.setdefault(symbol, draw(st.integers(1, 3)))
    charge = sum(CATIONS[s] * n for s, n in cations.items())
    first, second = draw(st.sampled_from([("Cl", "O"), ("Cl", "Br"), ("F", "O"), ("I", "Cl")]))
    share = draw(st.sampled_from([0.0, 0.25, 0.5]))
    anions = {first: charge * (1 - share) / ANIONS[first], second: charge * share / ANIONS[second]}
    return cations | {symbol: n for symbol, n in anions.items() if n > 0}


def written(amounts: dict[str, float], order: list[str], scale: int = 1) -> str:
    return "".join(f"{symbol}{amounts[symbol] * scale:.10g}" for symbol in order)


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


# Formulas


@some
@given(materials(), st.integers(2, 9), st.randoms(use_true_random=False), st.sampled_from([0, 1]))
def test_scale_and_order_of_a_formula_change_nothing(
    predictor: Predictor, amounts: dict[str, float], scale: int, random, phase: int
) -> None:
    order = list(amounts)
    random.shuffle(order)
    one, other = read(written(amounts, list(amounts))), read(written(amounts, order, scale))
    code = np.array([phase], np.uint8)
    tables = [decide(c, code, predictor.predict(c, code)) for c in (one, other)]
    # A recipe states moles of the formula as it is written.
    pd.testing.assert_frame_equal(
        *(table.drop(columns="precursor_route") for table in tables), rtol=1e-5, atol=1e-12
    )
    assert one.groups().tolist() == other.groups().tolist()
    assert Compositions.concatenate([one, other]).groups().tolist() == [0, 0]
    assert chemical_systems(one) == chemical_systems(other)
    assert classify_family(one).tolist() == classify_family(other).tolist()
    assert charge_imbalance(other) == pytest.approx(charge_imbalance(one), abs=1e-6)
    near = [nearest_known(c) for c in (one, other)]
    assert near[0][0].tolist() == near[1][0].tolist()
    assert near[1][1] == pytest.approx(near[0][1], abs=1e-9)


@some
@given(st.lists(materials(), min_size=2, max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
def test_a_prediction_does_not_know_its_neighbours(
    predictor: Predictor, rows: list[dict[str, float]], random, batch_size: int
) -> None:
    compositions = read(*(written(amounts, list(amounts)) for amounts in rows))
    phase = np.array([random.randrange(len(PHASES)) for _ in rows])
    whole = predictor.predict(compositions, phase)
    order = np.array(random.sample(range(len(rows)), random.randrange(1, len(rows))))
    part = predictor.predict(compositions[order], phase[order], batch_size=batch_size)
    for name, prediction in part.properties.items():
        expected = whole[name].take(order)
        np.testing.assert_allclose(prediction.member_mean, expected.member_mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(prediction.member_sd, expected.member_sd, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(part.applicability, whole.applicability[order], rtol=1e-3, atol=1e-6)
    targets = load_targets()
    joint = joint_probability(assess(compositions, phase.astype(np.uint8), whole), targets)
    alone = joint_probability(assess(compositions[order], phase[order].astype(np.uint8), part), targets)
    np.testing.assert_allclose(alone, joint[order], rtol=1e-3, atol=1e-9)


# Units

UNITS = {
    "conductivity": {"S/cm": 1.0, "mS/cm": 1e-3, "S/m": 1e-2, "uS/cm": 1e-6, "mS m^-1": 1e-5},
    "youngs_modulus": {"GPa": 1.0, "MPa": 1e-3, "kbar": 0.1, "Pa": 1e-9, "N/mm^2": 1e-3},
    "hardness": {"GPa": 1.0, "MPa": 1e-3, "kgf/mm^2": 9.80665e-3},
    "stack_pressure": {"MPa": 1.0, "bar": 0.1, "kPa": 1e-3, "atm": 0.101325},
    "density": {"g/cm3": 1.0, "kg/m^3": 1e-3, "kg/L": 1.0},
    "oxidation": {"V": 1.0, "mV": 1e-3},
}


@some
@given(st.sampled_from([(q, u) for q, units in UNITS.items() for u in units]), st.floats(1e-6, 1e6))
def test_a_quantity_is_the_same_in_every_unit(pair: tuple[str, str], value: float) -> None:
    quantity, unit = pair
    factor = UNITS[quantity][unit]
    found = in_own_unit(np.array([value / factor]), understand(f"{quantity} ({unit})"))
    assert found[0] == pytest.approx(value, rel=1e-9)


@some
@given(st.floats(-200, 600))
def test_temperatures_convert_with_their_offset(celsius: float) -> None:
    for header, value in (("temperature (C)", celsius), ("T (K)", celsius + 273.15)):
        assert in_own_unit(np.array([value]), understand(header))[0] == pytest.approx(celsius, abs=1e-9)
    tg = in_own_unit(np.array([celsius]), understand("glass transition (C)"))[0]
    assert tg == pytest.approx(celsius + 273.15, abs=1e-9)


@some
@given(materials(), st.floats(0.2, 5.0))
def test_targets_in_two_units_are_one_target(
    predictor: Predictor, amounts: dict[str, float], limit: float
) -> None:
    composition, phase = read(written(amounts, list(amounts))), np.zeros(1, np.uint8)
    judged = assess(composition, phase, predictor.predict(composition, phase))
    one = Target(column="sigma_ms_cm", comparison=">=", value=limit)
    other = Target(column="log10_sigma_s_cm", comparison=">=", value=float(np.log10(limit)) - 3.0)
    assert judged.probability(one) == pytest.approx(judged.probability(other), rel=1e-9)
    assert judged.median("sigma_ms_cm") == pytest.approx(1e3 * 10 ** judged.median("log10_sigma_s_cm"))
    litre = judged.median("cost_usd_kg") * judged.predictions["density_g_cm3"].median()
    assert judged.median("cost_usd_l") == pytest.approx(litre, nan_ok=True)
    # A layer of 50 um is 0.05 litres a square metre.
    assert judged.median("cost_usd_m2") == pytest.approx(0.05 * litre, nan_ok=True)


# Decisions

CONTINUOUS = [name for name in TARGET_COLUMNS if name not in ("hardness_gpa", "e_above_hull_ev_atom")]


@some
@given(
    materials(),
    st.sampled_from(CONTINUOUS),
    st.floats(-1.0, 10.0),
    st.floats(0.0, 5.0),
    st.sampled_from([0, 1]),
)
def test_a_looser_target_is_never_less_likely(
    predictor: Predictor, amounts: dict[str, float], column: str, value: float, slack: float, phase: int
) -> None:
    composition, code = read(written(amounts, list(amounts))), np.array([phase], np.uint8)
    judged = assess(composition, code, predictor.predict(composition, code))

    def chance(comparison: str, limit: float) -> float:
        one = {"column": column, "comparison": comparison, "value": limit}
        return float(joint_probability(judged, make_targets({"target": [one]}))[0])

    assert chance("<", value) <= chance("<", value + slack) + 1e-12
    assert chance(">", value + slack) <= chance(">", value) + 1e-12
    assert 0 <= chance("<", value) <= 1
    # What is there is on one side of a limit; what is unknown on none.
    assert chance("<", value) + chance(">=", value) <= 1 + 1e-9


# Prices


@lru_cache(maxsize=1)
def price_frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    return load_table("precursors"), load_table("precursors_hydrate")


@some
@given(st.lists(materials(), min_size=1, max_size=6), st.floats(1.0, 50.0), st.data())
def test_a_dearer_precursor_never_makes_an_electrolyte_cheaper(
    rows: list[dict[str, float]], factor: float, data: st.DataObject
) -> None:
    binary, wet = price_frames()
    elements = {symbol for amounts in rows for symbol in amounts}
    known = binary[binary["cation"].isin(elements) & binary["anion"].isin(elements)]
    assume(len(known))
    dearer = data.draw(st.sampled_from(sorted(known["formula"])))
    columns = ["price_usd_kg", "low_usd_kg", "high_usd_kg"]
    raised = binary.astype(dict.fromkeys(columns, float))
    raised.loc[raised["formula"] == dearer, columns] *= factor
    compositions = read(*(written(amounts, list(amounts)) for amounts in rows))
    before = precursor_cost(compositions, PriceTable.from_frame(binary, wet)).usd_kg
    after = precursor_cost(compositions, PriceTable.from_frame(raised, wet)).usd_kg
    assert (np.isnan(before) == np.isnan(after)).all()
    there = ~np.isnan(before)
    assert (after[there] >= before[there] * (1 - 1e-9)).all()
    assert (after[there] <= before[there] * factor * (1 + 1e-9)).all()


# Hulls


@lru_cache(maxsize=1)
def known_phases() -> tuple[list[str], np.ndarray]:
    table = load_table("formation_energy", drop_flagged=True)
    return table["formula"].tolist(), table["formation_energy_ev_atom"].to_numpy(float)


@some
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_no_phase_of_the_table_lies_below_its_hull(store: HullStore, numbers: list[int]) -> None:
    formulas, energies = known_phases()
    chosen = [number % len(formulas) for number in numbers]
    compositions = read(*(formulas[i] for i in chosen))
    above = store.energy_above_hull(compositions, energies[chosen], exclude_self=False)
    assert (above >= -1e-9).all()
    # Without itself among them, the competitors can only be higher.
    margin = store.energy_above_hull(compositions, energies[chosen])
    assert (margin <= above + 1e-9).all()
    # No composition lies above its elements.
    assert (store.hull_energy(compositions, exclude_self=False) <= 1e-9).all()


@some
@given(materials(), st.floats(-4.0, 0.0), st.floats(0.0, 0.5))
def test_energies_above_the_hull_follow_the_energy(
    store: HullStore, amounts: dict[str, float], energy: float, step: float
) -> None:
    composition = read(written(amounts, list(amounts)))
    low, high = (store.energy_above_hull(composition, np.array([e])) for e in (energy, energy + step))
    assert high - low == pytest.approx([step], abs=1e-9, nan_ok=True)
