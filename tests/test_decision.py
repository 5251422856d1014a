"""Targets, joint probability, Pareto front, cautions, nearest known electrolyte."""

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.predictions import Predictions, PropertyPrediction
from softlyte.screening.cost import precursor_cost
from softlyte.screening.costing import load_costing
from softlyte.screening.decision import (
    assess,
    decide,
    flags,
    joint_probability,
    left_out,
    medians,
    pareto_front,
)
from softlyte.screening.glass_transition import SOURCES
from softlyte.screening.known import KnownElectrolytes, known_electrolytes, nearest_known
from softlyte.screening.parameters import Parameter, parameter, replaced
from softlyte.screening.pressure import Conditions
from softlyte.screening.sampled import DRAWS, sampled_columns
from softlyte.screening.shared import shared_probability
from softlyte.screening.targets import (
    DRAWN_COLUMNS,
    TARGET_COLUMNS,
    Target,
    TargetError,
    load_targets,
    make_targets,
)

FORMULAS = ["LiAlCl2.5O0.75", "Li3YCl6", "Li6PS5Cl"]
CRYSTAL, GLASS = 0, 1


def property_(means, sd, transform="identity"):
    """One property from member means [E, N]."""
    means = np.array(means, dtype=float)
    return PropertyPrediction(means, np.full(means.shape, float(sd)), transform)


def predictions(**changes):
    """Three materials, two members: the first soft and fast, the last stiff."""
    properties = {
        "youngs_modulus_gpa": property_([[0.0, 1.3, 1.4], [0.2, 1.4, 1.3]], 0.1, "log10"),
        "bulk_modulus_gpa": property_([[0.0, 1.3, 1.4], [0.2, 1.4, 1.3]], 0.1, "log10"),
        "shear_modulus_gpa": property_([[-0.4, 0.9, 1.0], [-0.2, 1.0, 0.9]], 0.1, "log10"),
        "sigma_s_cm": property_([[-2.5, -3.3, -2.6], [-2.7, -3.1, -2.4]], 0.4, "log10"),
        "oxidation_v": property_([[4.2, 4.3, 2.3], [4.4, 4.2, 2.4]], 0.3),
        "reduction_v": property_([[1.5, 0.6, 1.7], [1.4, 0.7, 1.6]], 0.3),
        "density_g_cm3": property_([[0.30, 0.40, 0.28], [0.32, 0.38, 0.27]], 0.02, "log10"),
        "glass_transition_k": property_([[280.0, 450, 500], [300.0, 460, 480]], 30.0),
    }
    properties.update(changes)
    return Predictions(
        MappingProxyType(properties), np.array([0.5, 0.01, 0.9]), np.array([False, False, False])
    )


def hull(*means, sd=0.01):
    return {"e_above_hull_ev_atom": property_([means, means], sd)}


def assessment(phase=CRYSTAL, overrides=None, **changes):
    compositions = Compositions.from_formulas(FORMULAS)
    return assess(compositions, np.full(3, phase, np.uint8), predictions(**changes), overrides)


def targets(*conditions):
    return make_targets(
        {"target": [dict(zip(("column", "comparison", "value"), c, strict=True)) for c in conditions]}
    )


def test_default_targets():
    assert [str(t) for t in load_targets().target] == [
        "stack_pressure_mpa < 2",
        "sigma_ms_cm >= 1",
        "oxidation_v >= 4",
        "e_above_hull_ev_atom <= 0.05",
        "cost_usd_l <= 50",
    ]
    assert load_targets().pressure_mpa() == 2.0


