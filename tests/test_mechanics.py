"""Mechanics from K and G, rough contact, hand-worked; intervals by sampling."""

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from softlyte.datasets.formulas import Compositions
from softlyte.models.predictions import Predictions, PropertyPrediction, youngs_modulus
from softlyte.screening.contact import (
    ContactError,
    check_fraction,
    contact_for_resistance,
    contact_fraction,
    copper_interface_stress_gpa,
    elastic_pressure_mpa,
    plastic_pressure_mpa,
    yield_interference_um,
)
from softlyte.screening.decision import assess
from softlyte.screening.mechanics import draw_moduli, mechanics, moduli_from_youngs
from softlyte.screening.parameters import Parameter, parameter, replaced
from softlyte.screening.sampled import SAMPLED_COLUMNS, draw_solid, sampled_columns

positive = st.floats(0.1, 300.0)


def test_li6ps5cl_by_hand():
    # K = 28.7, G = 8.1 GPa (Deng et al. 2016): 9KG/(3K+G) = 2092.23/94.2; k = 0.28223.
    one = mechanics(28.7, 8.1)
    assert one.youngs_modulus_gpa == pytest.approx(22.21, abs=0.01)
    assert one.poisson_ratio == pytest.approx((86.1 - 16.2) / (2 * 94.2))
    assert one.pugh_ratio == pytest.approx(3.543, abs=0.001)
    # 2 (0.28223^2 * 8.1)^0.585 - 3 = 2 * 0.77387 - 3, below 0: the form of Chen and Niu fails here.
    assert one.hardness_chen_gpa == pytest.approx(-1.4523, abs=0.0002)
    # 0.92 * 0.28223^1.137 * 8.1^0.708 = 0.92 * 0.23732 * 4.3977.
    assert one.hardness_tian_gpa == pytest.approx(0.960, abs=0.002)
    assert one.yield_strength_gpa == pytest.approx(0.960 / 2.8, abs=0.001)
    assert one.plane_modulus_gpa == pytest.approx(22.21 / (1 - one.poisson_ratio**2), rel=1e-3)


def test_garnet_hardness_by_both_forms():
    # LLZO, K = 102.8, G = 59.6 GPa: both forms near 8-9 GPa, measured 6.3 at 3% porosity.
    one = mechanics(102.8, 59.6)
    assert one.hardness_chen_gpa == pytest.approx(8.51, abs=0.05)
    assert one.hardness_tian_gpa == pytest.approx(8.94, abs=0.05)


@given(positive, st.floats(-0.4, 0.45))
def test_moduli_from_youngs_invert(youngs, poisson):
    k, g = moduli_from_youngs(youngs, poisson)
    one = mechanics(k, g)
    assert one.youngs_modulus_gpa == pytest.approx(youngs)
    assert one.poisson_ratio == pytest.approx(poisson, abs=1e-9)


@given(positive, positive)
def test_no_solid_leaves_the_physical_range(k, g):
    one = mechanics(k, g)
    assert -1 < one.poisson_ratio < 0.5
    assert one.hardness_tian_gpa > 0
    # E* = E/(1-nu^2) is never below E.
    assert one.plane_modulus_gpa >= one.youngs_modulus_gpa * (1 - 1e-12)


def test_moduli_that_no_solid_has_are_refused():
    for k, g in (([1.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 0.0]), ([1.0], [-0.5]), ([-0.5], [1.0])):
        with pytest.raises(ValueError, match="must be positive"):
            mechanics(np.array(k), np.array(g))
    for young, poisson in ((0.0, 0.3), (-5.0, 0.3), (float("nan"), 0.3), (5.0, 0.5), (5.0, -1.0)):
        with pytest.raises(ValueError, match="Young's modulus must be above 0 and Poisson's ratio"):
            moduli_from_youngs(young, poisson)


def test_contact_by_hand():
    # E* = 20 GPa, h' = 0.1, f = 0.1: erfinv(0.1) = 0.088856; 20000 * 0.1 * 0.088856 / sqrt(2) = 125.66 MPa.
    assert elastic_pressure_mpa(np.array(20.0), 0.1) == pytest.approx(125.66, abs=0.01)
    assert plastic_pressure_mpa(np.array(1.0), 0.1) == pytest.approx(100.0)
    assert contact_fraction(np.array(100.0), np.array(20.0), np.array(1.0)) == pytest.approx(0.1)
    soft = contact_fraction(np.array(10.0), np.array(1.0), np.array(5.0))
    assert soft == pytest.approx(erf(np.sqrt(2) * 0.01 / 0.1))
    assert contact_fraction(np.array(1e5), np.array(20.0), np.array(1.0)) == 1.0


