import io
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.cli.output import number_text
from softlyte.datasets.columns import COLUMNS, PREDICT_COLUMNS
from softlyte.models.predictor import Predictor
from softlyte.screening.inputs import InputError, rows_from_formulas
from softlyte.screening.predict import predict, predict_rows

RUNNER = CliRunner()


@pytest.fixture
def invoke(tiny_weights: Path):
    def call(*words: str):
        return RUNNER.invoke(app, ["predict", *words, "--weights", str(tiny_weights), "--device", "cpu"])

    return call


def test_one_formula_as_a_table(invoke):
    result = invoke("LiAlCl2.5O0.75")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert "LiAlCl2.5O0.75  (Li oxychloride; [90% interval])" in result.stdout
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    assert "\x1b[" not in result.stdout
    assert any("crystal" in line and "glass" in line for line in lines)
    unwrapped = " ".join(result.stdout.split())
    for name in PREDICT_COLUMNS:
        if name in COLUMNS and name not in ("formula", "mobile_ion", "family", "phase"):
            assert COLUMNS[name].label.split()[0] in unwrapped, name
    assert "GPa" in result.stdout
    assert "eV/atom" in result.stdout


def test_csv_has_all_columns_and_a_row_for_each_phase(invoke):
    result = invoke("LiAlCl2.5O0.75", "Li3YCl6", "--format", "csv")
    assert result.exit_code == 0
    table = pd.read_csv(io.StringIO(result.stdout), keep_default_na=False, na_values=[""])
    assert tuple(table.columns) == PREDICT_COLUMNS
    assert table["formula"].tolist() == ["LiAlCl2.5O0.75"] * 2 + ["Li3YCl6"] * 2
    assert table["phase"].tolist() == ["crystal", "glass"] * 2
    assert (table["mobile_ion"] == "Li").all()


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (float("nan"), "cost_usd_l", ""),
        (None, "cost_usd_l", ""),
        ("glass", "phase", "glass"),
        (0.0, "p_all_targets", "0"),
        (1e-269, "p_all_targets", "<1e-6"),
        (2e-6, "p_all_targets", "2e-06"),
        (1e-9, "sigma_ms_cm", "1e-09"),
        (1387.2, "stack_pressure_mpa", "1,390"),
        (-999.9, "stack_pressure_mpa", "-1,000"),
        (1.07e6, "stack_pressure_mpa", "1.07e+06"),
        (22.456, "youngs_modulus_gpa", "22.5"),
    ],
)
def test_numbers_are_written_for_a_person(value, name, text):
    assert number_text(value, name) == text


def test_the_unit_of_a_potential_names_its_reference(invoke):
    assert "V vs Li/Li+" in invoke("Li3YCl6").stdout
    sodium = invoke("Na3YCl6").stdout
    assert "V vs Na/Na+" in sodium
    assert "Li/Li+" not in sodium


def test_json_and_phase(invoke):
    result = invoke("Li3YCl6", "--format", "json", "--phase", "crystal")
    (row,) = json.loads(result.stdout)
    assert (row["formula"], row["phase"], row["family"]) == ("Li3YCl6", "crystal", "chloride")
    assert row["glass_transition_k"] is None
    assert row["nearest_known"] == "Li3YCl6"
    assert row["distance_to_known"] == 0


def test_good_formulas_are_predicted_beside_bad_ones(invoke):
    result = invoke("Li3YCl5", "Li3YCl6", "AlCl3", "Li2UCl6", "Li?", "Li6Y2Cl12", "--format", "csv")
    assert result.exit_code == 2
    table = pd.read_csv(io.StringIO(result.stdout))
    assert table["formula"].unique().tolist() == ["Li3YCl6"]
    errors = result.stderr.splitlines()
    assert len(errors) == 5
    assert all(line.startswith("error: formula ") for line in errors[:4])
    assert errors[4].startswith("formula 6: 'Li6Y2Cl12': ")
    for line, word in zip(
        errors, ["charge balanced", "neither Li nor Na", "U", "cannot be read", "repeats"], strict=True
    ):
        assert word in line
    assert "Traceback" not in result.stderr