def test_targets_from_a_file(tmp_path):
    file = tmp_path / "targets.toml"
    file.write_text(
        '[[target]]\ncolumn = "stack_pressure_mpa"\ncomparison = "<"\nvalue = 5\n', encoding="utf-8"
    )
    assert load_targets(file).pressure_mpa() == 5.0
    only_window = targets(("oxidation_v", ">", 4.2), ("oxidation_v", "<", 5.0))
    assert only_window.pressure_mpa() == 2.0
    assert only_window.columns == ("oxidation_v", "oxidation_v")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"no \[\[target\]\]; give at least one"),
        ({"target": []}, r"no \[\[target\]\]; give at least one"),
        ({"target": [3]}, "target 1 must be a"),
        (
            {"goals": [], "target": [{"column": "oxidation_v", "comparison": ">", "value": 4}]},
            "setting 'goals'",
        ),
        (
            {"target": [{"column": "stack_presure", "comparison": "<", "value": 2}]},
            "mean 'stack_pressure_mpa'",
        ),
        (
            {"target": [{"column": "formula", "comparison": "<", "value": 2}]},
            "choose one of youngs_modulus_gpa",
        ),
        ({"target": [{"column": "oxidation_v", "comparison": "=", "value": 2}]}, "use one of < <= >= >"),
        (
            {"target": [{"column": "oxidation_v", "comparison": ">", "value": float("nan")}]},
            "give a finite number",
        ),
        ({"target": [{"column": "oxidation_v", "comparison": ">", "value": "4"}]}, "give a finite number"),
        ({"target": [{"column": "oxidation_v", "comparison": ">"}]}, "target 1 has no value; add it"),
        (
            {"target": [{"column": "oxidation_v", "comparison": ">", "value": 4, "unit": "V"}]},
            "unknown entry 'unit'",
        ),
        (
            {"target": [{"column": "cost_usd_l", "comparison": c, "value": 4} for c in ("<", "<=")]},
            "two upper limits; keep the stricter one",
        ),
    ],
)
def test_bad_targets_give_one_sentence(fields, message):
    with pytest.raises(TargetError, match=message) as caught:
        make_targets(fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"[[target]\n", "not valid TOML"), (b"\xff\xfe", "not UTF-8")],
)
def test_unreadable_target_files(tmp_path, content, message):
    file = tmp_path / "t.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TargetError, match=message):
        load_targets(file)


def test_conditions_of_a_targets_file():
    wanted = make_targets(
        {
            "target": [{"column": "stack_pressure_mpa", "comparison": "<", "value": 2}],
            "conditions": {"temperature_c": 60, "contact": 0.3},
        }
    )
    assert (wanted.conditions.temperature_c, wanted.conditions.contact) == (60.0, 0.3)
    assert not wanted.conditions.alkali_metal
    assert load_targets().conditions == Conditions()
    # A pellet conducts at the stack-pressure limit unless another operating pressure is given.
    assert load_targets().working_conditions().pressure_mpa == 2.0
    pressed = make_targets(
        {
            "target": [{"column": "oxidation_v", "comparison": ">", "value": 4}],
            "conditions": {"pressure_mpa": 9},
        }
    )
    assert pressed.working_conditions().working_pressure_mpa == 9.0
    assert pressed.pressure_mpa() == 2.0
    warm = decide(Compositions.from_formulas(FORMULAS), np.full(3, GLASS, np.uint8), predictions(), wanted)
    cold = decide(
        Compositions.from_formulas(FORMULAS), np.full(3, GLASS, np.uint8), predictions(), load_targets()
    )
    assert warm["stack_pressure_mpa_upper"][1] > cold["stack_pressure_mpa_upper"][1]


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"temprature_c": 60}, "no condition 'temprature_c'; use temperature_c, contact, alkali_metal"),
        ({"contact": 2}, "contact fraction is 2; give a number between 0 and 1"),
        ({"temperature_c": "warm"}, "condition temperature_c has the value 'warm'"),
        ({"temperature_c": -400}, "temperature is -400 C; give one above -273.15"),
        ({"pressure_mpa": 0}, "operating pressure is 0 MPa; give one above 0"),
        (5, r"conditions must be a table \[conditions\]"),
    ],
)
def test_bad_conditions_give_one_sentence(conditions, message):
    one = [{"column": "oxidation_v", "comparison": ">", "value": 4}]
    with pytest.raises(TargetError, match=message) as caught:
        make_targets({"target": one, "conditions": conditions})
    assert "\n" not in str(caught.value)


def test_unknown_never_meets_a_target():
    values = np.array([1.0, 2.0, 3.0, np.nan])
    met = {
        c: Target(column="oxidation_v", comparison=c, value=2.0).met(values).tolist()
        for c in ("<", "<=", ">=", ">")
    }
    assert met == {
        "<": [True, False, False, False],
        "<=": [True, True, False, False],
        ">=": [False, True, True, False],
        ">": [False, False, True, False],
    }
    partly = assessment(overrides=hull(0.0, np.nan, 0.0))
    joint = joint_probability(partly, targets(("e_above_hull_ev_atom", "<=", 0.05)))
    assert joint == pytest.approx([1.0, 0.0, 1.0])
    assert joint_probability(partly, targets(("e_above_hull_ev_atom", ">=", 0.05)))[1] == 0.0


