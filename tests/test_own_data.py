"""Own measurements: headers and units, mistakes, versions, comparison with what is known, training rows."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.own import store
from softlyte.datasets.own.comparison import repeat_scatter
from softlyte.datasets.own.measurements import MeasurementsError, read_measurements
from softlyte.datasets.own.quantities import HeaderError, understand
from softlyte.datasets.own.store import StoreError, default_folder, load_own, remove_version, versions
from softlyte.datasets.repeats import pooled_sd
from softlyte.models.config import DEFAULT_CONFIG, ConfigError, load_config
from softlyte.models.members import rows_of
from softlyte.models.own_rows import OWN, USUAL_ERROR, own_training_rows
from softlyte.models.tasks import TARGET_NAMES
from softlyte.screening.own_data import add_measurements

RUNNER = CliRunner()
GOOD = """\
formula,phase,conductivity (mS/cm),conductivity uncertainty (%),Young's modulus [MPa],temperature (K),source
Li2ZrCl6,crystalline,0.42,15,14000,298.15,book 12 p. 4
LiAlCl2.5O0.75,glass,1.4,,1600,303.15,book 12 p. 5

Li3YCl6,crystal,<0.001,,,298.15,book 12 p. 6
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / "good.csv", GOOD)


@pytest.mark.parametrize(
    ("header", "cell", "column", "expected"),
    [
        ("conductivity (mS/cm)", "1", "log10_sigma_s_cm", -3.0),
        ("ionic conductivity [S m^-1]", "0.1", "log10_sigma_s_cm", -3.0),
        ("Conductivity (mS·cm⁻¹)", "1", "log10_sigma_s_cm", -3.0),
        ("sigma_ms_cm", "1", "log10_sigma_s_cm", -3.0),
        ("log10_sigma_s_cm", "-3", "log10_sigma_s_cm", -3.0),
        ("log10 conductivity (S/cm)", "-3", "log10_sigma_s_cm", -3.0),
        ("modulus (MPa)", "1500", "youngs_modulus_gpa", 1.5),
        ("youngs_modulus_gpa", "1.5", "youngs_modulus_gpa", 1.5),
        ("hardness (kgf/mm^2)", "100", "hardness_gpa", 0.980665),
        ("oxidation limit (mV vs Li+/Li)", "4200", "oxidation_v", 4.2),
        ("stack pressure (bar)", "20", "stack_pressure_mpa", 2.0),
        ("Tg (C)", "-17", "glass_transition_k", 256.15),
        ("density (g cm-3)", "1.9", "density_g_cm3", 1.9),
        ("density (kg/m^3)", "1900", "density_g_cm3", 1.9),
    ],
)
def test_units_in_the_header_are_converted(tmp_path, header, cell, column, expected):
    file = write(tmp_path / "m.csv", f"formula,phase,{header}\nLi2ZrCl6,glass,{cell}\n")
    frame = read_measurements(file, source="book").frame
    assert frame[column].iloc[0] == pytest.approx(expected, rel=1e-6)


@given(st.floats(1e-9, 90.0), st.floats(0.1, 60.0))
@settings(max_examples=25, deadline=None)
def test_uncertainty_in_percent_and_in_the_unit_agree(tmp_path_factory, value, percent):
    folder = tmp_path_factory.mktemp("sd")
    head = "formula,phase,conductivity (mS/cm),conductivity uncertainty"
    one = write(folder / "a.csv", f"{head} (%)\nLiCl,crystal,{value!r},{percent!r}\n")
    two = write(folder / "b.csv", f"{head} (mS/cm)\nLiCl,crystal,{value!r},{value * percent / 100!r}\n")
    a, b = (read_measurements(f, source="x").frame["log10_sigma_s_cm_sd"].iloc[0] for f in (one, two))
    assert a == pytest.approx(b, rel=1e-9)
    assert a == pytest.approx(percent / 100 / np.log(10), rel=1e-9)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("conductivity", "names no unit; write it as conductivity (S/cm)"),
        ("conductivity (MPa)", "'MPa' is no unit of conductivity"),
        ("modulus (flurbs)", "'flurbs' is no unit"),
        ("conductvity (mS/cm)", "did you mean 'conductivity'"),
        ("oxidation (V vs Li-In)", "against Li-In; convert it"),
    ],
)
def test_headers_that_cannot_be_meant(header, says):
    with pytest.raises(HeaderError, match="column") as caught:
        understand(header)
    assert says in str(caught.value)


