"""Stack pressure: the panel, the Bayesian law, the mixture with flow, the ceiling, and their limits."""

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.contact import ContactError
from softlyte.screening.mechanics import draw_moduli, mechanics
from softlyte.screening.parameters import Parameter, parameter, replaced
from softlyte.screening.pressure import (
    DEFAULT_PRESSURE_MPA,
    MECHANISMS,
    MODULI,
    NODE_WEIGHTS,
    NODES,
    Conditions,
    StackPressure,
    law,
    relaxed_modulus_gpa,
    solid_contact,
    stack_pressure,
)
from softlyte.screening.pressure_fit import fit, leave_one_material_out, log10_pressures, summarise
from softlyte.screening.pressure_panel import OBSERVATIONS, contact_log10_mpa, panel

CRYSTAL, GLASS = np.uint8(0), np.uint8(1)


def predictions(bulk_gpa, shear_gpa=None, sd=0.05, transition_k=500.0, transition_sd=20.0, members=3):
    bulk = np.log10(np.atleast_1d(np.asarray(bulk_gpa, dtype=float)))
    # Poisson's ratio 0.3: K/G = 13/6.
    shear = bulk - np.log10(13 / 6) if shear_gpa is None else np.log10(np.atleast_1d(shear_gpa))
    shape = (members, len(bulk))

    def make(mean, spread, transform):
        return PropertyPrediction(np.broadcast_to(mean, shape), np.broadcast_to(spread, shape), transform)

    properties = {
        "bulk_modulus_gpa": make(bulk, sd, "log10"),
        "shear_modulus_gpa": make(shear, sd, "log10"),
        "glass_transition_k": make(np.asarray(transition_k, float), transition_sd, "identity"),
    }
    return Predictions(MappingProxyType(properties), np.ones(shape[1]), np.zeros(shape[1], dtype=bool))


def pressure(bulk_gpa, phase=CRYSTAL, conditions=None, **options):
    count = len(np.atleast_1d(bulk_gpa))
    return stack_pressure(predictions(bulk_gpa, **options), np.full(count, phase), conditions)


# --- the panel and the fit ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    return panel(parameter("hardness_tian_log10_offset").value, parameter("pellet_log10_offset").value)


def test_the_panel_is_material_only_and_bounds_are_bounds(seen):
    rows = seen.set_index("label")
    assert len(rows) == len(OBSERVATIONS) == 8
    assert 10 ** rows.loc["sulfides, industry", ["low", "high"]].to_numpy(float) == pytest.approx([50, 200])
    assert 10 ** rows.loc["Na4(CB11H12)2(B12H12) with sodium", ["low", "high"]].to_numpy(
        float
    ) == pytest.approx([1.0, 1.5])
    bounds = rows.drop(index=["sulfides, industry", "Na4(CB11H12)2(B12H12) with sodium"])
    assert np.isneginf(bounds["low"]).all()
    assert (10 ** bounds["high"]).to_dict() == pytest.approx(
        {
            "Li6PS5Cl with lithium": 5.0,
            "LZAOC with lithium": 5.0,
            "LACO powder": 1.0,
            "LACO glass": 0.1,
            "NACO glass": 0.1,
            "GaF3-2LiCl clay": 0.1,
        }
    )
    # A crystal does not flow; the aluminium oxychloride glasses probably do, by the melting rule alone.
    assert rows.loc["sulfides, industry", "flow_weight"] == 0
    assert rows.loc[["LACO glass", "NACO glass"], "flow_weight"].between(0.5, 0.99).all()


def test_contact_of_the_sulfide_anchor_by_hand(seen):
    # K = 28.7 and G = 8.1 GPa, both times 10^pellet; plastic: 0.1 H with the Tian form and its offset.
    scale = 10 ** parameter("pellet_log10_offset").value
    hardness = mechanics(28.7 * scale, 8.1 * scale).hardness_tian_gpa
    hardness *= 10 ** parameter("hardness_tian_log10_offset").value
    assert 10 ** seen["contact"].iloc[0] == pytest.approx(100 * hardness)


