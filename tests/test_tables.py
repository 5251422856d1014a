"""The vendored tables: cards, loading, checking, and facts that a wrong build would break."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from softlyte.datasets import tables
from softlyte.datasets.cards import CardError, read_card
from softlyte.datasets.enthalpies import load_experimental_enthalpies
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.schemas import schema_problems
from softlyte.datasets.tables import (
    TableError,
    check_tables,
    load_card,
    load_table,
    table_checksum,
    table_names,
    table_path,
    unfit_rows,
)
from softlyte.datasets.writing import BuiltTable, content_checksum, csv_text, seal_card, write_table

FOUNDATION = {
    "conductivity_cited",
    "conductivity_obelix",
    "crystal_parents",
    "crystal_volume",
    "decomposition_energy",
    "elastic_moduli",
    "eutectics_cited",
    "formation_energy",
    "glass_properties",
    "glass_transition_cited",
    "mechanics_cited",
    "melting_cited",
    "pressure_cited",
    "prices_cited",
    "windows_cited",
}


def test_all_foundation_tables_are_there() -> None:
    assert set(table_names()) >= FOUNDATION


@pytest.mark.parametrize("name", table_names())
def test_table_agrees_with_its_card(name: str) -> None:
    (result,) = check_tables((name,))
    assert result.ok, "\n".join(result.problems)
    assert table_checksum(name) == load_card(name).sha256
    assert table_path(name).stat().st_size < 4_500_000


@pytest.mark.parametrize("name", sorted(FOUNDATION))
def test_formulas_are_in_normal_form(name: str) -> None:
    formulas = load_table(name)["formula"]
    written = formulas[formulas != ""].drop_duplicates().iloc[:4000]
    assert Compositions.from_formulas(written).formulas() == list(written)


@pytest.mark.parametrize("name", [n for n in table_names() if n.endswith("_cited")])
def test_every_cited_row_names_its_source(name: str) -> None:
    frame = load_table(name)
    source = "source_title" if "source_title" in frame else "source"
    assert (frame[source].str.len() > 5).all()


def test_elastic_moduli_keep_matbench_rows() -> None:
    frame = load_table("elastic_moduli")
    assert len(frame) == 10_987
    assert list(frame["matbench_row"]) == list(range(10_987))
    k, g = 10 ** frame["log10_bulk_modulus_gpa"], 10 ** frame["log10_shear_modulus_gpa"]
    poisson = (3 * k - 2 * g) / (2 * (3 * k + g))
    assert poisson[frame["flag"] == ""].between(-0.2, 0.48).all()


def test_sodium_nitride_is_not_a_missing_value() -> None:
    frame = load_table("formation_energy")
    assert (frame["formula"] == "NaN").sum() == 1
    assert not frame["formula"].isna().any()


@pytest.mark.parametrize(
    ("formula", "energy"), [("LiCl", -2.1276), ("NaCl", -2.1049), ("Li3InCl6", -1.8619), ("O", 0.0)]
)
def test_formation_energy_of_known_compounds(formula: str, energy: float) -> None:
    frame = load_table("formation_energy").set_index("formula")["formation_energy_ev_atom"]
    assert frame[formula] == pytest.approx(energy, abs=1e-4)


def test_decomposition_is_never_below_formation_without_a_flag() -> None:
    frame = load_table("decomposition_energy", drop_flagged=True)
    assert (frame["decomposition_energy_ev_atom"] >= frame["formation_energy_ev_atom"] - 5e-4).all()


def test_obelix_split_censoring_and_contested_value() -> None:
    frame = load_table("conductivity_obelix")
    assert len(frame) == 599
    assert frame["split"].value_counts().to_dict() == {"train": 478, "test": 121}
    censored = frame[frame["censored"]]
    assert len(censored) == 37
    assert set(censored["log10_sigma_s_cm"]) == {-10.0, -8.0}
    (contested,) = frame[frame["flag"].str.contains("contested")].to_dict("records")
    assert (contested["formula"], contested["split"]) == ("Li3ClO", "test")


@pytest.mark.parametrize(
    ("formula", "density"), [("Li3InCl6", 2.59), ("LiAlCl4", 1.98), ("Li7La3Zr2O12", 5.1)]
)
def test_obelix_density_is_the_crystals(formula: str, density: float) -> None:
    frame = load_table("conductivity_obelix").set_index("formula")["density_g_cm3"]
    assert np.median(np.atleast_1d(frame[formula])) == pytest.approx(density, rel=0.05)


@pytest.mark.parametrize(
    ("formula", "density"), [("LiF", 2.64), ("NaCl", 2.16), ("LiAlCl4", 1.98), ("TaCl5", 3.68)]
)
def test_crystal_density_is_near_experiment(formula: str, density: float) -> None:
    frame = load_table("crystal_volume").set_index("formula")["density_g_cm3"]
    assert frame[formula] == pytest.approx(density, rel=0.08)


def test_glass_conductivity_rises_with_temperature() -> None:
    frame = load_table("glass_properties")
    for cold, hot in (("20c", "100c"), ("100c", "150c"), ("150c", "300c")):
        both = frame[[f"log10_sigma_s_cm_{cold}", f"log10_sigma_s_cm_{hot}"]].dropna()
        assert len(both) > 1000
        assert (both.iloc[:, 1] > both.iloc[:, 0] - 0.3).mean() > 0.999


def test_glass_bulk_modulus_follows_from_the_other_constants() -> None:
    frame = load_table("glass_properties").dropna(subset=["bulk_modulus_gpa", "shear_modulus_gpa"])
    k, g = frame["bulk_modulus_gpa"], frame["shear_modulus_gpa"]
    assert (9 * k * g / (3 * k + g)).to_numpy() == pytest.approx(
        frame["youngs_modulus_gpa"].to_numpy(), rel=2e-2
    )


def test_glass_formulas_sum_to_one_and_temperatures_are_kelvin() -> None:
    frame = load_table("glass_properties").iloc[::50]
    total = Compositions.from_formulas(frame["formula"]).amounts.sum(axis=1)
    # Whole amounts (SiO2 as Si0.3333O0.6667 stays fractional) would be reduced and sum to more than 1.
    fractional = frame["formula"].str.contains("0.", regex=False).to_numpy()
    assert total[fractional] == pytest.approx(1.0, abs=2e-3)
    assert load_table("glass_properties")["glass_transition_k"].median() > 600


def test_what_was_taken_out_of_a_glass_is_empty_and_named() -> None:
    frame = load_table("glass_properties")
    named = frame["flag"].str.contains("density_g_cm3:", regex=False)
    assert named.sum() > 100
    assert frame.loc[named, "density_g_cm3"].isna().all()
    assert not unfit_rows(frame["flag"]).any()


def test_cited_conductivity_agrees_with_its_logarithm_and_keeps_contested_rows_out() -> None:
    frame = load_table("conductivity_cited")
    assert np.log10(frame["sigma_ms_cm"] / 1000).to_numpy() == pytest.approx(
        frame["log10_sigma_s_cm"].to_numpy(), abs=1e-4
    )
    (contested,) = frame[(frame["formula"] == "Li3ClO") & (frame["sigma_ms_cm"] > 10)].to_dict("records")
    assert not contested["train"]
    assert (frame["train"] == (frame["flag"] == "")).all()
    assert set(frame.loc[frame["formula"] == "LiAlCl2.5O0.75", "phase"]) == {"glass"}


def test_quoted_obelix_rows_exist_there() -> None:
    quoted = load_table("conductivity_cited").query("obelix_id != ''").set_index("obelix_id")
    original = load_table("conductivity_obelix").set_index("id")
    assert len(quoted) == 18
    there = original.loc[quoted.index]
    assert there["log10_sigma_s_cm"].to_numpy() == pytest.approx(
        quoted["log10_sigma_s_cm"].to_numpy(), abs=0.01
    )


def test_handbook_only_melting_points_are_not_shipped() -> None:
    frame = load_table("melting_cited")
    assert not frame["source"].str.contains("CRC").any()
    assert frame["formula_as_written"].is_unique


def test_experimental_enthalpies() -> None:
    frame = load_experimental_enthalpies().set_index("formula")
    assert len(frame) > 2000
    assert frame.index.is_unique
    assert frame.loc["NaCl", "formation_enthalpy_ev_per_formula"] == pytest.approx(-4.26, abs=0.01)
    # 408.6 kJ/mol (LiCl, NIST-JANAF) over 96.485 kJ/mol/eV and two atoms.
    assert frame.loc["LiCl", "formation_enthalpy_ev_atom"] == pytest.approx(-408.6 / 96.485 / 2, abs=0.005)
    assert frame["uncertainty_ev_atom"].dropna().between(0, 0.3).all()


def test_the_guide_states_the_rows_and_flags_of_each_table() -> None:
    guide = (Path(__file__).resolve().parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for name in sorted(FOUNDATION):
        card = load_card(name)
        assert f"| `{name}` | {card.rows:,} | {card.flagged_rows:,} |" in guide


# --- mistakes -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one small table whose files may be damaged."""
    source = tables.tables_folder()
    for name in ("eutectics_cited.csv", "eutectics_cited.yaml"):
        shutil.copy(source / name, tmp_path / name)
    monkeypatch.setattr(tables, "tables_folder", lambda: tmp_path)
    load_card.cache_clear()
    yield tmp_path
    load_card.cache_clear()


