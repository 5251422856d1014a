"""Own candidates from Parquet files and structures: the same as from CSV, failures listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from softlyte.models.predictor import Predictor
from softlyte.screening import candidate_files, csv_rows
from softlyte.screening.candidate_files import checksum, read_candidates
from softlyte.screening.funnel import screen
from softlyte.screening.inputs import InputError, check_batches, check_rows

KNOWN = np.ones(104, dtype=bool)


def rock_salt(cation: str, anion: str) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.13), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    frame = pd.DataFrame({" Formula ": ["Li3YCl6", " LiAlCl4 ", None], "phase": ["crystal", None, "glass"]})
    frame.to_parquet(tmp_path / "mine.parquet")
    (rows,) = read_candidates(tmp_path / "mine.parquet").batches
    assert rows.formula == ["Li3YCl6", "LiAlCl4", ""]
    assert rows.phase == ["crystal", "", "glass"]
    assert rows.row == [1, 2, 3]
    inputs = check_rows(rows, KNOWN)
    assert inputs.row.tolist() == [1, 2, 2]
    assert [(row.row, "empty" in row.reason) for row in inputs.rejected] == [(3, True)]


ROWS = pd.DataFrame(
    {
        "formula": ["Li3YCl6", "LiX", "LiAlCl4", "Li6Y2Cl12", "Li3InCl6", "AlCl3", "Li3YCl6"],
        "phase": ["crystal", "", "", "glass", "liquid", "", ""],
        "mp_id": ["mp-1", "", "", "", "", "", "mp-7"],
    }
)


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_batches_give_what_the_whole_gives(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    ROWS.to_csv(path, index=False) if name.endswith("csv") else ROWS.to_parquet(path)
    whole = check_batches(read_candidates(path).batches, KNOWN)
    first = 2 if name.endswith("csv") else 1
    assert whole.compositions.formulas() == ["Li3YCl6", "LiAlCl4", "LiAlCl4", "Li3YCl6"]
    assert (whole.row - first).tolist() == [0, 2, 2, 3]
    assert whole.mp_id == ("mp-1", "", "", "")
    assert [(row.row - first, row.repeats) for row in whole.rejected] == [(1, 0), (4, 0), (5, 0), (6, first)]
    for module in (candidate_files, csv_rows):
        monkeypatch.setattr(module, "BATCH_ROWS", 2)
    reading, shown = read_candidates(path), list[int]()
    parts = check_batches(reading.batches, KNOWN, progress=shown.append)
    assert shown == [2, 2, 2, 1]
    assert reading.most == len(ROWS)
    assert parts.compositions.formulas() == whole.compositions.formulas()
    assert (parts.row.tolist(), parts.phase.tolist()) == (whole.row.tolist(), whole.phase.tolist())
    assert (parts.rejected, parts.mp_id) == (whole.rejected, whole.mp_id)


def test_a_table_is_read_when_its_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "BATCH_ROWS", 1)
    (tmp_path / "mine.csv").write_text('formula\nLi3YCl6\n"LiAlCl4\n')
    batches = read_candidates(tmp_path / "mine.csv").batches
    assert next(batches).formula == ["Li3YCl6"]
    with pytest.raises(InputError, match="check the quotes"):
        next(batches)


def test_parquet_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_candidates(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("formula\nLi3YCl6\n")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_candidates(tmp_path / "text.parquet")
    pd.DataFrame({"compound": ["LiCl"]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"no column named formula \(it has compound\)"):
        read_candidates(tmp_path / "other.parquet")
    pd.DataFrame({"formula": pd.Series([], dtype=str)}).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="holds no rows"):
        read_candidates(tmp_path / "empty.parquet")


def test_a_folder_of_structures_gives_crystals_and_lists_failures(tmp_path: Path, tiny_weights: Path) -> None:
    folder = tmp_path / "structures"
    (folder / "deeper").mkdir(parents=True)
    rock_salt("Li", "Cl").to(str(folder / "a.cif"))
    rock_salt("Na", "Cl").to(str(folder / "POSCAR_b"), fmt="poscar")
    rock_salt("Na", "Br").to(str(folder / "deeper" / "c.json"))
    rock_salt("Mg", "O").to(str(folder / "d.cif"))
    (folder / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    (folder / "notes.txt").write_text("mine")
    (folder / ".hidden").write_text("")
    result = screen(
        candidates=folder, out=tmp_path / "out", predictor=Predictor.load(tiny_weights, "cpu"), report=False
    )
    found = {(row.formula, row.phase) for row in result.candidates.itertuples()}
    assert found == {("LiCl", "crystal"), ("NaCl", "crystal"), ("NaBr", "crystal")}
    rejected = pd.read_csv(tmp_path / "out" / "rejected.csv").set_index("value")["reason"]
    assert set(rejected.index) == {"broken.cif", "notes.txt", "d.cif (MgO)"}
    assert "tells no format" in rejected["notes.txt"]
    assert "neither Li nor Na" in rejected["d.cif (MgO)"]
    (single,) = read_candidates(folder / "a.cif").batches
    assert (single.formula, single.phase) == (["LiCl"], ["crystal"])


def test_an_empty_folder_is_named_and_a_changed_one_tells(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no files"):
        read_candidates(tmp_path)
    rock_salt("Li", "Cl").to(str(tmp_path / "a.cif"))
    before = checksum(tmp_path)
    assert before == checksum(tmp_path)
    (tmp_path / "a.cif").rename(tmp_path / "b.cif")
    assert before != checksum(tmp_path)