def test_missing_observation_is_named():
    empty = pd.DataFrame({"name": [], "flag": [], "strategy": []})
    with pytest.raises(ValueError, match="no pressure for sulfides, industry"):
        panel(0.0, 0.0, pressure=empty)
    with pytest.raises(ValueError, match="no modulus for sulfides, industry"):
        panel(0.0, 0.0, elastic=pd.DataFrame({"formula": [], "flag": []}))


def test_a_year_leaves_out_later_pressures(seen):
    counts = {year: len(panel(0.0, 0.0, published_until=year)) for year in (2019, 2020, 2021, 2023, 2026)}
    assert list(counts.values()) == [0, 1, 2, 5, len(seen)]


def test_the_shipped_law_is_the_fit_of_the_shipped_tables(seen):
    posterior = fit(seen)
    assert posterior.weight.sum() == pytest.approx(1.0)
    numbers = summarise(seen, posterior)
    for name, value in (
        ("law_anchor", numbers.anchor),
        ("law_intercept", numbers.intercept),
        ("law_slope", numbers.slope),
        ("law_variance_0", numbers.variance[0]),
        ("law_loo_rms", numbers.loo_rms),
        ("alkali_metal_shift", posterior.moments()["shift"][0]),
    ):
        assert parameter(name).value == pytest.approx(value, abs=2e-4), name


def rows(*observations):
    columns = ["label", "material", "contact", "contact_sd", "low", "high", "alkali_metal", "flow_weight"]
    return pd.DataFrame(observations, columns=columns)


ANCHOR = ("anchor", "sulfide", 2.0, 0.0, 1.7, 2.3, 0.0, 0.0)


def test_an_upper_bound_moves_nothing_where_it_holds_and_pulls_down_where_it_does_not():
    base = fit(rows(ANCHOR))
    holds = fit(rows(ANCHOR, ("loose", "x", 1.0, 0.1, -np.inf, 4.0, 0.0, 0.0)))
    broken = fit(rows(ANCHOR, ("tight", "x", 2.0, 0.1, -np.inf, 0.0, 0.0, 0.0)))
    means = [posterior.moments()["offset"][0] for posterior in (base, holds, broken)]
    assert means[1] == pytest.approx(means[0], abs=0.02)
    assert means[2] < means[0] - 0.2
    assert broken.moments()["scatter"][0] > base.moments()["scatter"][0]


def test_the_electrode_explains_what_it_can():
    """A low pressure beside an alkali metal is put down to the metal, not to the material."""
    low = ("metal", "sulfide", 2.0, 0.0, -np.inf, 0.5, 1.0, 0.0)
    with_metal, without = fit(rows(ANCHOR, low)), fit(rows(ANCHOR, (*low[:6], 0.0, 0.0)))
    assert with_metal.moments()["shift"][0] < -0.8
    assert with_metal.moments()["offset"][0] > without.moments()["offset"][0] + 0.1


def test_flow_explains_a_low_pressure_of_a_glass():
    glass = ("glass", "x", 1.5, 0.1, -np.inf, -1.0, 0.0, 0.95)
    assert fit(rows(ANCHOR, glass)).moments()["offset"][0] == pytest.approx(
        fit(rows(ANCHOR)).moments()["offset"][0], abs=0.05
    )


def test_predictive_distribution(seen):
    posterior = fit(seen)
    cdf = posterior.cdf(posterior.anchor)
    assert (np.diff(cdf) >= -1e-12).all()
    assert cdf[0] < 1e-3
    assert cdf[-1] > 0.999
    mean, sd = law(np.array([posterior.anchor]))
    low, median, high = (np.interp(level, cdf, log10_pressures()) for level in (0.05, 0.5, 0.95))
    assert mean[0] == pytest.approx(median, abs=0.05)
    assert 3.29 * sd[0] == pytest.approx(high - low, rel=0.05)


