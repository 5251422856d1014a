"""Pellets: the conductivity they keep, Heckel densities, and the fits behind them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlyte.screening.parameters import parameter
from softlyte.screening.pellet import (
    FLOW_FABRICATION_MPA,
    conductivity_kept,
    fabrication_pressure_mpa,
    fit_curve,
    fit_curves,
    kept_and_fabrication,
)


def test_half_is_kept_at_the_half_pressure():
    assert conductivity_kept(40.0, np.array([40.0]), 0.9) == pytest.approx([0.5])
    # 1 / (1 + 20^1) at a twentieth of it.
    assert conductivity_kept(2.0, np.array([40.0]), 1.0) == pytest.approx([1 / 21])
    with np.errstate(all="raise"):
        assert conductivity_kept(0.0, np.array([40.0]), 1.0) == pytest.approx([0.0])
        assert conductivity_kept(-1.0, np.array([40.0]), 1.0) == pytest.approx([0.0])


def test_heckel_by_hand():
    # ln(1/0.1) = 2.3026; (2.3026 - 0.2107) * 246 = 514.6 MPa for Li5.5PS4.5Cl1.5.
    assert fabrication_pressure_mpa(np.array(246.0), 0.2107) == pytest.approx(514.6, abs=0.1)
    assert fabrication_pressure_mpa(np.array(246.0), 3.0) == 0.0
    # The porosity that the intercept was taken from comes back: 18% at 370 MPa.
    intercept = np.log(1 / 0.18) - 370 / 246
    assert fabrication_pressure_mpa(np.array(246.0), intercept, 0.82) == pytest.approx(370.0)
    assert parameter("heckel_intercept").value == pytest.approx(intercept, abs=1e-4)


@given(st.floats(0.1, 500), st.floats(0.1, 500), st.floats(1, 1e4), st.floats(0.3, 3))
def test_more_pressure_and_softer_keep_more(low, high, half, exponent):
    low, high = sorted((low, high))
    h = np.array([half])
    assert conductivity_kept(high, h, exponent) >= conductivity_kept(low, h, exponent)
    assert conductivity_kept(low, h, exponent) >= conductivity_kept(low, 2 * h, exponent)


def test_a_curve_is_found_again():
    p = np.geomspace(1, 400, 12)
    half, exponent = fit_curve(p, 3.0 * conductivity_kept_at(p, 30.0, 0.8))
    assert half == pytest.approx(30.0, rel=1e-3)
    assert exponent == pytest.approx(0.8, rel=1e-3)


def conductivity_kept_at(p, half, exponent):
    return 1 / (1 + (half / p) ** exponent)


def test_only_curves_with_a_plateau_count_and_an_in_situ_curve_is_one():
    p = np.geomspace(1, 400, 12)
    short = np.geomspace(1, 50, 12)

    def curve(name, pressures, fabrication):
        return pd.DataFrame(
            {
                "name": name,
                "formula": "X",
                "stack_pressure_mpa": pressures,
                "fabrication_pressure_mpa": fabrication,
                "sigma_ms_cm": conductivity_kept_at(pressures, 30.0, 0.8),
            }
        )

    just, hardly = np.geomspace(1, 250, 12), np.geomspace(1, 249.9, 12)
    curves = pd.concat(
        [
            curve("in situ", p, p),
            curve("a", p, 480.0),
            curve("a", short, 300.0),
            curve("just", just, 480.0),
            curve("hardly", hardly, 480.0),
            curve("few points", p[-5:], 480.0),
            curve("six points", p[-6:], 480.0),
        ],
        ignore_index=True,
    )
    found = fit_curves(curves, {"X": 1.0})
    # By name, whatever the order of the points.
    assert found["name"].to_list() == ["a", "in situ", "just", "six points"]
    assert found["half_over_hardness"].to_list() == pytest.approx([0.03] * 4, rel=1e-3)
    assert found["half_pressure_mpa"].to_list() == pytest.approx([30.0] * 4, rel=1e-3)
    assert found["exponent"].to_list() == pytest.approx([0.8] * 4, rel=1e-3)
    assert fit_curves(curves, {"X": 2.0})["half_over_hardness"].to_list() == pytest.approx(
        [0.015] * 4, rel=1e-3
    )


def test_draws_of_a_glass_that_flows_keep_everything():
    hardness = np.full((2, 8, 3), 1.0)
    flows = np.zeros((2, 8, 3), bool)
    flows[..., 0] = True
    kept, made = kept_and_fabrication(hardness, 2.0, flows, np.zeros((2, 8, 4)))
    assert (kept[..., 0] == 1.0).all()
    # LiAlCl2.5O0.75 was pressed with 5 MPa.
    assert (made[..., 0] == FLOW_FABRICATION_MPA).all()
    assert FLOW_FABRICATION_MPA == 5.0
    # H = 1 GPa: half pressure 55 MPa; 2 MPa keeps 1/(1 + 27.6^0.868) = 5%: sulfides keep 6-23% there.
    assert kept[0, 0, 1] == pytest.approx(0.053, abs=0.005)
    assert made[0, 0, 1] == pytest.approx(315 * (np.log(10) - 0.2107), rel=0.01)


def test_draws_move_with_their_numbers_and_the_exponent_stays_positive():
    hardness, solid = np.ones((1, 1, 1)), np.zeros((1, 1, 1), bool)

    def drawn(number, z):
        numbers = np.zeros((1, 1, 4))
        numbers[..., number] = z
        kept, made = kept_and_fabrication(hardness, 2.0, solid, numbers)
        return float(kept[0, 0, 0]), float(made[0, 0, 0])

    middle = drawn(0, 0.0)
    # A higher half pressure keeps less, a higher yield pressure asks for more, a larger intercept for less.
    assert drawn(0, 1.0)[0] < middle[0] < drawn(0, -1.0)[0]
    assert drawn(2, -1.0)[1] < middle[1] < drawn(2, 1.0)[1]
    assert drawn(3, 1.0)[1] < middle[1] < drawn(3, -1.0)[1]
    assert drawn(1, 1.0)[0] < middle[0]  # steeper, far below the half pressure
    half = 1e3 * 10 ** parameter("pellet_log10_half_over_hardness").value
    assert drawn(1, -1e3)[0] == pytest.approx(1 / (1 + (half / 2.0) ** 0.2))


def test_curves_beyond_the_bounds_end_at_them():
    """Exponents from 0.3 to 4 and half pressures up to 2981 MPa (e^8) are taken for those of a pellet."""
    p = np.geomspace(1, 400, 12)
    for half, exponent, found in ((30.0, 8.0, 4.0), (30.0, 0.1, 0.3)):
        assert fit_curve(p, conductivity_kept_at(p, half, exponent))[1] == pytest.approx(found, abs=0.01)
    assert fit_curve(p, conductivity_kept_at(p, 1e6, 1.0))[0] == pytest.approx(np.exp(8.0), rel=0.01)


def test_draws_at_the_fitted_numbers_by_hand():
    kept, made = kept_and_fabrication(
        np.full((1, 1, 1), 2.0), 3.0, np.zeros((1, 1, 1), bool), np.zeros((1, 1, 4))
    )
    half = 2e3 * 10 ** parameter("pellet_log10_half_over_hardness").value
    assert kept[0, 0, 0] == pytest.approx(
        1 / (1 + (half / 3.0) ** parameter("pellet_exponent").value), rel=1e-9
    )
    heckel = 2e3 * 10 ** parameter("heckel_log10_yield_over_hardness").value
    assert made[0, 0, 0] == pytest.approx(
        heckel * (np.log(10) - parameter("heckel_intercept").value), rel=1e-9
    )
