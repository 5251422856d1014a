import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import CANDIDATE_COLUMNS

RUNNER = CliRunner()
SMALL = Path(__file__).parent / "spaces" / "small.toml"


@pytest.fixture
def invoke(tiny_weights: Path):
    def call(*words: object):
        return RUNNER.invoke(
            app, ["screen", *map(str, words), "--weights", str(tiny_weights), "--device", "cpu"]
        )

    return call


def test_a_small_space_from_end_to_end(invoke, tmp_path):
    result = invoke(SMALL, "--out", tmp_path, "--top", 12, "--refine", 20)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "candidates.csv", keep_default_na=False, na_values=[""])
    assert tuple(table.columns) == CANDIDATE_COLUMNS
    assert table["rank"].tolist() == list(range(1, 13))
    assert json.loads((tmp_path / "run.json").read_text())["config"]["space"]["name"] == "small"
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    for word in ("Funnel", "generate", "network", "hull", "decision", "First 10 of 12", "P(all)"):
        assert word in result.stdout
    assert f"results are in {tmp_path}" in result.stderr
    assert "\x1b[" not in result.stdout


def test_the_summary_fits_a_narrow_terminal(invoke, tmp_path, monkeypatch):
    monkeypatch.setattr("softlyte.cli.output.PIPE_WIDTH", 80)
    result = invoke(str(SMALL), "--out", str(tmp_path / "run"), "--limit", "200")
    assert result.exit_code == 0, result.stderr
    summary = result.stdout[result.stdout.index("ranked candidates") :]
    assert max(len(line) for line in summary.splitlines()) <= 80
    assert "P(all)" in summary
    assert "E/GPa" not in summary


def test_same_command_same_bytes_other_command_refused(invoke, tmp_path):
    words = (SMALL, "--out", tmp_path, "--top", 5)
    assert invoke(*words).exit_code == 0
    first = (tmp_path / "candidates.csv").read_bytes()
    assert invoke(*words).exit_code == 0
    assert (tmp_path / "candidates.csv").read_bytes() == first
    refused = invoke(SMALL, "--out", tmp_path, "--top", 6)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "candidates.csv").read_bytes() == first
    assert invoke(SMALL, "--out", tmp_path, "--top", 6, "--overwrite").exit_code == 0
    assert len(pd.read_csv(tmp_path / "candidates.csv")) == 6


def test_own_candidates(invoke, tmp_path):
    listed = tmp_path / "mine.csv"
    listed.write_bytes("\ufeffformula,phase\r\nLi3YCl6,\r\nLi3YCl5,\r\nLiTaCl6,glass\r\n".encode())
    result = invoke("--candidates", listed, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "mine.csv, row 3: 'Li3YCl5'" in result.stderr
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 3
    assert pd.read_csv(tmp_path / "out" / "rejected.csv")["row"].tolist() == [3]
    listed.write_text("formula\nLi3YCl6\n")
    assert invoke("--candidates", listed, "--out", tmp_path / "good").exit_code == 0


def test_repeated_candidates_are_no_mistake(invoke, tmp_path):
    listed = tmp_path / "mine.csv"
    listed.write_text("formula,phase\nLi3YCl6,Glass\nLi6Y2Cl12,glass\n")
    result = invoke("--candidates", listed, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "mine.csv, row 3: 'Li6Y2Cl12': it repeats row 2" in result.stderr
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 1
    assert pd.read_csv(tmp_path / "out" / "rejected.csv")["row"].tolist() == [3]


def test_own_prices_reach_the_ranking_and_belong_to_the_run(invoke, tmp_path):
    own, listed, out = tmp_path / "own.csv", tmp_path / "mine.csv", tmp_path / "out"
    own.write_text("formula,price_per_kg\nYCl3,1000\n")
    listed.write_text("formula,phase\nLi3YCl6,crystal\n")
    words = ("--candidates", listed, "--out", out, "--prices", own, "--route", "hydrate")
    words += ("--date", "2023", "--currency", "eur", "--thickness", 30, "--without", "Li2O")
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr
    row = pd.read_csv(out / "candidates.csv").iloc[0]
    assert row["cost_usd_kg"] > 400
    assert row["cost_usd_m2"] == pytest.approx(0.03 * row["cost_usd_l"], rel=1e-4)
    assert row["currency"] == "EUR"
    recorded = json.loads((out / "run.json").read_text())["config"]["costing"]
    assert recorded["route"] == "hydrate"
    assert recorded["currency"] == "EUR"
    assert recorded["thickness_um"] == 30
    assert (recorded["prices"]["own"], recorded["prices"]["date"]) == ("own.csv", "2023")
    assert recorded["prices"]["without"] == ["Li2O"]
    assert invoke(*words).exit_code == 0
    # The same file name with another price in it is another run.
    own.write_text("formula,price_per_kg\nYCl3,999\n")
    refused = invoke(*words)
    assert refused.exit_code == 2
    assert "another run's results" in refused.stderr
    assert invoke(*words[:4]).exit_code == 2
    mistake = invoke("--candidates", listed, "--out", tmp_path / "new", "--currency", "XXX")
    assert mistake.exit_code == 2
    assert "no exchange rate for 'XXX'" in mistake.stderr
    assert not (tmp_path / "new").exists()


def test_mistakes_are_one_sentence(invoke, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.toml").write_text("name = ")
    (tmp_path / "latin.csv").write_bytes("formula\nLi3YCl6ß\n".encode("latin-1"))
    (tmp_path / "targets.toml").write_text('[[target]]\ncolumn = "softness"\ncomparison = "<"\nvalue = 1\n')
    out = tmp_path / "out"
    for words, expected in (
        ((SMALL, "--out", tmp_path / "file"), "a file"),
        (("/proc/none.toml", "--out", out), "cannot be read"),
        ((tmp_path / "bad.toml", "--out", out), "not valid TOML"),
        ((SMALL, "--candidates", tmp_path / "x.csv", "--out", out), "one of them"),
        (("--candidates", tmp_path / "x.csv", "--out", out), "there is no file"),
        ((SMALL, "--targets", tmp_path / "targets.toml", "--out", out), "softness"),
        ((SMALL, "--out", "/proc/nowhere/out"), "cannot be written"),
    ):
        result = invoke(*words)
        assert result.exit_code == 2, words
        assert expected in result.stderr, result.stderr
        assert len(result.stderr.splitlines()) == 1
    result = invoke("--candidates", tmp_path / "latin.csv", "--out", out)
    assert result.exit_code == 2
    assert "none of the rows" in result.stderr
    assert "0xDF is not UTF-8" in (out / "rejected.csv").read_text()


def test_out_is_required(tiny_weights):
    result = RUNNER.invoke(app, ["screen"])
    assert result.exit_code == 2
    assert "--out" in result.stderr


def test_interruption_ends_with_130_and_is_recorded(tiny_weights, tmp_path):
    command = [sys.executable, "-c", "from softlyte.cli import main; main()", "screen"]
    command += ["--out", str(tmp_path / "out"), "--weights", str(tiny_weights), "--device", "cpu"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A test run in the background inherits an ignored SIGINT, as a person's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    record = tmp_path / "out" / "run.json"
    for _ in range(1200):
        if record.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert json.loads(record.read_text())["status"] == "failed"
    assert not (tmp_path / "out" / "candidates.csv").exists()
    assert [p.name for p in (tmp_path / "out").iterdir() if p.name.endswith(".tmp")] == []