def test_leave_one_material_out(seen):
    left_out = leave_one_material_out(seen)
    assert left_out["covered"].mean() >= 0.8
    # A prediction for a material is never surer than the leave-one-out scatter allows.
    rms = parameter("law_loo_rms").value
    _, sd = law(np.linspace(-1, 4, 50))
    assert (sd >= rms - 1e-12).all()
    assert left_out["width_decades"].min() > 3.29 * rms


def test_the_law_is_never_surer_than_leave_one_out():
    tight = {f"law_variance_{i}": Parameter(0.0, 0.0) for i in range(3)}
    names = ("law_anchor", "law_intercept", "law_slope", "law_loo_rms")
    with replaced({**tight, **{name: parameter(name) for name in names}}):
        assert law(np.array([1.0, 2.0]))[1] == pytest.approx([parameter("law_loo_rms").value] * 2)


# --- the prediction -------------------------------------------------------------------------------------


def test_nodes_have_the_moments_of_a_normal():
    assert NODE_WEIGHTS.sum() == pytest.approx(1.0)
    assert pytest.approx([0.0, 0.0]) == NODE_WEIGHTS @ NODES
    assert np.einsum("s,si,sj->ij", NODE_WEIGHTS, NODES, NODES) == pytest.approx(np.eye(2))


def test_crystal_by_monte_carlo():
    """The mixture over five points agrees with a large sample of moduli, law scatter and ceiling."""
    p = predictions([20.0], sd=0.12)
    result = stack_pressure(p, np.array([CRYSTAL]))
    rng = np.random.default_rng(0)
    z = rng.standard_normal((100_000, 4))
    k, g = draw_moduli(p["bulk_modulus_gpa"], p["shear_modulus_gpa"], 0.0, z)
    pellet, form = parameter("pellet_log10_offset"), parameter("hardness_tian_log10_offset")
    scale = 10**pellet.value
    contact, plastic, ceiling = contact_log10_mpa(k * scale, g * scale, form.value)
    mean, sd = law(contact)
    slope = parameter("law_slope").value
    extra = np.hypot(slope * form.sd * plastic, slope * pellet.sd)
    drawn = np.minimum(mean + np.hypot(sd, extra) * z[None, :, 2, None], ceiling)
    expected = np.quantile(drawn, [0.05, 0.5, 0.95])
    found = np.log10([result.quantile(level)[0] for level in (0.05, 0.5, 0.95)])
    assert found == pytest.approx(expected, abs=0.04)
    assert result.p_flow() == pytest.approx([0.0])
    assert MODULI[result.modulus()[0]] == "pellet from DFT crystal"


def test_no_pressure_above_the_hardness_is_needed():
    stiff = pressure([150.0])
    ceiling = 10 ** stiff.ceiling.max()
    # At the jump the bisection stops within 0.003 decades.
    assert stiff.quantile(0.9999)[0] <= ceiling * 1.008
    assert stiff.interval(0.98)[1][0] < 2e4
    assert stiff.probability_below(ceiling)[0] == pytest.approx(1.0)


def test_a_glass_above_its_transition_flows():
    # 298.15 K is 2.5 standard deviations above the transition: weight 0.9938.
    result = pressure([3.0], GLASS, transition_k=298.15 - 50, transition_sd=20)
    assert result.flow_weight == pytest.approx(0.99379, abs=1e-4)
    assert MECHANISMS[result.mechanism()[0]] == MODULI[result.modulus()[0]] == "flow"
    assert result.median()[0] == pytest.approx(10 ** parameter("flow_log10_mpa").value, rel=0.02)
    assert result.probability_below(2.0)[0] > 0.98
    stiff = pressure([3.0], GLASS, transition_k=298.15 + 200, transition_sd=20)
    assert MECHANISMS[stiff.mechanism()[0]] in ("elastic", "plastic")
    assert MODULI[stiff.modulus()[0]] == "glass"
    assert pressure([3.0], CRYSTAL, transition_k=200).flow_weight.max() == 0