def test_a_file_is_understood_with_bounds_defaults_and_notes(tmp_path):
    text = "formula,phase,conductivity (mS/cm),thickness (mm)\nLi3YCl6,amorphous,<0.01,0.8\n"
    found = read_measurements(write(tmp_path / "m.csv", text), source="book")
    row = found.frame.iloc[0]
    assert (row["phase"], row["temperature_c"], row["censored"]) == ("glass", 25.0, True)
    assert row["note"] == "thickness (mm): 0.8"
    assert any("25 C" in remark for remark in found.remarks)
    assert any("thickness" in remark for remark in found.remarks)


MISTAKES = """\
formula,phase,conductivity (mS/cm),oxidation (V),reduction (V),temperature (C),source
Li2ZrCl6,crystal,420,,,25,b
LiXx,crystal,1,,,25,b
Li3YCl6,glas,"0,3",,,25,b
Li3YCl6,crystal,,,,25,b
Li3YCl6,crystal,-1,,,25,b
Li3YCl6,,1,,,25,b
Li3YCl6,crystal,1,2,3,25,b
Li3YCl6,crystal,1,,,25,
Li3YCl6,crystal,nan,,,9999,b
"""


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (2, "'420'; it should lie between 1e-16 and 0.1 S/cm"),
        (3, "'LiXx' cannot be read"),
        (4, "'0,3', no number; write a decimal point"),
        (4, "phase 'glas' is unknown; write crystal or glass"),
        (5, "no measured value"),
        (6, "must be above 0"),
        (7, "phase is empty"),
        (8, "reduction limit is not below the oxidation limit"),
        (9, "source is ''"),
        (10, "temperature (C) is '9999'"),
        (10, "conductivity (mS/cm) is 'nan'"),
    ],
)
def test_each_mistake_is_named_with_row_value_and_remedy(tmp_path, row, says):
    with pytest.raises(MeasurementsError) as caught:
        read_measurements(write(tmp_path / "bad.csv", MISTAKES))
    lines = str(caught.value).splitlines()
    assert any(line.startswith(f"bad.csv, row {row}: ") and says in line for line in lines), lines


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no rows"),
        ("formula,phase,modulus (GPa)\n", "holds no rows"),
        ("formula,phase\nLiCl,crystal\n", "there is no measured quantity"),
        ("phase,modulus (GPa)\ncrystal,3\n", "no column formula"),
        ("formula,phase,modulus (GPa),youngs modulus (MPa)\nLiCl,crystal,3,3\n", "mean the same"),
        ("formula,phase,modulus (GPa),density uncertainty (%)\nLiCl,crystal,3,3\n", "not there"),
        ("formula,phase,modulus (GPa)\nLiCl,crystal,3,4\n", "more cells"),
        ('formula,phase,modulus (GPa)\n"LiCl,crystal,3\n', "not valid CSV"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, says):
    with pytest.raises(MeasurementsError, match=says):
        read_measurements(write(tmp_path / "m.csv", text))


def test_versions_merge_with_provenance_and_can_be_removed(tmp_path, good):
    folder = tmp_path / "own"
    first = add_measurements(good, folder)
    assert first.version.number == 1
    more = write(tmp_path / "more.csv", "formula,phase,modulus (GPa)\nLi3YCl6,crystal,30\n")
    second = add_measurements(more, folder, source="book 13")
    assert second.version.number == 2
    everything = load_own(folder)
    assert len(everything) == 4
    assert set(load_own(folder, version=1)["version"]) == {1}
    card = versions(folder)[0].card
    assert first.measurements.sha256 in card.how_built
    assert card.rows == 3
    state = store.state_sha256(folder)
    remove_version(folder, 1)
    assert store.state_sha256(folder) != state
    assert load_own(folder)["formula"].tolist() == ["Li3YCl6"]
    third = add_measurements(good, folder)
    assert third.version.number == 3, "numbers are not used again"
    actions = [json.loads(line)["action"] for line in (folder / store.HISTORY).read_text().splitlines()]
    assert actions == ["added", "added", "removed", "added"]


