import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import softlyte
from softlyte.cli.app import app
from softlyte.datasets import tables
from softlyte.datasets.tables import CheckResult, load_card, table_names

RUNNER = CliRunner()


def test_list_names_every_table_with_rows_source_licence():
    result = RUNNER.invoke(app, ["data", "list"])
    assert result.exit_code == 0
    for name in table_names():
        assert name in result.stdout
    assert f"{load_card('elastic_moduli').rows:,}" in result.stdout
    assert "CC-BY-4.0" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


@pytest.mark.parametrize("name", ["elastic_moduli", "mechanics_cited"])
def test_show_prints_card_columns_and_rows(name):
    result = RUNNER.invoke(app, ["data", "show", name, "--rows", "2"])
    assert result.exit_code == 0
    assert load_card(name).sha256 in result.stdout
    assert "formula" in result.stdout
    assert "licence" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100


def test_show_as_csv_is_the_whole_table():
    result = RUNNER.invoke(app, ["data", "show", "eutectics_cited", "--format", "csv"])
    table = pd.read_csv(io.StringIO(result.stdout))
    assert len(table) == load_card("eutectics_cited").rows
    assert list(table.columns) == list(load_card("eutectics_cited").columns)


def test_unknown_table_is_one_sentence_with_the_known_ones():
    for words in (["show", "nope"], ["check", "nope"], ["build", "nope", "--out", "x"]):
        result = RUNNER.invoke(app, ["data", *words])
        assert result.exit_code == 2
        assert "no table 'nope'" in result.stderr
        assert "elastic_moduli" in result.stderr


def test_check_passes_on_the_shipped_tables():
    result = RUNNER.invoke(app, ["data", "check", "eutectics_cited", "windows_cited"])
    assert result.exit_code == 0
    assert result.stdout.count(" ok") == 2


def test_check_fails_with_exit_code_1_and_the_problem(monkeypatch):
    failed = [CheckResult("a", True), CheckResult("b", False, ("b.csv: the checksum differs",))]
    monkeypatch.setattr(tables, "check_tables", lambda names=None: failed)
    result = RUNNER.invoke(app, ["data", "check"])
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "b: b.csv: the checksum differs" in result.stderr


def test_a_curated_table_cannot_be_built(tmp_path):
    result = RUNNER.invoke(app, ["data", "build", "mechanics_cited", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "curated" in result.stderr


def test_version():
    result = RUNNER.invoke(app, ["version"])
    assert result.exit_code == 0
    assert softlyte.__version__ in result.stdout
    assert "torch" in result.stdout
    assert RUNNER.invoke(app, ["--version"]).stdout.strip() == softlyte.__version__


def test_train_names_a_bad_configuration(tmp_path):
    result = RUNNER.invoke(app, ["train", str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "none.toml" in result.stderr
    (tmp_path / "bad.toml").write_text("[network]\nwidth = 'wide'\n")
    result = RUNNER.invoke(app, ["train", str(tmp_path / "bad.toml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "width" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy():
    heavy = ("torch", "pandas", "numpy", "pymatgen", "scipy", "pydantic")
    code = f"import sys; from softlyte.cli.app import app; print([m for m in {heavy} if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_console_script_and_exit_codes():
    script = Path(sys.executable).parent / "softlyte"
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for verb in ("predict", "screen", "train", "data", "version"):
        assert verb in done.stdout
    assert "\x1b[" not in done.stdout
    done = subprocess.run([script, "data", "show", "nope"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no table 'nope'")
    assert subprocess.run([script, "nonsense"], capture_output=True, check=False).returncode == 2


def test_unexpected_errors_keep_their_traceback_and_interruptions_end_with_130():
    code = (
        "import sys, softlyte.datasets.tables as t\n"
        "def names():\n"
        "    raise {}\n"
        "t.table_names = names\n"
        "from softlyte.cli import main\n"
        "sys.argv[1:] = ['data', 'list']\n"
        "main()\n"
    )
    broken = python(code.format("ZeroDivisionError('surprise')"))
    assert broken.returncode == 1
    assert "Traceback" in broken.stderr
    assert "surprise" in broken.stderr
    assert python(code.format("KeyboardInterrupt")).returncode == 130
