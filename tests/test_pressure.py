"""Stack pressure: the fitted law, the mixture with flow, and their limits."""

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.pressure import (
    FLOW_PRESSURE_MPA,
    MECHANISMS,
    PressureLaw,
    StackPressure,
    anchor_points,
    default_law,
    fit_law,
    stack_pressure,
)

CRYSTAL, GLASS = np.uint8(0), np.uint8(1)


def predictions(modulus_gpa, modulus_sd=0.1, transition_k=500.0, transition_sd=20.0, members=3):
    modulus = np.log10(np.atleast_1d(np.asarray(modulus_gpa, dtype=float)))
    shape = (members, len(modulus))

    def make(mean, sd, transform):
        return PropertyPrediction(np.broadcast_to(mean, shape), np.broadcast_to(sd, shape), transform)

    properties = {
        "youngs_modulus_gpa": make(modulus, modulus_sd, "log10"),
        "glass_transition_k": make(np.asarray(transition_k, float), transition_sd, "identity"),
    }
    return Predictions(MappingProxyType(properties), np.ones(shape[1]), np.zeros(shape[1], dtype=bool))


def pressure(modulus_gpa, phase=CRYSTAL, **options):
    count = len(np.atleast_1d(modulus_gpa))
    return stack_pressure(predictions(modulus_gpa, **options), np.full(count, phase))


def test_anchors_are_the_six_material_only_points():
    anchors = anchor_points().set_index("label")
    assert anchors["stack_pressure_mpa"].to_dict() == pytest.approx(
        {"sulfides": 100.0, "LZAOC": 5.0, "LACO powder": 1.0, "LACO glass": 0.1, "NACO glass": 0.1}
        | {"closo-borate": 1.5}
    )
    # 9KG/(3K+G) with K = 17.3 and G = 3.3 GPa.
    assert anchors.loc["closo-borate", "youngs_modulus_gpa"] == pytest.approx(9 * 17.3 * 3.3 / (51.9 + 3.3))
    assert anchors.loc["LZAOC", "youngs_modulus_gpa"] == pytest.approx(22.1 / 4)
    assert anchors["upper_bound"].sum() == 2


def test_missing_anchor_is_named():
    with pytest.raises(ValueError, match="no pressure or no modulus for the anchor sulfides"):
        anchor_points(pressure=pd.DataFrame({"name": [], "flag": [], "strategy": []}))


def test_law_on_the_anchors():
    law = default_law()
    assert law.slope == pytest.approx(1.75, abs=0.03)
    assert law.residual_sd == pytest.approx(0.81, abs=0.02)
    # The scatter, Student's t on 4 degrees of freedom at 90% (2.132 against 1.645), and the line's error.
    at_mean = law.sd(np.array([law.mean_log10_e]))
    assert at_mean == pytest.approx([law.residual_sd * 2.1318 / 1.6449 * np.sqrt(7 / 6)], rel=1e-3)
    assert (law.sd(np.array([-1.0, 2.5])) > at_mean).all()


def test_fit_by_hand():
    # y = -1, 0, 2 at x = 0, 1, 2: slope 3/2, intercept -7/6, residuals 1/6, -1/3, 1/6, so s^2 = 1/6.
    points = pd.DataFrame(
        {"label": list("abc"), "youngs_modulus_gpa": [1.0, 10, 100], "stack_pressure_mpa": [0.1, 1, 100]}
    )
    law = fit_law(points)
    assert law.slope == pytest.approx(1.5)
    assert law.intercept == pytest.approx(-7 / 6)
    assert law.residual_sd == pytest.approx(np.sqrt(1 / 6))
    assert law.anchors["residual"].to_list() == pytest.approx([1 / 6, -1 / 3, 1 / 6])


