"""Own and Materials Project entries, corrections: what they change, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ConstantEnergyAdjustment,
)

from softlyte.datasets.enthalpies import load_experimental_enthalpies
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.corrections import (
    CHLORIDE_VALENCE_EV,
    OXIDE_CORRECTION_EV,
    CorrectionError,
    chloride_valence_correction,
    correction,
    oxidised_halogen_correction,
)
from softlyte.featurize.entries import EntriesError, entries_from_total_energies, read_entries
from softlyte.featurize.functionals import FunctionalError, functional_of
from softlyte.featurize.phase_diagram import HullStore


def read(*formulas: str) -> Compositions:
    return Compositions.from_formulas(formulas)


@pytest.fixture(scope="module")
def store() -> HullStore:
    return HullStore.from_table()


def csv(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["formula,formation_energy_ev_atom,functional,remark", *rows]) + "\n")
    return path


def test_own_phases_join_the_hull(tmp_path: Path, store: HullStore) -> None:
    hull = float(store.hull_energy(read("Li3YCl6"))[0])
    path = csv(tmp_path, f"Li3YCl6,{hull - 0.02},GGA,mine", "LiCl,-1.0,PBE,higher than the table's")
    extended = read_entries(path).added_to(store)
    assert len(extended) == len(store) + 1
    result = extended.evaluate(read("Li3YCl6", "LiCl", "Li9YCl12"), ["Li"] * 3)
    np.testing.assert_allclose(result.e_above_hull_ev_atom[0], -0.02, atol=1e-9)
    assert result.known_energy_ev_atom[1] == store.known_energy(read("LiCl"))[0]
    before = store.evaluate(read("Li3YCl6"), ["Li"])
    assert result.oxidation_v[0] > before.oxidation_v[0] + 0.05
    assert extended.systems.name == "the table formation_energy and mine.csv"
    assert np.isnan(store.known_energy(read("Li3YCl6"))[0])


def test_functionals_are_not_mixed(tmp_path: Path, store: HullStore) -> None:
    both = csv(tmp_path, "LiCl,-2.1,PBE,", "YCl3,-2.5,r2SCAN,", "AlCl3,-1.8,R2SCAN,")
    with pytest.raises(FunctionalError, match=r"mixes functionals: R2SCAN \(2\), PBE \(1\)"):
        read_entries(both)
    scan = read_entries(csv(tmp_path, "LiCl,-2.1,r2SCAN,", "YCl3,-2.5,R2SCAN,"))
    with pytest.raises(FunctionalError, match="are R2SCAN energies and the collection holds PBE"):
        scan.added_to(store)
    alone = scan.store()
    assert (alone.functional, len(alone)) == ("R2SCAN", 2)
    assert alone.evaluate(read("Li3YCl6"), ["Li"]).reason.tolist() == [""]
    assert functional_of(" gga+u ") == "PBE"
    with pytest.raises(FunctionalError, match="'B3LYP' is unknown"):
        functional_of("B3LYP")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("LiCl,-2.1,,", "entry 1: no functional"),
        ("LiCl,-212 kJ/mol,PBE,", "row 2: the formation energy '-212 kJ/mol' is no number of eV/atom"),
        ("LiCl,-212,PBE,", "row 2: the formation energy '-212'"),
        ("Xx3,-1,PBE,", "mine.csv: "),
    ],
)
def test_mistakes_in_a_file_are_named(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((EntriesError, FunctionalError), match=message):
        read_entries(csv(tmp_path, row))


def test_files_that_are_no_entries(tmp_path: Path) -> None:
    with pytest.raises(EntriesError, match="there is no file"):
        read_entries(tmp_path / "none.csv")
    with pytest.raises(EntriesError, match="a header but no rows"):
        read_entries(csv(tmp_path))
    (tmp_path / "bare.csv").write_text("formula,energy\nLiCl,-2\n")
    with pytest.raises(EntriesError, match="no column formation_energy_ev_atom, functional"):
        read_entries(tmp_path / "bare.csv")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(EntriesError, match="not valid JSON"):
        read_entries(tmp_path / "bad.json")
    (tmp_path / "dict.json").write_text("{}")
    with pytest.raises(EntriesError, match="no list of entries"):
        read_entries(tmp_path / "dict.json")


def pymatgen_entries() -> list[ComputedEntry]:
    gga = {"run_type": "GGA"}
    return [
        ComputedEntry({"Li": 2}, -3.8, parameters=gga),
        ComputedEntry({"Li": 1}, -1.7, parameters=gga),
        ComputedEntry({"Cl": 2}, -3.6, parameters=gga),
        ComputedEntry(
            {"Li": 4, "Cl": 4},
            -28.0,
            parameters=gga,
            energy_adjustments=[
                ConstantEnergyAdjustment(-0.4),
                CompositionEnergyAdjustment(-0.614, 4, name="Cl"),
            ],
        ),
    ]


def test_total_energies_become_formation_energies(tmp_path: Path) -> None:
    entries = pymatgen_entries()
    path = tmp_path / "mp.json"
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    found = read_entries(path)
    expected = (entries[3].energy - 4 * -1.9 - 4 * -1.8) / 8
    assert found.energies[3] == pytest.approx(expected)
    assert found.store().known_energy(read("LiCl"))[0] == pytest.approx(expected)
    # An entry whose correction is written in parts alone means the same.
    raw = [{k: v for k, v in entry.as_dict().items() if k != "correction"} for entry in entries]
    assert entries_from_total_energies(raw, "raw").energies[3] == pytest.approx(expected)


def test_incomplete_entries_are_refused() -> None:
    raw = [entry.as_dict() for entry in pymatgen_entries()]
    with pytest.raises(EntriesError, match="no entry of the element Cl; add it"):
        entries_from_total_energies([raw[0], raw[3]], "mine")
    with pytest.raises(EntriesError, match="mine holds no entries"):
        entries_from_total_energies([], "mine")
    with pytest.raises(EntriesError, match="entry 1: no composition or no energy"):
        entries_from_total_energies([{"energy": 1.0}], "mine")
    mixed = [*raw[:3], {**raw[3], "parameters": {"run_type": "R2SCAN"}}]
    with pytest.raises(FunctionalError, match="mixes functionals"):
        entries_from_total_energies(mixed, "mine")
    odd = {**raw[3], "energy_adjustments": [{"@class": "Odd"}]}
    odd.pop("correction")
    with pytest.raises(EntriesError, match="an energy adjustment Odd that is not understood"):
        entries_from_total_energies([*raw[:3], odd], "mine")


def test_corrections_worked_by_hand() -> None:
    oxygen = OXIDE_CORRECTION_EV * np.array([4 / 6, 1 / 3, 2 / 3, 3 / 5, 0, 0, 0, 0])
    halates = read("LiClO4", "Cl2O", "ClO2", "NaClO3", "LiTaOCl4", "Li3OCl", "Al2O3", "Na4Al3Si3ClO12")
    np.testing.assert_allclose(oxidised_halogen_correction(halates), oxygen, atol=1e-12)
    chlorides = read("LiCl", "MgCl2", "YCl3", "Li3YCl6", "Y2Cl3", "TaOCl3", "LiBr", "LiClO4")
    per_unit = np.array([0, 2 * 1, 3 * 2, 3 * 2, 3 * 0.5, 3 * 4, 0, 0]) / np.array([2, 3, 4, 10, 5, 5, 2, 6])
    np.testing.assert_allclose(
        chloride_valence_correction(chlorides), CHLORIDE_VALENCE_EV * per_unit, atol=1e-12
    )
    # A mixture's correction is that of its parts: Li3YCl6 = 3 LiCl + YCl3.
    both = correction(["chloride_valence"], read("LiCl", "YCl3", "Li3YCl6")) * np.array([2, 4, 10])
    assert both[2] == pytest.approx(3 * both[0] + both[1])
    with pytest.raises(CorrectionError, match="no correction 'all'; there are oxidised_halogens"):
        correction(["all"], read("LiCl"))


def test_corrections_bring_dft_nearer_to_experiment(store: HullStore) -> None:
    measured = load_experimental_enthalpies()
    compositions = Compositions.from_formulas(measured["formula"])
    dft = store.known_energy(compositions)
    for name in ("oxidised_halogens", "chloride_valence"):
        added = correction([name], compositions)
        rows = (added != 0) & np.isfinite(dft)
        error = dft - measured["formation_enthalpy_ev_atom"].to_numpy()
        assert rows.sum() >= 7
        assert np.abs(error + added)[rows].mean() < 0.8 * np.abs(error)[rows].mean(), name


def test_a_corrected_store_corrects_what_it_is_given(store: HullStore) -> None:
    corrected = HullStore.from_table(corrections=["oxidised_halogens"])
    difference = corrected.known_energy(read("LiClO4", "LiCl")) - store.known_energy(read("LiClO4", "LiCl"))
    np.testing.assert_allclose(difference, [OXIDE_CORRECTION_EV * 4 / 6, 0], atol=1e-12)
    given = corrected.corrected(read("LiClO4", "LiCl"), np.array([[-1.0, -2.0]]))
    np.testing.assert_allclose(given - [[-1.0, -2.0]], difference[None], atol=1e-12)
    more = corrected.extended(read("NaKClO4"), np.array([-1.5]), "PBE", "mine", cached=False)
    assert more.known_energy(read("NaKClO4"))[0] > -1.5