def test_file_in_and_out(invoke, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "results" / "out.csv"
    source.write_text("formula,phase\nLi3YCl6,glass\nLiAlCl3,\n=1+1,\n")
    result = invoke("--file", str(source), "--out", str(out))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "in.csv, row 3" in result.stderr
    assert pd.read_csv(out)["phase"].tolist() == ["glass"]
    rejected = pd.read_csv(out.parent / "rejected.csv")
    assert rejected["row"].tolist() == [3, 4]
    assert rejected["value"].tolist() == ["LiAlCl3", "'=1+1"]
    assert list(rejected.columns) == ["row", "value", "reason"]


def test_a_repeated_formula_is_kept_once_and_is_no_mistake(invoke, tmp_path):
    result = invoke("Li3YCl6", "Li6Y2Cl12", "--phase", "glass", "--out", str(tmp_path / "x.csv"))
    assert result.exit_code == 0, result.stderr
    assert "formula 2: 'Li6Y2Cl12': it repeats row 1" in result.stderr
    assert "error" not in result.stderr
    assert "1 rows repeated, see" in result.stderr
    assert pd.read_csv(tmp_path / "x.csv")["formula"].tolist() == ["Li3YCl6"]
    assert pd.read_csv(tmp_path / "rejected.csv")["row"].tolist() == [2]


@pytest.mark.parametrize("written", ["Glass", "GLASS", "glass"])
def test_a_phase_may_be_written_in_any_case(invoke, written):
    result = invoke("Li3YCl6", "--phase", written, "--format", "JSON")
    assert result.exit_code == 0, result.stderr
    assert [row["phase"] for row in json.loads(result.stdout)] == ["glass"]
    assert invoke("Li3YCl6", "--phase", "liquid").exit_code == 2


def test_results_are_written_over_only_when_asked(invoke, tmp_path):
    out = tmp_path / "x.csv"
    assert invoke("Li3YCl6", "AlCl3", "--out", str(out)).exit_code == 2
    first, refused = out.read_bytes(), (tmp_path / "rejected.csv").read_bytes()
    again = invoke("Na3YCl6", "--out", str(out))
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert "x.csv and" in again.stderr
    # Another name beside it would still replace the list of refused rows.
    beside = invoke("Na3YCl6", "--out", str(tmp_path / "y.csv"))
    assert beside.exit_code == 2
    assert "rejected.csv would be written over" in beside.stderr
    assert (out.read_bytes(), (tmp_path / "rejected.csv").read_bytes()) == (first, refused)
    assert invoke("Na3YCl6", "--out", str(out), "--overwrite").exit_code == 0
    assert pd.read_csv(out)["formula"].tolist() == ["Na3YCl6"] * 2
    # An empty list of refused rows is nobody's loss.
    assert invoke("Na3YCl6", "--out", str(tmp_path / "y.csv")).exit_code == 0


def test_a_long_input_shows_how_far_it_is(invoke, tmp_path, monkeypatch):
    monkeypatch.setattr("softlyte.cli.predict.LONG_INPUT", 4)
    result = invoke("Li3YCl6", "Na3YCl6", "--format", "csv")
    assert result.exit_code == 0
    assert "predict" in result.stderr
    assert "4/4" in result.stderr
    assert "4/4" not in result.stdout


def test_the_name_of_the_output_decides_its_format(invoke, tmp_path):
    result = invoke("Li3YCl6", "--out", str(tmp_path / "x.json"))
    assert result.exit_code == 0
    assert len(json.loads((tmp_path / "x.json").read_text())) == 2
    assert (tmp_path / "rejected.csv").read_text() == "row,value,reason\n"
    assert invoke("Li3YCl6", "--out", str(tmp_path / "x.csv"), "--format", "table").exit_code == 2


def test_nothing_usable_still_gives_header_and_reasons(invoke, tmp_path):
    result = invoke("AlCl3", "--out", str(tmp_path / "x.csv"))
    assert result.exit_code == 2
    assert (tmp_path / "x.csv").read_text() == ",".join(PREDICT_COLUMNS) + "\n"
    result = invoke("AlCl3")
    assert result.exit_code == 2
    assert result.stdout == ""


FILES = {
    "empty": (b"", "is empty"),
    "header only": (b"formula,phase\n", "no rows"),
    "missing column": (b"composition\nLi3YCl6\n", "no column named formula"),
    "duplicate column": (b"formula,formula\nLi3YCl6,Li3YCl6\n", "2 columns named formula"),
    "utf-16": ("formula\nLi3YCl6\n".encode("utf-16"), "UTF-16"),
    "latin-1 row": ("formula,by\nLi3YCl6,Müller\n".encode("latin-1"), "0xFC is not UTF-8"),
    "bad phase": (b"formula,phase\nLi3YCl6,liquid\n", "'liquid' is unknown"),
    "no mobile ion": (b"formula\nAlCl3\n", "neither Li nor Na"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(invoke, tmp_path, name):
    content, words = FILES[name]
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    result = invoke("--file", str(path))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "in.csv" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfformula\nLi3YCl6\n", b"formula\r\nLi3YCl6\r\n", b'name,formula\n"a,b",Li3YCl6\n'],
    ids=["bom", "crlf", "quoted"],
)
def test_good_files(invoke, tmp_path, content):
    (tmp_path / "in.csv").write_bytes(content)
    result = invoke("--file", str(tmp_path / "in.csv"), "--format", "csv", "--phase", "glass")
    assert result.exit_code == 0, result.stderr
    assert pd.read_csv(io.StringIO(result.stdout))["formula"].tolist() == ["Li3YCl6"]


def test_formulas_and_file_are_not_mixed(invoke, tmp_path):
    assert "one of them" in invoke().stderr
    assert "one of them" in invoke("Li3YCl6", "--file", str(tmp_path / "x.csv")).stderr
    assert "there is no file" in invoke("--file", str(tmp_path / "x.csv")).stderr


def test_places_targets_and_weights_that_do_not_work(invoke, tmp_path):
    assert "is a folder" in invoke("Li3YCl6", "--out", str(tmp_path)).stderr
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = invoke("Li3YCl6", "--out", str(blocked / "x.csv"))
    assert result.exit_code == 2
    assert "give a folder" in result.stderr
    result = invoke("Li3YCl6", "--targets", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def break_nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def break_truncated(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def break_foreign(folder: Path) -> None:
    (folder / "card.json").write_text('{"format": "pytorch"}')


def break_json(folder: Path) -> None:
    (folder / "card.json").write_text("{")


def break_incomplete(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["standardisation"]
    (folder / "card.json").write_text(json.dumps(card))


DAMAGES = [break_nothing, break_truncated, break_foreign, break_json, break_incomplete]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_one_sentence(tiny_weights, tmp_path, damage):
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in tiny_weights.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damage(folder)
    result = RUNNER.invoke(app, ["predict", "Li3YCl6", "--weights", str(folder)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert str(folder) in result.stderr
    assert ";" in result.stderr  # the remedy


def test_unknown_device(tiny_weights):
    result = RUNNER.invoke(app, ["predict", "Li3YCl6", "--weights", str(tiny_weights), "--device", "tpu"])
    assert result.exit_code == 2
    assert "auto, cpu or cuda" in result.stderr


def test_the_function_gives_the_same_table(invoke, tiny_weights):
    model = Predictor.load(tiny_weights, "cpu")
    frame = predict(["Li3YCl6", "Na3YCl6"], phase="glass", predictor=model)
    assert tuple(frame.columns) == PREDICT_COLUMNS
    printed = pd.read_csv(
        io.StringIO(invoke("Li3YCl6", "Na3YCl6", "--phase", "glass", "--format", "csv").stdout),
        keep_default_na=False,
        na_values=[""],
    )
    pd.testing.assert_frame_equal(frame, printed, rtol=1e-4, check_dtype=False)
    with pytest.raises(InputError, match=r"formula 2, 'Li3YCl5'.*\(and 1 more\)"):
        predict(["Li3YCl6", "Li3YCl5", "AlCl3"], predictor=model)


def test_a_row_does_not_depend_on_its_neighbours(tiny_weights):
    model = Predictor.load(tiny_weights, "cpu")
    formulas = ["Li3YCl6", "LiAlCl2.5O0.75", "Li7La3Zr2O12"]
    together = predict(formulas, predictor=model)
    for formula in formulas:
        alone = predict([formula], predictor=model)
        rows = together[together["formula"] == alone["formula"][0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, rows, rtol=1e-4)


def test_long_lists_are_predicted_in_pieces(tiny_weights, monkeypatch):
    model = Predictor.load(tiny_weights, "cpu")
    formulas = ["Li3YCl6", "NaTaCl6", "Li2ZrCl6"]
    whole = predict(formulas, predictor=model)
    monkeypatch.setattr("softlyte.screening.predict.CHUNK_ROWS", 4)
    pd.testing.assert_frame_equal(predict(formulas, predictor=model), whole, rtol=1e-4)


def test_progress_counts_rows_up_to_all_of_them(tiny_weights, monkeypatch):
    monkeypatch.setattr("softlyte.screening.predict.CHUNK_ROWS", 4)
    seen = []
    model = Predictor.load(tiny_weights, "cpu")
    rows = rows_from_formulas(["Li3YCl6", "NaTaCl6", "Li2ZrCl6"])
    predict_rows(rows, predictor=model, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)
    assert (4, 6) in seen


def test_scale_and_order_of_elements_do_not_matter(tiny_weights):
    model = Predictor.load(tiny_weights, "cpu")
    pd.testing.assert_frame_equal(
        predict(["Li3YCl6"], predictor=model), predict(["Cl12Y2Li6"], predictor=model), rtol=1e-9
    )
