"""Glass transition: eutectics, the rule's limits, the network's domain, the weighing of sources."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.fusion import ideal_eutectic, ideal_eutectic_of, references
from softlyte.screening.glass_transition import (
    SOURCES,
    glass_transition,
    network_domain,
    reference_labels,
    rule_estimate,
)
from softlyte.screening.parameters import parameter

NETWORK, IDEAL, RULE = range(3)


def elements(text):
    return frozenset(Element(symbol).Z for symbol in text.split())


def network(*means, sd=40.0, members=2):
    return PropertyPrediction(
        np.tile(np.array(means, float), (members, 1)), np.full((members, len(means)), sd)
    )


def of(*formulas):
    return Compositions.from_formulas(formulas)


def test_ideal_eutectic_of_two_equal_salts_by_hand():
    # Two salts alike: x = 1/2 at 1/T = 1/Tm + R ln 2/dH; Tm = 1000 K and dH = R ln 2 * 1000 K give T = 500 K.
    enthalpy = 8.314462618 * np.log(2) * 1000 / 1e3
    kelvin, fractions = ideal_eutectic(np.array([1000.0, 1000.0]), np.array([enthalpy] * 2))
    assert kelvin == pytest.approx(500.0, abs=1e-6)
    assert fractions == pytest.approx([0.5, 0.5])


def test_ideal_eutectics_are_those_of_the_cited_table():
    table = load_table("eutectics_cited").query("flag == ''")
    for system, cited in zip(table["system"], table["ideal_eutectic_k"], strict=True):
        found = ideal_eutectic_of(
            elements("Cl " + " ".join(p.rstrip("0123456789")[:-2] for p in system.split("-")))
        )
        assert found is not None, system
        assert found[0] == pytest.approx(cited, abs=0.2), system


def test_unknown_salts_give_no_ideal_eutectic():
    assert ideal_eutectic_of(elements("Li Zr Cl")) is None
    assert ideal_eutectic_of(elements("Li O")) is None
    # TiCl4 is a molecular liquid (melts at 249 K): that says nothing about lithium titanium chlorides.
    assert ideal_eutectic_of(elements("Li Ti Cl")) is None
    assert np.isnan(rule_estimate(of("Li2TiCl6")).mean_k[0])
    assert ideal_eutectic_of(elements("Cl O")) is None


@given(st.lists(st.tuples(st.floats(300, 2000), st.floats(5, 80)), min_size=1, max_size=5))
def test_an_eutectic_lies_below_every_melting_point(given_salts):
    melting, enthalpy = np.array(given_salts).T
    kelvin, fractions = ideal_eutectic(melting, enthalpy)
    assert kelvin <= melting.min() + 1e-6
    assert fractions.sum() == pytest.approx(1.0, abs=1e-6)


def test_references_hold_the_lowest_temperature_of_a_system():
    by_label = {reference.label: reference for reference in references()}
    assert by_label["eutectic LiCl-AlCl3"].temperature_k == 383.0
    # LiAlCl4 (418 K) is of the same system as the eutectic.
    assert "LiAlCl4" not in by_label
    # Molecular liquids and refractory salts vitrify with nothing.
    assert not {"TiCl4", "SnCl4", "LiCl", "YCl3"} & set(by_label)
    assert all(abs(sum(r.cations.values()) - 1) < 1e-3 for r in references())


def test_the_rule_at_an_eutectic():
    ratio = parameter("glass_transition_ratio")
    rule = rule_estimate(of("Li0.43Al0.57Cl2.14"))
    assert rule.mean_k[0] == pytest.approx(ratio.value * 383.0)
    assert rule.sd_k[0] == pytest.approx(ratio.sd * 383.0, rel=1e-3)
    assert reference_labels()[rule.reference[0]] == "eutectic LiCl-AlCl3"


def test_the_rule_grows_uncertain_away_from_its_system():
    at, more_li, oxygen, foreign, fluoride = rule_estimate(
        of(
            "Li0.43Al0.57Cl2.14",
            "Li2AlCl5",
            "Li0.43Al0.57Cl1.54O0.3",
            "Li0.43Al0.4Y0.17Cl2.14",
            "Li0.43Al0.57Cl1.64F0.5",
        )
    ).sd_k
    assert at < min(more_li, oxygen, foreign, fluoride)
    # Too little of the complex: nothing is said, and ZrCl4 has no cited enthalpy of fusion.
    silent = rule_estimate(of("Li2.8Zr0.75Al0.25Cl3.75O1.4", "Li6PS5Cl", "Li7La3Zr2O12"))
    assert np.isnan(silent.mean_k).all()
    assert np.isinf(silent.sd_k).all()
    assert (silent.reference == -1).all()


def test_rule_without_measured_temperatures_falls_back_on_the_ideal_mixture():
    ideal = rule_estimate(of("Li0.43Al0.57Cl2.14"), measured=False)
    expected = parameter("glass_transition_ratio").value * (
        461.23 - parameter("ideal_eutectic_excess_k").value
    )
    assert ideal.mean_k[0] == pytest.approx(expected, abs=0.1)
    assert ideal.reference[0] == -1
    assert ideal.sd_k[0] > rule_estimate(of("Li0.43Al0.57Cl2.14")).sd_k[0]
    alone = glass_transition(of("Li0.43Al0.57Cl2.14"), None, measured=False)
    assert SOURCES[alone.source[0]] == "ideal mixture"
    assert np.isnan(rule_estimate(of("Li0.43Al0.57Cl2.14"), measured=False, ideal=False).mean_k[0])


def spread(formula, label):
    """The relative standard deviation that the rule should state, from shares worked out here."""
    reference = next(r for r in references() if r.label == label)
    amounts = {e.Z: n for e, n in Composition(formula).items()}
    anions = {z: n for z, n in amounts.items() if z in (8, 9, 17, 35, 53)}
    cations = {z: n for z, n in amounts.items() if z not in anions}
    shares = {z: n / sum(cations.values()) for z, n in cations.items()}
    distance = (
        sum(abs(shares.get(z, 0) - reference.cations.get(z, 0)) for z in {*shares, *reference.cations}) / 2
    )
    framework = {z: n for z, n in cations.items() if z not in (3, 11)}
    covered = sum(n for z, n in framework.items() if z in reference.cations) / sum(framework.values())
    oxygen = anions.get(8, 0) / sum(anions.values())
    fluorine = anions.get(9, 0) / sum(anions.values())
    ratio = parameter("glass_transition_ratio")
    slope = parameter("glass_transition_cation_slope").value
    unmeasured = 0.5 if len(reference.cations) == 1 else 0.0
    return np.sqrt(
        (ratio.sd / ratio.value) ** 2
        + (slope**2 + unmeasured**2) * distance**2
        + (1 - covered) ** 2
        + (parameter("glass_transition_oxygen_slope").value * oxygen) ** 2
        + (0.25 * fluorine) ** 2
    )


@pytest.mark.parametrize(
    ("formula", "label"),
    [
        ("Li2AlCl5", "eutectic LiCl-AlCl3"),
        ("Li0.43Al0.57Cl1.54O0.3", "eutectic LiCl-AlCl3"),
        ("Li0.43Al0.57Cl1.64F0.5", "eutectic LiCl-AlCl3"),
        ("Li0.43Al0.4Y0.17Cl2.14", "eutectic LiCl-AlCl3"),
        ("LiTa9Cl46", "TaCl5"),
    ],
)
def test_the_spread_of_the_rule_by_hand(formula, label):
    """Off a complex the measured pace, off a simple salt half as much again; foreign cations, O and F add."""
    rule = rule_estimate(of(formula))
    assert reference_labels()[rule.reference[0]] == label
    assert rule.sd_k[0] / rule.mean_k[0] == pytest.approx(spread(formula, label), rel=1e-6)


def test_what_counts_as_a_low_melting_salt():
    labels = {reference.label for reference in references()}
    table = load_table("melting_cited", drop_flagged=True)
    halides = table[table["formula"].str.fullmatch(r"[A-Z][a-z]?(F|Cl|Br|I)[0-9]?")]
    low = halides[halides["melting_point_k"].between(330.0, 700.0)]
    # What sublimes melts under pressure only: of these only AlCl3 is taken; the eutectics stand for the rest.
    plain = {f for f, s in zip(low["formula"], low["sublimes"], strict=True) if s == "no" or f == "AlCl3"}
    assert {"AlCl3", "FeCl3", "TaCl5", "ZnCl2"} <= plain
    assert {label for label in labels if label in set(halides["formula"])} == plain
    # Sources disagree on niobium chloride.
    assert "NbCl5" not in labels


def test_network_domain():
    known, foreign = network_domain(of("Li2Si2O5", "LiTaCl6"))
    assert known == 1.0
    assert foreign == 0.0
    # Traces decide nothing; a composition without cations has no domain.
    assert network_domain(of("Li2Si2Ta0.01O5.03"))[0] == 1.0
    assert network_domain(of("Cl"))[0] == 0.0
    assert network_domain(of("Li2Si2Tc0.01O5.03"))[0] == 1.0  # of technetium there is no glass
    assert network_domain(of("Li2Si2TcO7"))[0] == 0.0


def test_the_domain_is_the_share_of_twenty_measured_glasses():
    table = load_table("glass_transition_support")
    few = table[(table["anion"] != "") & (table["glasses"] < 30)]
    assert {"O", "F"} < set(few["anion"])
    found = network_domain(
        of(*(f"{cation}{anion}" for cation, anion in zip(few["element"], few["anion"], strict=True)))
    )
    assert found == pytest.approx(np.minimum(few["glasses"] / 20, 1.0).to_numpy())


def test_inverse_variance_mean_by_hand():
    # Inside the network's domain (a silicate) nothing melts low: the network is left as it is.
    silicate = glass_transition(of("Li2Si2O5"), network(750.0))
    assert SOURCES[silicate.source[0]] == "network"
    assert silicate.prediction.member_mean == pytest.approx(np.full((2, 1), 750.0))
    assert silicate.prediction.member_sd == pytest.approx(np.full((2, 1), 40.0))
    # Outside of it the network's spread is widened before it is weighed against the rule.
    formula = of("Li0.43Al0.57Cl2.14")
    rule = rule_estimate(formula)
    outside = (1 - network_domain(formula)[0]) * parameter("glass_transition_blind").value
    assert outside > 0.2
    wide = np.hypot(40.0, 300.0 * outside)
    weight = rule.sd_k[0] ** -2 / (rule.sd_k[0] ** -2 + wide**-2)
    both = glass_transition(formula, network(300.0))
    assert SOURCES[both.source[0]] == "rule"
    assert both.prediction.mean()[0] == pytest.approx(weight * rule.mean_k[0] + (1 - weight) * 300.0)
    assert both.prediction.sd()[0] == pytest.approx((rule.sd_k[0] ** -2 + wide**-2) ** -0.5)


def test_sources_that_contradict_each_other_widen_the_result():
    formula = of("Li0.43Al0.57Cl2.14")
    near, far = glass_transition(formula, network(260.0)), glass_transition(formula, network(900.0, sd=1.0))
    assert far.prediction.sd()[0] > 1.5 * near.prediction.sd()[0]


def test_each_source_alone():
    formula = of("Li0.43Al0.57Cl2.14")
    without = glass_transition(formula, None)
    assert without.prediction.mean()[0] == pytest.approx(rule_estimate(formula).mean_k[0])
    only = glass_transition(formula, network(400.0), measured=False, ideal=False)
    assert only.source[0] == NETWORK
    assert only.prediction.mean()[0] == pytest.approx(400.0)
    nothing = glass_transition(of("Li6PS5Cl"), None)
    assert np.isnan(nothing.prediction.mean()[0])
    assert np.isinf(nothing.prediction.member_sd).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.sampled_from(["LiAlCl4", "Na2ZnCl4", "LiTaOCl4", "Li3YCl6", "Li6PS5Cl", "NaGaCl4"]), min_size=1
    )
)
def test_rows_do_not_depend_on_each_other(formulas):
    many = rule_estimate(of(*formulas))
    for row, formula in enumerate(formulas):
        alone = rule_estimate(of(formula))
        np.testing.assert_equal((many.mean_k[row], many.sd_k[row]), (alone.mean_k[0], alone.sd_k[0]))


def test_checks_are_in_no_fit():
    """The glasses that the transition is checked on are not among those that its numbers were fitted on."""
    checks = Compositions.from_formulas(load_table("glass_transition_cited")["formula"]).keys()
    fitted = load_table("glass_liquidus")["formula"]
    assert not set(checks.tolist()) & set(Compositions.from_formulas(fitted).keys().tolist())
