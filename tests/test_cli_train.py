"""`softlyte train` and `softlyte tune` at the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app

TINY = """
[network]
width = 8
layers = 1
heads = 2
[training]
batch_size = 64
[[training.stages]]
name = "joint"
epochs = 2
learning_rate = 1e-2
[data]
tables = ["mechanics_cited", "conductivity_cited"]
[tune]
trials = 2
targets = ["sigma_s_cm"]
[tune.space]
network.dropout = { low = 0.0, high = 0.3 }
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_tune_prints_the_front_and_where_it_lies(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["tune", str(config), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "calibration error" in result.stdout
    assert "trial_000" in result.stdout
    assert "network.dropout = " in result.stderr
    assert "2 complete; configurations in" in result.stderr
    assert (out / "plots" / "pareto.html").is_file()


def test_train_names_what_the_tables_do_not_hold(config: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["train", str(config), "--out", str(tmp_path / "out"), "--device", "cpu"]
    )
    assert result.exit_code == 2
    assert "no training rows for formation_energy_ev_atom" in " ".join(result.stderr.split())


@pytest.mark.parametrize("verb", ["train", "tune"])
def test_a_missing_file_is_named(verb: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [verb, str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["train", "tune"])
def test_an_unknown_device_is_named(verb: str, config: Path, tmp_path: Path) -> None:
    arguments = [verb, str(config), "--out", str(tmp_path / "out"), "--device", "tpu"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "choose auto, cpu or cuda" in result.stderr