def test_the_same_file_and_the_same_rows_are_not_added_twice(tmp_path, good):
    folder = tmp_path / "own"
    add_measurements(good, folder)
    with pytest.raises(StoreError, match="added as version 1"):
        add_measurements(good, folder)
    again = write(tmp_path / "again.csv", GOOD + "Li3InCl6,crystal,1,,,298.15,book 14\n")
    added = add_measurements(again, folder)
    assert set(added.comparison.repeated) == {2, 3, 5}
    assert added.version.card.rows == 1


def test_a_dry_run_writes_nothing(tmp_path, good):
    added = add_measurements(good, tmp_path / "own", dry_run=True)
    assert added.version is None
    assert len(added.new) == 3
    assert not (tmp_path / "own").exists()


def test_contradictions_are_judged_by_the_scatter_of_repeats(tmp_path):
    text = "formula,phase,conductivity (mS/cm)\nLi3InCl6,crystal,{}\n"
    far = add_measurements(write(tmp_path / "far.csv", text.format(1e-5)), tmp_path / "own", source="b")
    (match,) = far.comparison.contradictions
    assert match.quantity == "log10_sigma_s_cm"
    assert match.difference < -4
    assert any(source.startswith("conductivity_cited") for source in match.sources)
    # The same laboratory's own value counts as known afterwards.
    near = add_measurements(write(tmp_path / "near.csv", text.format(1.5)), tmp_path / "own", source="b")
    assert any("own, version 1" in s for m in near.comparison.matches for s in m.sources)
    assert not near.comparison.contradictions
    assert 0.4 < repeat_scatter("log10_sigma_s_cm") < 0.8
    assert np.isnan(repeat_scatter("oxidation_v")), "three values are no scatter"


def test_pooled_scatter_counts_a_quoted_value_once():
    group = np.array(["a", "a", "a", "b", "c", "c"])
    sd, freedom = pooled_sd(group, np.array([1.0, 1.0, 3.0, 9.0, 4.0, 6.0]))
    assert freedom == 2
    assert sd == pytest.approx(np.sqrt((2 + 2) / 2))
    assert pooled_sd(group[:2], np.array([1.0, 1.0])) == (0.0, 0)


def test_odd_formulas_are_cautioned_not_refused(tmp_path):
    file = write(tmp_path / "m.csv", "formula,phase,modulus (GPa)\nLi2ZrCl5,crystal,3\nAlCl3,crystal,4\n")
    added = add_measurements(file, tmp_path / "own", source="b")
    assert added.version is not None
    assert [row for row, _ in added.cautions] == [2, 3]


@pytest.mark.parametrize("damage", ["alter", "drop", "card", "history"])
def test_damaged_folders_are_refused_with_the_file(tmp_path, good, damage):
    folder = tmp_path / "own"
    add_measurements(good, folder)
    if damage == "alter":
        (folder / "v0001.csv").write_text("formula\n")
    elif damage == "drop":
        (folder / "v0001.csv").unlink()
    elif damage == "card":
        (folder / "v0001.yaml").write_text("name: [")
    else:
        (folder / store.HISTORY).write_text("{")
    with pytest.raises(UserError, match=r"v0001|history"):
        load_own(folder)


