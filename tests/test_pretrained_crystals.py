"""The shipped weights for structures: small, frank about their rows, right about well-known crystals."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from softlyte.featurize.crystals import Crystals
from softlyte.models.checkpoint import CARD, PRETRAINED_CRYSTALS, WEIGHTS
from softlyte.models.crystal_predictor import CrystalPredictor

ENDS = [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.fixture(scope="module")
def networks() -> CrystalPredictor:
    return CrystalPredictor.load(None, "cpu")


def rock_salt(cation: str, anion: str, edge: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [cation, anion], ENDS)


def test_weights_are_small_and_their_card_says_what_they_learned() -> None:
    assert (PRETRAINED_CRYSTALS / WEIGHTS).stat().st_size < 20e6
    card = json.loads((PRETRAINED_CRYSTALS / CARD).read_text(encoding="utf-8"))
    assert set(card["tables_sha256"]) >= {"elasticity", "formation_energy"}
    assert card["test_metrics"]["formation_energy_ev_atom"]["crystal"]["mae"] < 0.06
    assert "/" not in "".join(card["config"]["structures"]["tables"].values())


def test_well_known_salts_and_their_order(networks: CrystalPredictor) -> None:
    # Materials Project mp-1265, mp-1138, mp-22905, mp-22916: K in GPa and formation energy in eV/atom.
    salts = [
        rock_salt("Mg", "O", 4.25),
        rock_salt("Li", "F", 4.07),
        rock_salt("Li", "Cl", 5.15),
        rock_salt("Na", "Br", 6.05),
    ]
    said = networks.predict(Crystals.from_structures(salts)).properties
    bulk, energy = said["bulk_modulus_gpa"], said["formation_energy_ev_atom"]
    assert np.all(np.diff(bulk.median()) < 0)
    for found, known in (
        (bulk, [151.3, 69.3, 32.0, 19.5]),
        (energy, [-3.062, -3.180, -2.107, -1.583]),
    ):
        low, high = found.interval()
        inside = (low < known) & (known < high)
        assert inside.sum() >= 3  # 90% each
    assert energy.median() == pytest.approx([-3.062, -3.180, -2.107, -1.583], abs=0.3)


def test_polymorphs_differ(networks: CrystalPredictor) -> None:
    rock = rock_salt("Li", "Cl", 5.15)
    dense = Structure(Lattice.cubic(3.12), ["Li", "Cl"], ENDS)
    found = networks.predict(Crystals.from_structures([rock, dense])).properties
    energy = found["formation_energy_ev_atom"].median()
    assert energy[0] < energy[1] - 0.02  # the rock salt is the stable one