def test_an_unknown_transition_is_no_evidence_of_flow():
    assert pressure([3.0], GLASS, transition_k=np.nan).flow_weight.max() == 0


def test_flow_depends_on_the_use_temperature():
    cold = pressure([3.0], GLASS, Conditions(25.0), transition_k=330.0, transition_sd=10.0)
    warm = pressure([3.0], GLASS, Conditions(80.0), transition_k=330.0, transition_sd=10.0)
    assert cold.flow_weight.max() < 0.01
    assert warm.flow_weight.min() > 0.98


def test_wanted_contact_scales_as_the_contact_model_says():
    # Plastic at both: P = f H, so a tenth of the contact needs a tenth of the pressure.
    tenth = pressure([60.0], conditions=Conditions(contact=0.01), shear_gpa=[8.0])
    assert MECHANISMS[tenth.mechanism()[0]] == "plastic"
    whole = pressure([60.0], shear_gpa=[8.0])
    assert tenth.median()[0] == pytest.approx(whole.median()[0] / 10, rel=0.02)


def test_an_alkali_metal_helps_and_is_uncertain():
    bare, metal = pressure([20.0]), pressure([20.0], conditions=Conditions(alkali_metal=True))
    shift = parameter("alkali_metal_shift").value
    assert np.log10(metal.median()[0] / bare.median()[0]) == pytest.approx(shift, abs=0.02)
    widths = [np.log10(np.divide(*reversed(r.interval())))[0] for r in (bare, metal)]
    assert widths[1] > widths[0]


def test_conditions_are_checked():
    with pytest.raises(ContactError, match="between 0 and 1"):
        Conditions(contact=1.5)
    for degrees in (-300.0, float("inf"), float("nan")):
        with pytest.raises(ContactError, match=r"above -273\.15"):
            Conditions(temperature_c=degrees)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.floats(-0.3, 2.2),
    st.floats(0.01, 0.5),
    st.floats(0.02, 0.4),
    st.floats(200, 600),
    st.sampled_from([CRYSTAL, GLASS]),
)
def test_stiffer_at_the_same_poisson_ratio_never_needs_less(log10_k, step, sd, transition, phase):
    result = pressure([10**log10_k, 10 ** (log10_k + step)], phase, sd=sd, transition_k=transition)
    soft, stiff = result.median()
    assert stiff >= soft * (1 - 1e-4)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.floats(0.0, 2.0), st.floats(0.01, 0.3), st.sampled_from([CRYSTAL, GLASS]), st.floats(200, 600))
def test_stiffer_in_shear_never_needs_less(log10_k, step, phase, transition):
    k = 10**log10_k
    result = pressure([k, k], phase, shear_gpa=[k / 3, k / 3 * 10**step], transition_k=transition)
    assert result.median()[1] >= result.median()[0] * (1 - 1e-4)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.floats(0.0, 2.0), st.floats(0.01, 0.8), st.floats(0.001, 0.1), st.sampled_from([CRYSTAL, GLASS]))
def test_more_contact_never_needs_less(log10_k, fraction, step, phase):
    low, high = (
        pressure([10**log10_k], phase, Conditions(contact=f)).median()[0] for f in (fraction, fraction + step)
    )
    assert high >= low * (1 - 1e-4)


@settings(deadline=None, max_examples=60)
@given(st.floats(-1, 2.3), st.floats(150, 600), st.floats(0.001, 1e4))
def test_probabilities_and_quantiles_agree(log10_k, transition, limit):
    result = pressure([10**log10_k], GLASS, transition_k=transition)
    p = result.probability_below(limit)
    assert 0 <= p[0] <= 1
    assert result.member_probability_below(limit).shape == (3, 1)
    assert result.probability_below(limit * 2)[0] >= p[0]
    # At a ceiling many probabilities have one quantile.
    if 0.01 < p[0] < 0.99 and limit < 10 ** result.ceiling.min() * 0.99:
        assert result.quantile(float(p[0]))[0] == pytest.approx(limit, rel=1e-3)