def test_crystal_is_the_elastic_law_alone():
    law = default_law()
    result = pressure([20.0], modulus_sd=0.1)
    centre = law.intercept + law.slope * np.log10(20.0)
    sd = np.hypot(law.slope * 0.1, law.sd(np.log10([20.0])))
    low, high = result.interval(0.9)
    assert np.log10(result.median()) == pytest.approx([centre], abs=1e-5)
    assert np.log10(high) == pytest.approx(centre + 1.6449 * sd, abs=1e-3)
    assert np.log10(low) == pytest.approx(centre - 1.6449 * sd, abs=1e-3)
    assert result.flow_weight.max() == 0


def test_a_glass_above_its_transition_flows():
    # 298.15 K is 2.5 standard deviations above the transition: weight 0.9938.
    result = pressure([3.0], GLASS, transition_k=298.15 - 50, transition_sd=20)
    assert result.flow_weight == pytest.approx(0.99379, abs=1e-4)
    assert MECHANISMS[result.mechanism()[0]] == "flow"
    assert result.median()[0] == pytest.approx(FLOW_PRESSURE_MPA, rel=0.02)
    assert result.probability_below(2.0)[0] > 0.98
    stiff = pressure([3.0], GLASS, transition_k=298.15 + 200, transition_sd=20)
    assert MECHANISMS[stiff.mechanism()[0]] == "elastic"
    assert stiff.median() == pytest.approx(pressure([3.0]).median(), rel=1e-4)
    assert pressure([3.0], CRYSTAL, transition_k=200).flow_weight.max() == 0


def test_flow_depends_on_the_use_temperature():
    glass = predictions([3.0], transition_k=330.0, transition_sd=10.0)
    cold = stack_pressure(glass, np.array([GLASS]), temperature_c=25.0)
    warm = stack_pressure(glass, np.array([GLASS]), temperature_c=80.0)
    assert cold.flow_weight.max() < 0.01
    assert warm.flow_weight.min() > 0.98


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.floats(-0.5, 2.0),
    st.floats(0.01, 0.5),
    st.floats(0.02, 0.8),
    st.floats(200, 600),
    st.sampled_from([CRYSTAL, GLASS]),
)
def test_stiffer_never_needs_less_pressure(log10_e, step, sd, transition, phase):
    result = pressure([10**log10_e, 10 ** (log10_e + step)], phase, modulus_sd=sd, transition_k=transition)
    soft, stiff = result.median()
    assert stiff >= soft * (1 - 1e-5)


@settings(deadline=None, max_examples=60)
@given(st.floats(-1, 2.5), st.floats(150, 600), st.floats(0.001, 1e4))
def test_probabilities_and_quantiles_agree(log10_e, transition, limit):
    result = pressure([10**log10_e], GLASS, transition_k=transition)
    p = result.probability_below(limit)
    assert 0 <= p[0] <= 1
    assert result.member_probability_below(limit).shape == (3, 1)
    assert result.probability_below(limit * 2)[0] >= p[0]
    if 0.01 < p[0] < 0.99:
        assert result.quantile(float(p[0]))[0] == pytest.approx(limit, rel=1e-3)


def test_no_pressure_is_never_enough():
    assert pressure([1.0]).probability_below(0.0) == pytest.approx([0.0])


def test_members_that_disagree_widen_the_mixture():
    law = PressureLaw(0.0, 1.0, 0.1, 0.0, 1.0, pd.DataFrame({"label": range(6)}))
    agreed = predictions([10.0], members=2)
    apart = PropertyPrediction(np.array([[0.0], [2.0]]), np.full((2, 1), 0.1), "log10")
    split = Predictions(
        MappingProxyType({**agreed.properties, "youngs_modulus_gpa": apart}), np.ones(1), np.zeros(1, bool)
    )
    narrow = stack_pressure(agreed, np.array([CRYSTAL]), law=law)
    wide = stack_pressure(split, np.array([CRYSTAL]), law=law)
    assert 1 < wide.median()[0] < 100
    ratio = [np.log(r.interval()[1] / r.interval()[0])[0] for r in (wide, narrow)]
    assert ratio[0] > 2 * ratio[1]
    assert isinstance(wide, StackPressure)