def test_one_target_by_hand():
    # sigma >= 1 mS/cm is log10 sigma >= -3; members -2.5 and -2.7 with sd 0.4: Phi(1.25), Phi(0.75).
    joint = joint_probability(assessment(), targets(("sigma_ms_cm", ">=", 1.0)))
    assert joint[0] == pytest.approx((norm.cdf(1.25) + norm.cdf(0.75)) / 2)
    same = joint_probability(assessment(), targets(("log10_sigma_s_cm", ">=", -3.0)))
    assert same == pytest.approx(joint)


def test_joint_probability_multiplies_within_members_and_averages_over_them():
    wanted = targets(("sigma_ms_cm", ">=", 1.0), ("oxidation_v", ">=", 4.0))
    first = norm.cdf(1.25) * norm.cdf(0.2 / 0.3)
    second = norm.cdf(0.75) * norm.cdf(0.4 / 0.3)
    assert joint_probability(assessment(), wanted)[0] == pytest.approx((first + second) / 2)


def test_disagreement_that_members_share_is_kept():
    # One member says fast and weak, the other slow and strong: never both, though each holds half the time.
    split = {
        "sigma_s_cm": property_([[-1.0] * 3, [-9.0] * 3], 0.1, "log10"),
        "oxidation_v": property_([[1.0] * 3, [6.0] * 3], 0.1),
    }
    both = targets(("sigma_ms_cm", ">=", 1.0), ("oxidation_v", ">=", 4.0))
    judged = assessment(**split)
    assert [judged.probability(t) for t in both.target] == [pytest.approx([0.5] * 3)] * 2
    assert joint_probability(judged, both) == pytest.approx([0.0] * 3)


def test_a_missing_hull_is_left_out_and_a_given_one_counts():
    wanted = targets(("oxidation_v", ">=", 4.0), ("e_above_hull_ev_atom", "<=", 0.05))
    without = assessment()
    assert left_out(without, wanted) == ("e_above_hull_ev_atom",)
    assert left_out(assessment(overrides=hull(0, 0, 0)), wanted) == ()
    only = joint_probability(without, targets(("oxidation_v", ">=", 4.0)))
    assert joint_probability(without, wanted) == pytest.approx(only)
    # 0.05 eV/atom is the mean of the second row: half; four standard deviations below in the first.
    halved = joint_probability(assessment(overrides=hull(0.01, 0.05, 0.3)), wanted)
    assert halved == pytest.approx(only * [norm.cdf(4), 0.5, 0.0], abs=1e-12)
    with pytest.raises(KeyError, match="hardness_gpa"):
        joint_probability(without, targets(("hardness_gpa", "<", 1.0)))


def test_overrides_replace_the_ensemble():
    fixed = {"oxidation_v": property_([[5.0] * 3] * 2, 0.01)}
    assert joint_probability(
        assessment(overrides=fixed), targets(("oxidation_v", ">=", 4.0))
    ) == pytest.approx([1] * 3)


@pytest.mark.parametrize("transform", ["log10", "identity"])
def test_cost_per_litre_by_hand(transform):
    cost = precursor_cost(Compositions.from_formulas(FORMULAS[:1]))
    if transform == "log10":
        density, log_density, log_sd = (
            property_([[0.3] * 3] * 2, 0.02, "log10"),
            0.3 * np.log(10),
            0.02 * np.log(10),
        )
    else:
        density, log_density, log_sd = property_([[2.0] * 3] * 2, 0.1), np.log(2.0), 0.05
    limit = 15.0
    z = (np.log(limit) - np.log(cost.usd_kg[0]) - log_density) / np.hypot(cost.log_sd[0], log_sd)
    judged = assessment(density_g_cm3=density)
    assert joint_probability(judged, targets(("cost_usd_l", "<=", limit)))[0] == pytest.approx(norm.cdf(z))
    per_kg = joint_probability(judged, targets(("cost_usd_kg", "<=", 8.0)))[0]
    assert per_kg == pytest.approx(norm.cdf(np.log(8.0 / cost.usd_kg[0]) / cost.log_sd[0]))
    assert joint_probability(judged, targets(("cost_usd_l", "<=", 0.0))) == pytest.approx([0] * 3)
    assert judged.median("cost_usd_l")[0] == pytest.approx(cost.usd_kg[0] * np.exp(log_density))