@given(st.floats(0.01, 0.9), st.floats(0.01, 0.09), positive, positive)
def test_more_contact_needs_more_pressure_and_gives_it_back(fraction, step, plane, hardness):
    low = min(elastic_pressure_mpa(plane, fraction), plastic_pressure_mpa(hardness, fraction))
    high = min(elastic_pressure_mpa(plane, fraction + step), plastic_pressure_mpa(hardness, fraction + step))
    assert high > low
    assert contact_fraction(low, plane, hardness) == pytest.approx(fraction, rel=1e-6)


def test_contact_for_an_interface_resistance():
    # sigma = 1 mS/cm, a = 1 um: pi * 1e-4 / (4 * 1e-3 * 1) = 0.0785 for 1 ohm cm2.
    assert contact_for_resistance(1.0, 1e-3) == pytest.approx(0.0785, abs=1e-4)
    assert contact_for_resistance(1e-6, 1e-3) == 0.99
    for resistance in (0.0, float("inf"), float("nan")):
        with pytest.raises(ContactError, match="give a positive number"):
            contact_for_resistance(resistance, 1e-3)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_contact_must_be_a_fraction(fraction):
    for ask in (
        check_fraction,
        lambda f: elastic_pressure_mpa(np.array(20.0), f),
        lambda f: plastic_pressure_mpa(np.array(1.0), f),
    ):
        with pytest.raises(ContactError, match="between 0 and 1"):
            ask(fraction)


@pytest.mark.parametrize("fraction", [1e-9, 0.1, 0.999])
def test_a_fraction_is_given_back(fraction):
    assert check_fraction(fraction) == fraction


def test_yield_and_copper_stress_by_hand():
    # K = 0.454 + 0.41 * 0.3 = 0.577; (pi * 0.577 * 1 / 40)^2 * 10 um.
    assert yield_interference_um(1.0, 20.0, 0.3, 10.0) == pytest.approx((np.pi * 0.577 / 40) ** 2 * 10)
    # r = t: 3 * 8 / (2 * 7) - 0.34/0.66 = 1.7143 - 0.5152; times 0.024 * 120 / 0.66.
    assert copper_interface_stress_gpa(0.024, 1.0, 1.0, 120.0, 0.34) == pytest.approx(5.232, abs=0.002)
    # r = 2, t = 1: 3 * 27 / (2 * 19) - 0.34/0.66 = 2.1316 - 0.5152.
    assert copper_interface_stress_gpa(0.024, 2.0, 1.0, 120.0, 0.34) == pytest.approx(7.053, abs=0.002)


def predicted(k, g, sd=0.1, correlation=0.6, members=3):
    shape = (members, len(np.atleast_1d(k)))

    def make(mean, spread, transform):
        return PropertyPrediction(np.broadcast_to(mean, shape), np.full(shape, spread), transform)

    bulk, shear = make(np.log10(k), sd, "log10"), make(np.log10(g), 1.5 * sd, "log10")
    properties = {
        "bulk_modulus_gpa": bulk,
        "shear_modulus_gpa": shear,
        "youngs_modulus_gpa": youngs_modulus(bulk, shear, correlation),
        "glass_transition_k": make(500.0, 20.0, "identity"),
        "sigma_s_cm": make(-3.0, 0.3, "log10"),
    }
    return Predictions(MappingProxyType(properties), np.ones(shape[1]), np.zeros(shape[1], bool), correlation)


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.6, 0.9])
def test_k_and_g_are_drawn_with_their_correlation(correlation):
    p = predicted([30.0, 5.0], [10.0, 3.0], correlation=correlation)
    z = np.random.default_rng(0).standard_normal((20_000, 2))
    k, g = draw_moduli(p["bulk_modulus_gpa"], p["shear_modulus_gpa"], p.modulus_correlation, z)
    assert np.corrcoef(np.log(k[0, :, 0]), np.log(g[0, :, 0]))[0, 1] == pytest.approx(correlation, abs=0.02)
    assert np.log10(g[0, :, 0]).std() == pytest.approx(0.15, rel=0.02)
    assert np.median(k, axis=1)[0] == pytest.approx([30.0, 5.0], rel=0.01)
    assert np.median(g, axis=1)[0] == pytest.approx([10.0, 3.0], rel=0.01)