def test_no_pressure_is_never_enough():
    assert pressure([1.0]).probability_below(0.0) == pytest.approx([0.0])


def test_members_that_disagree_widen_the_mixture():
    agreed = predictions([10.0], members=2)
    apart = PropertyPrediction(np.array([[-0.5], [1.5]]), np.full((2, 1), 0.05), "log10")
    bulk = PropertyPrediction(apart.member_mean + 0.34, apart.member_sd, "log10")
    moved = {**agreed.properties, "shear_modulus_gpa": apart, "bulk_modulus_gpa": bulk}
    split = Predictions(MappingProxyType(moved), np.ones(1), np.zeros(1, bool))
    narrow, wide = (stack_pressure(p, np.array([CRYSTAL])) for p in (agreed, split))
    ratio = [np.log(r.interval()[1] / r.interval()[0])[0] for r in (wide, narrow)]
    assert ratio[0] > 1.5 * ratio[1]
    assert wide.take(slice(0, 1)).median() == pytest.approx(wide.median())


def test_relaxed_modulus_by_hand():
    # 1e12 Pa s at Tg: 3e12 / 3600 s = 0.833 GPa just above; 10 K above log eta = 12 - 174.4/61.6.
    kelvin = np.array([300.0, 298.15 - 1e-9, 288.15, np.inf])
    found = relaxed_modulus_gpa(np.full(4, 20.0), kelvin, 298.15)
    assert found == pytest.approx([20.0, 0.8333, 3 * 10 ** (12 - 174.4 / 61.6) / 3600 / 1e9, 20.0], rel=1e-3)
    assert relaxed_modulus_gpa(np.array(1.0), np.array(150.0), 298.15) == pytest.approx(1e-9)
    # Never stiffer than the instantaneous modulus.
    assert relaxed_modulus_gpa(np.array(0.1), np.array(298.149), 298.15) == pytest.approx(0.1)


def test_probability_of_flow_is_that_of_the_transition():
    result = pressure([3.0], GLASS, transition_k=280.0, transition_sd=30.0)
    assert result.p_flow() == pytest.approx([ndtr(18.15 / 30)])


# --- by hand --------------------------------------------------------------------------------------------


def test_the_law_by_hand():
    numbers = {"law_anchor": 1.5, "law_intercept": -0.25, "law_slope": 0.8, "law_loo_rms": 0.3}
    numbers |= {"law_variance_0": 0.2, "law_variance_1": 0.05, "law_variance_2": 0.03}
    with replaced({name: Parameter(value, 0.0) for name, value in numbers.items()}):
        mean, sd = law(np.array([1.5, 3.5, -2.5]))
    assert mean == pytest.approx([1.25, 1.25 + 1.6, 1.25 - 3.2])
    # 0.2 + 0.05 d + 0.03 d^2 at d = 0, 2 and -4; never below 0.3^2.
    assert sd**2 == pytest.approx([0.2, 0.2 + 0.1 + 0.12, 0.2 - 0.2 + 0.48])
    numbers |= {"law_variance_0": 0.01, "law_variance_1": 0.0, "law_variance_2": 0.0}
    with replaced({name: Parameter(value, 0.0) for name, value in numbers.items()}):
        assert law(np.array([1.5]))[1] == pytest.approx([0.3])


