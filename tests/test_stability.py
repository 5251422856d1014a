"""Distributions of hull distance and window: against brute-force sampling and limiting cases."""

from __future__ import annotations

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictions import PropertyPrediction
from softlyte.screening.hull_evidence import REACTION_ENERGY_SD
from softlyte.screening.stability import (
    HULL_BASES,
    StabilityCalibration,
    shipped_calibration,
    stability,
)

PLAIN = StabilityCalibration(0.0, 1.0, (0.0, 0.0))


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


def energy(mean: np.ndarray, sd: float) -> PropertyPrediction:
    return PropertyPrediction(np.asarray(mean, float), np.full(np.shape(mean), sd))


def test_the_window_is_the_sampled_energy_seen_through_the_hull(store: HullStore) -> None:
    names = ["Li3YCl6", "LiTaOCl4", "Li2ZrCl6"]
    hull = store.hull_energy(read(*names))
    members = hull + np.array([[-0.03], [0.02]])
    found = stability(read(*names), energy(members, 0.05), store, calibration=PLAIN)
    rng = np.random.default_rng(0)
    drawn = members[:, None] + 0.05 * rng.standard_normal((2, 400, 3))
    sampled = np.array([store.window(read(*names), ["Li"] * 3, e) for e in drawn.reshape(-1, 3)])
    for side, limit in enumerate((found.reduction_v, found.oxidation_v)):
        expected = sampled[:, side].reshape(2, 400, 3)
        np.testing.assert_allclose(limit.member_mean, expected.mean(axis=1), atol=0.03)
        # The reaction's own error comes on top of what the energies scatter.
        assert (limit.member_sd >= expected.std(axis=1) - 0.02).all()
    above = found.e_above_hull
    np.testing.assert_allclose(above.member_mean, [[-0.03] * 3, [0.02] * 3], atol=1e-9)
    np.testing.assert_allclose(above.member_sd, np.hypot(0.05, REACTION_ENERGY_SD))
    below = (drawn + REACTION_ENERGY_SD * rng.standard_normal(drawn.shape) - hull <= 0.05).mean(axis=(0, 1))
    np.testing.assert_allclose(found.p_within_50_mev(), below, atol=0.05)


def test_limiting_cases(store: HullStore) -> None:
    names = ["Li3YCl6", "Li3YCl6", "Li3InCl6"]
    hull = store.hull_energy(read(*names))
    known = store.known_energy(read("Li3InCl6"))[0]
    window = store.window(read(*names), ["Li"] * 3)
    # Far above the hull: the window on the hull, whatever the energy. An entry of the table: its own energy.
    found = stability(read(*names), energy([[hull[0] + 1, hull[0] + 1, 5.0]], 0.05), store, calibration=PLAIN)
    np.testing.assert_allclose(found.reduction_v.mean(), window[0], atol=1e-6)
    np.testing.assert_allclose(found.oxidation_v.mean(), window[1], atol=1e-6)
    assert [HULL_BASES[b] for b in found.basis] == ["predicted", "predicted", "known"]
    assert found.known.tolist() == [False, False, True]
    np.testing.assert_allclose(found.e_above_hull.mean()[2], known - hull[2])
    # Li3InCl6 -> InCl3 + 3/2 Cl2 + 3 Li: 10 atoms and 3 ions.
    assert found.oxidation_v.sd()[2] == pytest.approx(REACTION_ENERGY_SD * 10 / 3, rel=1e-3)
    # Far below the hull the window is wide, by the slopes of the tangents.
    stable = stability(read("Li3YCl6"), energy([[hull[0] - 0.3]], 1e-3), store, calibration=PLAIN)
    lower = store.window(read("Li3YCl6"), ["Li"], hull[:1] - 0.3)
    assert stable.reduction_v.mean()[0] == pytest.approx(lower[0][0], abs=5e-3)
    assert stable.oxidation_v.mean()[0] == pytest.approx(lower[1][0], abs=5e-3)


def test_calibration_moves_predicted_phases_only(store: HullStore) -> None:
    names = read("Li3YCl6", "Li3InCl6")
    hull = store.hull_energy(names)
    given = energy([hull, hull + 0.04], 0.05)
    plain = stability(names, given, store, calibration=PLAIN)
    moved = stability(names, given, store, calibration=StabilityCalibration(0.02, 2.0, (0.1, 0.2)))
    np.testing.assert_allclose(moved.e_above_hull.mean() - plain.e_above_hull.mean(), [0.02, 0.0], atol=1e-9)
    own = np.sqrt(moved.e_above_hull.sd() ** 2 - REACTION_ENERGY_SD**2)
    np.testing.assert_allclose(own, [2 * np.hypot(0.05, 0.02), 0.0], atol=1e-6)
    assert moved.oxidation_v.sd()[0] > 0.2
    assert moved.oxidation_v.sd()[1] == plain.oxidation_v.sd()[1]
    # No share of the depth: the window on the hull, however stable the prediction.
    shallow = stability(names, given, store, calibration=StabilityCalibration(0.0, 1.0, (0.0, 0.0), 0.0))
    assert shallow.oxidation_v.mean()[0] == pytest.approx(store.window(names, ["Li", "Li"])[1][0])
    written = StabilityCalibration(0.01, 2.0, (0.1, 0.2), 0.3)
    assert StabilityCalibration.from_json(written.to_json()) == written
    shipped = shipped_calibration()
    assert 0.3 < shipped.scale < 3
    assert abs(shipped.shift_ev_atom) < 0.2


def test_rows_without_a_hull_and_repeated_rows(store: HullStore) -> None:
    names = read("LiHeCl", "Li3YCl6", "AlCl3", "Li3YCl6")
    seen: list[int] = []
    found = stability(names, energy(np.full((2, 4), -2.3), 0.05), store, seen.append, PLAIN)
    assert sum(seen) == 3
    assert found.reason.tolist() == [
        "no compound of He in the table formation_energy",
        "",
        "the mobile ion is Li or Na, not ''",
        "",
    ]
    assert np.isnan(found.oxidation_v.mean()).tolist() == [True, False, True, False]
    assert np.isnan(found.e_above_hull.mean()).tolist() == [True, False, False, False]
    assert found.oxidation_v.mean()[1] == found.oxidation_v.mean()[3]
    assert found.decomposition[[0, 1, 3]].tolist() == ["", "LiCl + YCl3", "LiCl + YCl3"]
    unnamed = stability(names, energy(np.full((2, 4), -2.3), 0.05), store, calibration=PLAIN, named=False)
    assert set(unnamed.oxidation_products) == {""}


def test_an_unexplored_system_knows_its_subsystems_alone(store: HullStore) -> None:
    numbers = (3, 17, 49)
    system = store.systems.subsystems_only(numbers)
    names = [store.systems.formula(row) for row in system.rows.tolist()]
    assert "InCl3" in names
    assert "Li3InCl6" not in names
    assert len(system.rows) < len(store.systems.system(numbers).rows)
    networks_window = PropertyPrediction(np.array([[np.nan, 1.0]]), np.array([[np.nan, 0.1]]))
    filled = networks_window.where_known(PropertyPrediction(np.array([[2.0, 3.0]]), np.array([[0.2, 0.3]])))
    assert filled.member_mean.tolist() == [[2.0, 1.0]]
    assert filled.member_sd.tolist() == [[0.2, 0.1]]