@pytest.fixture
def certain_pellets():
    """Pellets and hardness without scatter: half is kept at a twentieth of the hardness, exponent 1."""
    known = {name: parameter(name) for name in load_table("pressure_parameters")["parameter"]}
    known |= {
        "pellet_log10_half_over_hardness": Parameter(np.log10(0.05), 0.0),
        "pellet_exponent": Parameter(1.0, 0.0),
        "hardness_tian_log10_offset": Parameter(0.0, 0.0),
    }
    with replaced(known):
        yield


def known_solid(bulk_gpa=20.0, shear_gpa=10.0):
    """Three materials whose K and G are all but certain."""
    return predictions(
        bulk_modulus_gpa=property_([[np.log10(bulk_gpa)] * 3] * 2, 1e-9, "log10"),
        shear_modulus_gpa=property_([[np.log10(shear_gpa)] * 3] * 2, 1e-9, "log10"),
    )


def judge(given, phase=CRYSTAL, overrides=None, conditions=None):
    compositions = Compositions.from_formulas(FORMULAS)
    return assess(compositions, np.full(3, phase, np.uint8), given, overrides, conditions)


def test_conductivity_at_the_operating_pressure_by_hand(certain_pellets):
    # H = 0.92 (1/2)^1.137 10^0.708 = 2.136 GPa; half is kept at 106.8 MPa, 1/(1 + 53.4) = 0.01838 at 2 MPa.
    kept = 1 / (1 + 0.05e3 * 0.92 * 0.5**1.137 * 10**0.708 / 2)
    assert kept == pytest.approx(0.01838, abs=1e-5)
    wanted = targets(("sigma_at_pressure_ms_cm", ">=", 0.05))
    judged = judge(known_solid())
    # Members have log10 sigma -2.5 and -2.7 with 0.4; wanted are 0.05/0.01838 = 2.72 mS/cm: -2.565.
    z = [(m - np.log10(0.05e-3 / kept)) / 0.4 for m in (-2.5, -2.7)]
    assert z[0] == pytest.approx(0.163, abs=1e-3)
    assert joint_probability(judged, wanted)[0] == pytest.approx(norm.cdf(z).mean(), rel=1e-6)
    # At 20 MPa 1/(1 + 5.34) is kept.
    at_twenty = targets(("sigma_at_pressure_ms_cm", ">=", 0.05), ("stack_pressure_mpa", "<", 20.0))
    assert at_twenty.working_conditions().pressure_mpa == 20.0
    more = judge(known_solid(), conditions=at_twenty.working_conditions())
    assert more.median("conductivity_kept") == pytest.approx([1 / 6.34] * 3, rel=1e-3)
    assert joint_probability(more, wanted)[0] > joint_probability(judged, wanted)[0]


def test_one_conductivity_answers_both_of_its_targets(certain_pellets):
    judged = judge(known_solid())
    kept = judged.median("conductivity_kept")[0]
    bare = joint_probability(judged, targets(("sigma_ms_cm", ">=", 1.0)))
    # The same event said twice is no less likely than said once; as independent factors it would be squared.
    twice = targets(("sigma_ms_cm", ">=", 1.0), ("sigma_at_pressure_ms_cm", ">=", kept))
    assert joint_probability(judged, twice) == pytest.approx(bare, rel=1e-6)
    # Bulk conductivity between 1 and 1.5 mS/cm, one limit from each target.
    band = targets(("sigma_ms_cm", "<", 1.5), ("sigma_at_pressure_ms_cm", ">=", kept))
    edges = np.log10(1.5e-3), -3.0
    inside = [norm.cdf((edges[0] - m) / 0.4) - norm.cdf((edges[1] - m) / 0.4) for m in (-2.5, -2.7)]
    assert joint_probability(judged, band)[0] == pytest.approx(np.mean(inside), rel=1e-6)
    never = targets(("sigma_ms_cm", "<", 0.9), ("sigma_at_pressure_ms_cm", ">=", kept))
    assert joint_probability(judged, never) == pytest.approx([0] * 3, abs=1e-9)