def test_intervals_agree_with_a_large_sample():
    p = predicted([30.0], [10.0])
    judged = assess(Compositions.from_formulas(["Li3YCl6"]), np.zeros(1, np.uint8), p)
    columns = sampled_columns(judged)
    assert tuple(columns) == SAMPLED_COLUMNS
    rng = np.random.default_rng(1)
    z = rng.standard_normal((200_000, 2))
    k, g = draw_moduli(p["bulk_modulus_gpa"], p["shear_modulus_gpa"], p.modulus_correlation, z)
    nu = mechanics(k, g).poisson_ratio.ravel()
    form = parameter("hardness_tian_log10_offset")
    error = 10 ** (form.value + form.sd * rng.standard_normal(k.shape))
    hardness = (mechanics(k, g).hardness_tian_gpa * error).ravel()
    for name, sample, within in (("poisson_ratio", nu, 0.02), ("hardness_tian_gpa", hardness, 0.06)):
        expected = np.quantile(sample, [0.5, 0.05, 0.95])
        assert [v[0] for v in columns[name]] == pytest.approx(expected, rel=within), name
    assert columns["acting_modulus_gpa"][0][0] == pytest.approx(
        mechanics(30.0, 10.0).youngs_modulus_gpa, rel=0.02
    )


def test_chen_hardness_is_empty_where_it_does_not_hold():
    soft = assess(Compositions.from_formulas(["Li6PS5Cl"]), np.zeros(1, np.uint8), predicted([28.7], [8.1]))
    assert np.isnan(sampled_columns(soft)["hardness_chen_gpa"]).all()
    hard = assess(
        Compositions.from_formulas(["Li7La3Zr2O12"]), np.zeros(1, np.uint8), predicted([102.8], [59.6])
    )
    median, low, high = (v[0] for v in sampled_columns(hard)["hardness_chen_gpa"])
    assert 0 <= low < median < high


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5000))
def test_a_row_does_not_depend_on_its_neighbours(rows):
    k = np.geomspace(1, 200, rows)
    many = assess(
        Compositions.from_formulas(["Li3YCl6"])[np.zeros(rows, np.int64)],
        np.zeros(rows, np.uint8),
        predicted(k, k / 3),
    )
    alone = assess(
        Compositions.from_formulas(["Li3YCl6"]), np.zeros(1, np.uint8), predicted(k[-1:], k[-1:] / 3)
    )
    for name, values in sampled_columns(many, draws=8).items():
        np.testing.assert_allclose(
            [v[-1] for v in values], [v[0] for v in sampled_columns(alone, draws=8)[name]], err_msg=name
        )


def test_draws_of_the_hardness_follow_the_form_and_its_offset():
    p, z = predicted([30.0, 5.0], [10.0, 3.0]), np.zeros((3, 2, 9))
    z[:, 1, 2] = 1.5  # the third number is that of the form
    drawn = draw_solid(p, z)
    form = parameter("hardness_tian_log10_offset")
    bare = mechanics(np.array([30.0, 5.0]), np.array([10.0, 3.0])).hardness_tian_gpa
    assert drawn.hardness_gpa[0, 0] == pytest.approx(bare * 10**form.value)
    assert drawn.hardness_gpa[2, 1] == pytest.approx(bare * 10 ** (form.value + 1.5 * form.sd))
    assert drawn.bulk_gpa[1] == pytest.approx(np.array([[30.0, 5.0]] * 2))


@pytest.mark.parametrize(("transition_k", "flows"), [(297.5, True), (298.0, True), (298.3, False)])
def test_a_glass_flows_from_its_transition_on(transition_k, flows):
    given = {"glass_transition_k": PropertyPrediction(np.full((3, 1), transition_k), np.full((3, 1), 1e-6))}
    glass = assess(
        Compositions.from_formulas(["LiAlCl4"]), np.ones(1, np.uint8), predicted([30.0], [10.0]), given
    )
    kept = sampled_columns(glass)["conductivity_kept"][0][0]
    assert (kept == 1.0) == flows
    assert (sampled_columns(glass)["acting_modulus_gpa"][0][0] < 2.0) == flows


@pytest.mark.parametrize(("shear", "least", "most"), [(12.7, 0.0, 0.7), (12.0, None, None)])
def test_the_chen_form_is_shown_where_its_median_is_positive(shear, least, most):
    """2 (k^2 G)^0.585 - 3 of K = 30 GPa: 0.24 GPa at G = 12.7, -0.07 GPa at G = 12."""
    one = assess(
        Compositions.from_formulas(["Li3YCl6"]), np.zeros(1, np.uint8), predicted([30.0], [shear], 0.02)
    )
    bare = float(mechanics(30.0, shear).hardness_chen_gpa)
    median, low, high = (v[0] for v in sampled_columns(one)["hardness_chen_gpa"])
    if least is None:
        assert -1 < bare < 0
        assert np.isnan([median, low, high]).all()
    else:
        assert 0 < bare < 0.5
        assert low == least
        assert 0 < median < most


def test_parameters_are_named_and_can_be_replaced():
    with pytest.raises(KeyError, match="no parameter 'hardness'; there are hardness_tian_log10_offset"):
        parameter("hardness")
    with replaced({"law_slope": Parameter(2.0, 0.0)}):
        assert parameter("law_slope").value == 2.0
    assert parameter("law_slope").value != 2.0