def test_the_package_itself_is_no_place_for_measurements(good):
    from softlyte.datasets.tables import tables_folder

    with pytest.raises(StoreError, match="inside Softlyte"):
        add_measurements(good, tables_folder() / "mine")


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTLYTE_DATA", str(tmp_path / "a"))
    assert default_folder() == tmp_path / "a"
    monkeypatch.delenv("SOFTLYTE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert default_folder() == tmp_path / "b" / "softlyte" / "measurements"


def test_training_rows_carry_phase_fidelity_and_weight(tmp_path, good):
    add_measurements(good, tmp_path / "own")
    rows = own_training_rows(tmp_path / "own")
    sigma = TARGET_NAMES.index("sigma_s_cm")
    conductive = rows.take(~np.isnan(rows.targets[:, sigma]))
    assert len(conductive) == 3
    assert [PHASES[p] for p in conductive.phase] == ["crystal", "glass", "crystal"]
    assert [FIDELITIES[f] for f in conductive.fidelity] == [
        "measured_pellet",
        "measured_glass",
        "measured_pellet",
    ]
    assert conductive.censored.tolist() == [False, False, True]
    usual, sd = USUAL_ERROR["sigma_s_cm"], 0.15 / np.log(10)
    assert conductive.weight[0] == pytest.approx(usual**2 / (usual**2 + sd**2), rel=1e-4)
    assert conductive.weight[1] == 1.0
    modulus = rows.take(~np.isnan(rows.targets[:, TARGET_NAMES.index("youngs_modulus_gpa")]))
    assert np.allclose(10 ** modulus.targets[:, TARGET_NAMES.index("youngs_modulus_gpa")], [14.0, 1.6])


def test_a_configuration_takes_own_data_in(tmp_path, good):
    folder = tmp_path / "own"
    add_measurements(good, folder)
    plain = load_config(DEFAULT_CONFIG)
    assert "own_data" not in plain.model_dump_json(), "runs without own data keep their configuration"
    config = plain.with_own_data(folder)
    drawn = {stage.name: stage.passes.get(OWN) for stage in config.training.stages}
    assert drawn == {"pretrain": None, "joint": 8.0, "refit": 8.0}
    data = config.data.model_copy(update={"tables": ("mechanics_cited", "conductivity_cited")})
    rows = rows_of(config.model_copy(update={"data": data}))
    mine = rows.source == rows.sources.index(OWN)
    assert mine.sum() == 5
    systems = pd.Series(rows.fold).groupby(
        rows.compositions.keys().tobytes().hex() and rows.compositions.formulas()
    )
    assert (systems.nunique() == 1).all(), "a composition lies in one fold, own or not"
    more = write(tmp_path / "more.csv", "formula,phase,modulus (GPa)\nLi3YCl6,crystal,30\n")
    add_measurements(more, folder, source="b")
    with pytest.raises(ConfigError, match="have changed"):
        config.with_own_data(folder)


def test_stack_pressures_alone_teach_no_network(tmp_path):
    file = write(tmp_path / "m.csv", "formula,phase,stack pressure (MPa)\nLi3YCl6,crystal,30\n")
    add_measurements(file, tmp_path / "own", source="b")
    with pytest.raises(UserError, match="stack pressures alone"):
        own_training_rows(tmp_path / "own")


def test_command_line_adds_lists_shows_and_removes(tmp_path, good):
    folder = str(tmp_path / "own")
    dry = RUNNER.invoke(app, ["data", "add", str(good), "--to", folder, "--dry-run"])
    assert dry.exit_code == 0
    assert "3 rows would be added" in dry.stderr
    added = RUNNER.invoke(app, ["data", "add", str(good), "--to", folder])
    assert added.exit_code == 0
    assert "as version 1" in added.stderr
    assert "Li2ZrCl6 crystal" in added.stdout
    assert max(len(line) for line in added.stdout.splitlines()) <= 100
    listed = RUNNER.invoke(app, ["data", "own", "list", "--to", folder])
    assert "good.csv" in listed.stdout
    shown = RUNNER.invoke(app, ["data", "own", "show", "--to", folder])
    assert shown.stdout.splitlines()[0].startswith("formula,formula_as_written,phase,temperature_c")
    removed = RUNNER.invoke(app, ["data", "own", "remove", "1", "--to", folder])
    assert removed.exit_code == 0
    empty = RUNNER.invoke(app, ["data", "own", "list", "--to", folder])
    assert empty.exit_code == 0
    assert "no measurements" in empty.stderr


def test_command_line_lists_every_mistake_and_adds_nothing(tmp_path):
    file = write(tmp_path / "bad.csv", MISTAKES)
    result = RUNNER.invoke(app, ["data", "add", str(file), "--to", str(tmp_path / "own")])
    assert result.exit_code == 2
    assert result.stderr.count("error: bad.csv, row") >= 11
    assert not (tmp_path / "own" / "v0001.csv").exists()