def test_flow_answers_pressure_and_pellet_at_once(certain_pellets):
    # A hard glass keeps nothing unless it flows. Tg 290 and 310 +- 10 K, used at 298.15 K.
    transition = {"glass_transition_k": property_([[290.0] * 3, [310.0] * 3], 10.0)}
    wanted = [("stack_pressure_mpa", "<", 2.0), ("sigma_at_pressure_ms_cm", ">=", 1.0)]
    hard = known_solid(1000.0, 500.0)
    judged = judge(hard, GLASS, transition)
    flow = parameter("flow_log10_mpa")
    under_flow = norm.cdf((np.log10(2.0) - flow.value) / flow.sd)
    each = norm.cdf(0.815) * norm.cdf(1.25), norm.cdf(-1.185) * norm.cdf(0.75)
    by_hand = under_flow * np.mean(each)
    assert joint_probability(judged, targets(*wanted))[0] == pytest.approx(by_hand, abs=2e-4)
    # Independent factors would ask the glass to flow twice.
    twice = norm.cdf(0.815) * each[0], norm.cdf(-1.185) * each[1]
    assert by_hand > 1.2 * under_flow * np.mean(twice)
    # Tg below 290 K: half of the first member, a 44th of the second, and all of these flow.
    colder = targets(*wanted, ("glass_transition_k", "<", 290.0))
    cold = norm.cdf(0) * norm.cdf(1.25), norm.cdf(-2) * norm.cdf(0.75)
    assert joint_probability(judged, colder)[0] == pytest.approx(under_flow * np.mean(cold), abs=2e-4)
    crystal = judge(hard, CRYSTAL, transition)
    assert joint_probability(crystal, colder).tolist() == [0.0] * 3
    assert joint_probability(crystal, targets(*wanted))[0] < 1e-3


def test_targets_that_share_nothing_with_the_draws_stay_factors(certain_pellets):
    judged = judge(known_solid())
    at_pressure = ("sigma_at_pressure_ms_cm", ">=", 0.05)
    both = targets(at_pressure, ("oxidation_v", ">=", 4.0))
    by_member = judged.member_probability(both.target[0]) * judged.member_probability(both.target[1])
    assert joint_probability(judged, both) == pytest.approx(by_member.mean(axis=0))


@pytest.mark.parametrize(
    ("draws", "tolerance", "of_conductivity"),
    # What is shown draws the conductivity, what is judged integrates it: of that column a quantile of 64
    # draws for each of two members is off by 0.020 of probability (root mean square over 30 scramblings of
    # the Sobol points), of 4,096 by 0.001. The other columns differ by rounding to a whole draw alone.
    [(64, 0.01, 0.06), (4096, 0.001, 0.005)],
)
def test_drawn_columns_agree_with_what_is_shown(draws, tolerance, of_conductivity):
    judged = assessment(CRYSTAL)
    shown = sampled_columns(judged, draws)
    for column in DRAWN_COLUMNS:
        allowed = of_conductivity if column == "sigma_at_pressure_ms_cm" else tolerance
        median, low, high = (float(values[1]) for values in shown[column])
        below = probability_of(judged, draws, (column, "<", median))
        assert below == pytest.approx(0.5, abs=allowed), column
        inside = probability_of(judged, draws, (column, ">=", low), (column, "<=", high))
        assert inside == pytest.approx(0.9, abs=allowed), column


def test_decisions_use_the_draws_that_are_shown():
    judged = assessment(CRYSTAL)
    for column, (median, low, high) in sampled_columns(judged).items():
        if column not in DRAWN_COLUMNS:
            continue
        assert judged.median(column).tolist() == median.tolist()
        conditions = (column, ">=", float(low[1])), (column, "<=", float(high[1]))
        drawn = probability_of(judged, DRAWS, *conditions)
        assert joint_probability(judged, targets(*conditions))[1] == pytest.approx(drawn), column


def probability_of(judged, draws, *conditions):
    """The second material's probability of meeting conditions on drawn columns."""
    return shared_probability(judged, targets(*conditions).target, draws).mean(axis=0)[1]