def test_unknown_table_lists_the_known_ones() -> None:
    with pytest.raises(TableError, match="no table 'elastic'; the tables are conductivity_cited"):
        load_table("elastic")


def test_missing_file_says_how_to_get_it(folder: Path) -> None:
    (folder / "eutectics_cited.csv").unlink()
    with pytest.raises(TableError, match=r"is missing .* `softlyte data build eutectics_cited`"):
        load_table("eutectics_cited")


def test_changed_value_is_noticed(folder: Path) -> None:
    path = folder / "eutectics_cited.csv"
    path.write_text(path.read_text().replace("383.0", "384.0"))
    with pytest.raises(TableError, match="does not have the checksum of its card"):
        load_table("eutectics_cited")
    (result,) = check_tables(("eutectics_cited",))
    assert not result.ok
    assert "the checksum differs" in result.problems[0]


def test_truncated_gzip_is_noticed(folder: Path) -> None:
    path = folder / "eutectics_cited.csv"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / "eutectics_cited.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TableError, match=r"eutectics_cited\.csv\.gz cannot be read"):
        load_table("eutectics_cited")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("licence", None, "at licence"),
        ("sha256", "abc", "at sha256"),
        ("rows", 0, "at rows"),
        ("surprise", 1, "at surprise"),
        ("origin", "artifact", "artifact must be given"),
        ("name", "other", "calls itself 'other'"),
        ("flags", {}, "has a flag column exactly where"),
    ],
)
def test_broken_card_names_the_field(folder: Path, field: str, value: object, message: str) -> None:
    path = folder / "eutectics_cited.yaml"
    fields = yaml.safe_load(path.read_text())
    fields[field] = value
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(CardError, match=message):
        read_card(path)
    assert not check_tables(("eutectics_cited",))[0].ok