def test_the_scatter_of_solid_contact_by_hand():
    """The law's variance, the hardness form's where contact is plastic, and the pellet's for crystals."""
    slope, pellet = parameter("law_slope").value, parameter("pellet_log10_offset")
    k, g = np.full(2, 60.0), np.full(2, 8.0)
    glass = np.array([False, True])
    mean, sd, ceiling, plastic = solid_contact(k, g, glass, Conditions(), 0.0, 0.15)
    assert plastic.all()
    scale = np.array([10**pellet.value, 1.0])
    contact, _, hardness = contact_log10_mpa(k * scale, g * scale, 0.0)
    expected, spread = law(contact)
    assert mean == pytest.approx(expected)
    assert ceiling == pytest.approx(hardness)
    assert sd**2 == pytest.approx(spread**2 + (slope * 0.15) ** 2 + np.array([(slope * pellet.sd) ** 2, 0.0]))
    stiff = solid_contact(np.full(1, 2.0), np.full(1, 1.5), glass[1:], Conditions(), 0.0, 0.15)
    assert not stiff[3].any()  # elastic: the hardness form says nothing
    assert stiff[1] == pytest.approx(law(contact_log10_mpa(np.full(1, 2.0), np.full(1, 1.5), 0.0)[0])[1])
    shift = parameter("alkali_metal_shift")
    metal = solid_contact(k, g, glass, Conditions(alkali_metal=True), 0.0, 0.15)
    assert metal[0] - mean == pytest.approx([shift.value] * 2)
    assert metal[1] ** 2 - sd**2 == pytest.approx([shift.sd**2] * 2)


def of_shares(plastic, flow):
    """A pressure whose members have these shares of plastic contact and of flow."""
    shape = (len(plastic), 5, 1)
    return StackPressure(
        np.ones(shape),
        np.ones(shape),
        np.full(shape, 4.0),
        plastic[:, None],
        flow[:, None],
        np.zeros(1, bool),
    )


def test_an_interval_is_between_its_quantiles():
    one = of_shares(np.zeros(2), np.zeros(2))
    for level in (0.5, 0.9):
        low, high = one.interval(level)
        assert low == one.quantile((1 - level) / 2)
        assert high == one.quantile((1 + level) / 2)
    # log10 P is normal about 1 with 1: the quartiles lie 0.6745 to either side.
    assert np.log10(one.interval(0.5)) == pytest.approx(np.array([[1 - 0.6745], [1 + 0.6745]]), abs=1e-3)
    assert np.log10(one.median()) == pytest.approx([1.0], abs=1e-3)


@pytest.mark.parametrize(
    ("plastic", "flow", "mechanism"),
    [
        ([0.5, 0.5], [0.0, 0.0], "plastic"),
        ([0.4, 0.5], [0.0, 0.0], "elastic"),
        ([1.0, 1.0], [0.5, 0.5], "plastic"),
        ([1.0, 1.0], [0.5, 0.6], "flow"),
    ],
)
def test_what_keeps_the_contact_is_the_likelier(plastic, flow, mechanism):
    one = of_shares(np.array(plastic), np.array(flow))
    assert MECHANISMS[one.mechanism()[0]] == mechanism
    assert (MODULI[one.modulus()[0]] == "flow") == (mechanism == "flow")
    assert one.p_flow() == pytest.approx([np.mean(flow)])


def test_the_pressure_of_a_cell_is_a_positive_number():
    assert Conditions(pressure_mpa=0.5).working_pressure_mpa == 0.5
    assert Conditions().working_pressure_mpa == DEFAULT_PRESSURE_MPA == 2.0
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ContactError, match="operating pressure"):
            Conditions(pressure_mpa=wrong)
    assert Conditions(temperature_c=-273.0).temperature_c == -273.0


def test_members_are_averaged_material_by_material():
    plastic = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    flow = np.array([[0.0, 1.0], [0.3, 1.0], [0.0, 0.4]])
    shape = (3, 5, 2)
    many = StackPressure(
        np.ones(shape), np.ones(shape), np.full(shape, 4.0), plastic, flow, np.array([False, True])
    )
    assert [MECHANISMS[code] for code in many.mechanism()] == ["plastic", "flow"]
    assert [MODULI[code] for code in many.modulus()] == ["pellet from DFT crystal", "flow"]
    assert many.p_flow() == pytest.approx([0.1, 0.8])