def test_draws_and_closed_forms_give_the_same_single_probabilities():
    for phase in (CRYSTAL, GLASS):
        judged = assessment(phase)
        for column, comparison, value in (
            ("stack_pressure_mpa", "<", 2.0),
            ("sigma_ms_cm", ">=", 1.0),
            ("youngs_modulus_gpa", "<", 2.0),
            ("bulk_modulus_gpa", ">=", 18.0),
            ("glass_transition_k", "<", 310.0),
        ):
            (target,) = targets((column, comparison, value)).target
            drawn = shared_probability(judged, [target]).mean(axis=0)
            assert drawn == pytest.approx(judged.probability(target), abs=0.02), (column, phase)


def test_unknown_conductivity_meets_no_target_and_leaves_others_alone():
    unknown = predictions(sigma_s_cm=property_([[np.nan, -3.0, -3.0]] * 2, 0.4, "log10"))
    judged = judge(unknown)
    at_pressure = targets(("sigma_at_pressure_ms_cm", ">=", 1e-3))
    assert joint_probability(judged, at_pressure)[0] == 0.0
    assert joint_probability(judged, targets(("sigma_at_pressure_ms_cm", "<", 1e3)))[0] == 0.0
    assert joint_probability(judged, targets(("conductivity_kept", ">", 0.0)))[0] == pytest.approx(1.0)
    assert (joint_probability(judged, at_pressure)[1:] > 0).all()


def test_cost_per_area_by_hand():
    # 50 um of a square metre hold 0.05 L: 0.6 USD/m2 are 12 USD/L.
    judged = assessment()
    area = joint_probability(judged, targets(("cost_usd_m2", "<=", 0.6)))
    assert area == pytest.approx(joint_probability(judged, targets(("cost_usd_l", "<=", 12.0))))
    assert judged.median("cost_usd_m2") == pytest.approx(0.05 * judged.median("cost_usd_l"))
    compositions = Compositions.from_formulas(FORMULAS)
    thin = assess(compositions, np.zeros(3, np.uint8), predictions(), costing=load_costing(thickness_um=25))
    assert joint_probability(thin, targets(("cost_usd_m2", "<=", 0.3))) == pytest.approx(area)


def test_a_price_level_without_scatter_is_met_or_not():
    compositions = Compositions.from_formulas(["LiAlCl2.5O0.75", "Li3YCl6", "LiTmCl4"])
    low = assess(compositions, np.zeros(3, np.uint8), predictions(), costing=load_costing(price_level="low"))
    usd = low.cost.usd_kg
    limit = (usd[0] + usd[1]) / 2
    met = joint_probability(low, targets(("cost_usd_kg", "<=", limit)))
    assert met.tolist() == [float(usd[0] < limit), float(usd[1] < limit), 0.0]
    missed = joint_probability(low, targets(("cost_usd_kg", ">", limit)))
    assert missed.tolist() == [float(usd[0] > limit), float(usd[1] > limit), 0.0]
    assert joint_probability(low, targets(("cost_usd_kg", "<=", usd[0])))[0] == 1.0


def test_glass_transition_is_a_property_of_glasses():
    warm = targets(("glass_transition_k", "<", 310.0))
    assert joint_probability(assessment(CRYSTAL), warm) == pytest.approx([0] * 3)
    # Given from outside it is taken as it is; else the network's is weighed against what melting says.
    given_k = {"glass_transition_k": property_([[280.0] * 3, [300.0] * 3], 30.0)}
    half = (norm.cdf(1) + norm.cdf(1 / 3)) / 2
    assert joint_probability(assessment(GLASS, given_k), warm)[0] == pytest.approx(half)
    weighed = assessment(GLASS)
    assert SOURCES[weighed.transition.source[0]] == "rule"
    assert joint_probability(weighed, warm)[0] == pytest.approx(
        weighed.predictions["glass_transition_k"].probability_below(310.0)[0]
    )
    assert np.isnan(assessment(CRYSTAL).median("glass_transition_k")).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(set(TARGET_COLUMNS) - {"hardness_gpa", "formation_energy_ev_atom"})),
            st.sampled_from(["<", "<=", ">=", ">"]),
            st.floats(-5, 100),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda c: (c[0], c[1][0]),
    ),
    st.sampled_from([CRYSTAL, GLASS]),
)
def test_joint_probability_is_one_and_no_more_than_any_single(conditions, phase):
    wanted = targets(*conditions)
    judged = assessment(phase, overrides=hull(0.0, 0.05, 0.2))
    joint = joint_probability(judged, wanted)
    assert ((joint >= 0) & (joint <= 1)).all()
    for target in wanted.target:
        assert (joint <= judged.probability(target) + 1e-12).all()