def test_card_must_use_the_vocabularys_unit(folder: Path) -> None:
    path = folder / "eutectics_cited.yaml"
    fields = yaml.safe_load(path.read_text())
    fields["columns"]["density_g_cm3"] = {"meaning": "Mass density.", "unit": "kg/m3"}
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(CardError, match="has the unit 'kg/m3', the vocabulary says 'g/cm3'"):
        read_card(path)


def test_schema_reports_each_kind_of_bad_row() -> None:
    card = load_card("eutectics_cited")
    good = load_table("eutectics_cited")
    assert schema_problems(good, card) == []
    hot = good.assign(eutectic_k=good["eutectic_k"].where(good.index != 2, 9000.0))
    assert any("eutectic_k: outside" in p and "first row 2" in p for p in schema_problems(hot, card))
    flagged = hot.assign(flag=np.where(good.index == 2, "composition_not_stated", good["flag"]))
    assert schema_problems(flagged, card) == []
    unknown = good.assign(flag="because")
    assert any("does not explain" in p for p in schema_problems(unknown, card))
    empty = good.assign(system="")
    assert any("must not be empty" in p for p in schema_problems(empty, card))


def test_flag_on_one_value_leaves_the_row_fit() -> None:
    flags = pd.Series(["", "odd", "density:odd=1.2", "density:odd=1.2;odd", "a:odd=1;b:odd=2"])
    assert list(unfit_rows(flags)) == [False, True, False, True, False]


def test_drop_flagged_drops_rows_only() -> None:
    everything = load_table("conductivity_obelix")
    fit = load_table("conductivity_obelix", drop_flagged=True)
    assert len(fit) == len(everything) - unfit_rows(everything["flag"]).sum()
    assert fit["flag"].str.contains("cell_contents_misfit").any()


# --- writing --------------------------------------------------------------------------------------------


def test_csv_text_is_fixed() -> None:
    frame = pd.DataFrame({"formula": ["NaN", "LiCl"], "x": [-1e-9, np.nan], "n": [3, 4], "ok": [True, False]})
    assert csv_text(frame, {"x": 4}) == "formula,x,n,ok\nNaN,0.0000,3,True\nLiCl,,4,False\n"


def test_csv_text_refuses_free_float_formats_and_missing_text() -> None:
    with pytest.raises(ValueError, match="'x' needs a number of decimals"):
        csv_text(pd.DataFrame({"x": [1.0]}), {})
    with pytest.raises(ValueError, match="'formula' has missing values"):
        csv_text(pd.DataFrame({"formula": ["LiCl", None]}), {})


def test_gzipped_table_has_no_time_stamp_and_leaves_no_scraps(tmp_path: Path) -> None:
    table = BuiltTable(pd.DataFrame({"formula": ["LiCl"], "x": [1.5]}), {"x": 2})
    first = write_table(table, tmp_path / "a.csv.gz")
    second = write_table(table, tmp_path / "b.csv.gz")
    assert first.read_bytes() == second.read_bytes()
    assert content_checksum(first) == content_checksum(write_table(table, tmp_path / "c.csv"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv.gz", "b.csv.gz", "c.csv"]


def test_seal_card_makes_a_changed_table_valid_again(folder: Path) -> None:
    path, card = folder / "eutectics_cited.csv", folder / "eutectics_cited.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert not check_tables(("eutectics_cited",))[0].ok
    seal_card(card, path)
    load_card.cache_clear()
    assert check_tables(("eutectics_cited",))[0].ok
    assert load_card("eutectics_cited").rows == len(lines) - 2
