"""Hulls on disk: the same answers, whatever happens to the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softlyte.datasets.formulas import Compositions
from softlyte.featurize import hull_cache
from softlyte.featurize.hull_cache import CACHE_VARIABLE, HullCache, cache_folder
from softlyte.featurize.hull_systems import HullSystems, entries_checksum
from softlyte.featurize.phase_diagram import HullStore

FORMULAS = ["LiCl", "YCl3", "Li3YCl6", "Y2Cl3", "LiY", "NaCl", "AlCl3", "LiAlCl4", "Al2O3", "Li2O"]
ENERGIES = np.array([-2.1, -2.5, -2.35, -2.0, -0.1, -2.1, -1.8, -2.0, -3.3, -2.0])
ASKED = ["Li3YCl6", "Li2YCl5", "LiAlCl2.5O0.75", "LiAlCl4", "LiCl"]


def entries() -> Compositions:
    return Compositions.from_formulas(FORMULAS)


def store(folder: Path) -> HullStore:
    checksum = entries_checksum(entries(), ENERGIES)
    return HullStore(entries(), ENERGIES, cache=HullCache(checksum, folder))


def answers(hulls: HullStore) -> np.ndarray:
    found = hulls.evaluate(Compositions.from_formulas(ASKED), ["Li"] * len(ASKED))
    return np.stack([found.hull_energy_ev_atom, found.reduction_v, found.oxidation_v])


def test_a_second_store_reads_what_the_first_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answers(store(tmp_path))
    np.testing.assert_allclose(first, answers(HullStore(entries(), ENERGIES)))
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 1

    def refuse(*args: object) -> None:
        raise AssertionError("a hull was built that lies on disk")

    monkeypatch.setattr(HullSystems, "_members", refuse)
    again = store(tmp_path)
    assert again.systems.cache is not None
    assert len(again.systems.cache) == 4
    np.testing.assert_array_equal(answers(again), first)


def test_another_collection_does_not_read_these_hulls(tmp_path: Path) -> None:
    answers(store(tmp_path))
    changed = ENERGIES + 0.01
    other = HullCache(entries_checksum(entries(), changed), tmp_path)
    assert len(other) == 0
    assert entries_checksum(entries(), ENERGIES) != entries_checksum(entries()[::-1], ENERGIES[::-1])


def test_damaged_and_foreign_files_are_as_good_as_none(tmp_path: Path) -> None:
    first = answers(store(tmp_path))
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    (file.parent / "notes.safetensors").write_text("not a hull")
    np.testing.assert_allclose(answers(store(tmp_path)), first)


def test_a_file_that_vanishes_is_built_again(tmp_path: Path) -> None:
    first = answers(store(tmp_path))
    reader = store(tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    np.testing.assert_allclose(answers(reader), first)


def test_small_files_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hull_cache, "_MAX_FILES", 2)
    for formula in ASKED:
        store(tmp_path).hull_energy(Compositions.from_formulas([formula]))
    assert len(list(tmp_path.rglob("*.safetensors"))) <= 2
    assert len(HullCache(entries_checksum(entries(), ENERGIES), tmp_path)) == 4


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    np.testing.assert_allclose(answers(store(blocked)), answers(HullStore(entries(), ENERGIES)))


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv(CACHE_VARIABLE, " ")
    assert cache_folder() is None
    assert HullCache("0").folder is None
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "softlyte"