def test_decide_gives_every_column():
    table = decide(
        Compositions.from_formulas(FORMULAS),
        np.array([GLASS, CRYSTAL, CRYSTAL], np.uint8),
        predictions(),
        overrides=hull(0.02, 0.0, 0.05),
    )
    assert list(table) == [
        "stack_pressure_mpa",
        "stack_pressure_mpa_lower",
        "stack_pressure_mpa_upper",
        "p_below_target_pressure",
        "cost_usd_kg",
        "cost_usd_l",
        "p_all_targets",
        "pressure_mechanism",
        "cost_usd_kg_lower",
        "cost_usd_kg_upper",
        "precursor_route",
        "flags",
    ]
    assert table["pressure_mechanism"].to_list() == ["flow", "plastic", "plastic"]
    assert (table["stack_pressure_mpa_lower"] < table["stack_pressure_mpa"]).all()
    assert table["p_all_targets"].between(0, 1).all()
    assert table["precursor_route"][1] == "3 LiCl + YCl3"
    assert table["flags"].to_list() == [
        "contact by viscous flow; cost: estimated price of Li2O, AlCl3",
        "extrapolation; cost: estimated price of LiCl, YCl3",
        "cost: estimated price of LiCl, P2S5",
    ]
    short = decide(Compositions.from_formulas(FORMULAS), np.zeros(3, np.uint8), predictions(), details=False)
    assert "flags" not in short
    assert short["stack_pressure_mpa"].iloc[1:].to_list() == table["stack_pressure_mpa"].iloc[1:].to_list()


def test_flags_name_what_is_wrong():
    compositions = Compositions.from_formulas(["LiBH4", "NaCl", "LiCl"])
    base = predictions(glass_transition_k=property_([[400.0] * 3] * 2, 80.0))
    odd = Predictions(base.properties, np.array([0.5, 0.5, 0.5]), np.array([True, False, False]))
    judged = assess(compositions, np.array([CRYSTAL, CRYSTAL, GLASS], np.uint8), odd)
    assert flags(judged, [(), (), ("LiCl",)]).tolist() == [
        "element outside the training data; no cost: no cited price for a precursor of H",
        "",
        "glass transition uncertain; cost: estimated price of LiCl",
    ]


@pytest.mark.parametrize(("sd", "uncertain"), [(49.5, False), (50.5, True)])
def test_a_glass_transition_is_uncertain_above_fifty_kelvin(sd, uncertain):
    given = {"glass_transition_k": property_([[400.0] * 3] * 2, sd)}
    judged = assessment(GLASS, given)
    found = flags(judged, [(), (), ()])
    assert ["glass transition uncertain" in text for text in found] == [uncertain] * 3


def test_medians_in_their_units():
    judged = assessment()
    # Members -2.5 and -2.7 of one spread: the median of their mixture lies half-way.
    assert judged.median("log10_sigma_s_cm")[0] == pytest.approx(-2.6)
    assert judged.median("sigma_ms_cm")[0] == pytest.approx(10**0.4)
    assert judged.median("oxidation_v")[0] == pytest.approx(4.3)
    assert np.isnan(judged.median("glass_transition_k")).all()
    assert not np.isnan(assessment(GLASS).median("glass_transition_k")).any()


def test_a_melt_that_flows_still_needs_some_pressure():
    cold = predictions(glass_transition_k=property_([[150.0] * 3] * 2, 1.0))
    given = {"glass_transition_k": property_([[150.0] * 3] * 2, 1.0)}
    judged = judge(cold, GLASS, given)
    flow = parameter("flow_log10_mpa")
    for limit in (10**flow.value, 10 ** (flow.value - flow.sd)):
        wanted = targets(("stack_pressure_mpa", "<", limit), ("conductivity_kept", ">", 0.5))
        expected = norm.cdf((np.log10(limit) - flow.value) / flow.sd)
        drawn = shared_probability(judged, wanted.target)
        assert drawn == pytest.approx(np.full((2, 3), expected), rel=1e-6)
        assert joint_probability(judged, wanted) == pytest.approx([expected] * 3, rel=1e-6)


def test_draws_of_youngs_modulus_have_its_own_spread_in_each_member():
    """Whatever K and G scatter by, a member's E scatters as its calibrated distribution says."""
    wide, narrow = np.full((1, 3), 0.3), np.full((1, 3), 0.02)
    spreads = np.concatenate([wide, narrow])
    means = np.array([[0.0, 1.3, 1.4], [0.2, 1.4, 1.3]])
    judged = judge(
        predictions(
            bulk_modulus_gpa=PropertyPrediction(means, spreads, "log10"),
            shear_modulus_gpa=PropertyPrediction(means - 0.4, spreads, "log10"),
        )
    )
    for column, shift in enumerate((-0.1, 0.0, 0.1)):
        limit = float(10 ** (means[0, column] + shift))
        (target,) = targets(("youngs_modulus_gpa", "<", limit)).target
        drawn = shared_probability(judged, [target])
        assert drawn == pytest.approx(judged.member_probability(target), abs=0.05)
    certain = judge(
        predictions(
            **{
                name: PropertyPrediction(means, np.zeros((2, 3)), "log10")
                for name in ("bulk_modulus_gpa", "shear_modulus_gpa")
            }
        )
    )
    (target,) = targets(("youngs_modulus_gpa", "<", 1e3)).target
    assert shared_probability(certain, [target]) == pytest.approx(np.ones((2, 3)))


def brute_front(values, low):
    sign = np.where(low, 1.0, -1.0)
    bad = np.where(np.isnan(values), np.inf, values * sign)
    return np.array(
        [not any((other <= row).all() and (other < row).any() for other in bad) for row in bad], dtype=bool
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 10**6))
def test_pareto_front_equals_brute_force(rows, columns, seed):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties, duplicates and unknowns are common.
    values = rng.integers(0, 5, (rows, columns)).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    low = rng.random(columns) < 0.5
    assert pareto_front(values, low).tolist() == brute_front(values, low).tolist()


def test_pareto_front_across_blocks():
    values = np.random.default_rng(1).normal(size=(700, 3))
    front = pareto_front(values, [True, False, True])
    assert front.tolist() == brute_front(values, np.array([True, False, True])).tolist()
    assert pareto_front(np.zeros((0, 3)), [True] * 3).shape == (0,)


def test_pareto_front_of_an_assessment():
    wanted = targets(
        ("stack_pressure_mpa", "<", 2.0), ("sigma_ms_cm", ">=", 1.0), ("e_above_hull_ev_atom", "<=", 0.05)
    )
    values, low = medians(assessment(), wanted)
    assert values.shape == (3, 2)
    assert low.tolist() == [True, False]
    assert pareto_front(values, low).tolist() == [True, False, True]


def test_distance_by_hand():
    panel = KnownElectrolytes.from_compositions(
        Compositions.from_formulas(["Li3YBr6", "LiAlCl4", "Li6YBr6Y"])
    )
    names, distance = nearest_known(
        Compositions.from_formulas(["Li3YCl6", "NaI", "LiAlCl4", "Li6Al2Cl8"]), panel
    )
    # Li3YCl6 shares 0.3 Li and 0.1 Y with Li3YBr6, but 1/6 Li and 0.6 Cl with LiAlCl4.
    assert names.tolist() == ["LiAlCl4", "", "LiAlCl4", "LiAlCl4"]
    # Li6Al2Cl8 has 6/16 Li, 2/16 Al, 8/16 Cl; it shares 1/6 + 2/16 + 8/16.
    assert distance == pytest.approx([1 - (1 / 6 + 0.6), 1.0, 0.0, 1 - (1 / 6 + 0.125 + 0.5)])
    assert distance[2] == 0.0


def test_the_cited_panel():
    panel = known_electrolytes()
    assert len(panel.names) == len(set(panel.names)) > 80
    assert {"LiAlCl2.5O0.75", "Li3YCl6"} <= set(panel.names)
    assert not {"Li", "Na", "LiNi0.6Mn0.2Co0.2O2"} & set(panel.names)
    np.testing.assert_allclose(panel.fractions.sum(axis=0), 1.0)
    names, distance = nearest_known(Compositions.from_formulas(list(panel.names)))
    assert distance.max() == 0.0
    assert names.tolist() == panel.names.tolist()
