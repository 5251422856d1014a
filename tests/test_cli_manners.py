"""How the command line behaves as a whole: help, JSON, quiet, colours, exit codes, completion, doctor."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from softlyte.cli import output
from softlyte.cli.app import app
from softlyte.cli.completion import complete_space, complete_table
from softlyte.datasets import tables
from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import CheckResult, table_names
from softlyte.models import checkpoint
from softlyte.screening import health
from softlyte.screening.space import space_names

RUNNER = CliRunner()
ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
HEAVY = [
    "botorch",
    "duckdb",
    "jinja2",
    "lightning",
    "matplotlib",
    "mp_api",
    "numpy",
    "optuna",
    "pandas",
    "pandera",
    "pint",
    "plotly",
    "pyarrow",
    "pymatgen",
    "requests",
    "safetensors",
    "scipy",
    "sklearn",
    "torch",
    "torch_geometric",
    "yaml",
]
NO_JSON = {"data add", "data build", "data own remove", "data own show"}
"""Verbs that print nothing but a remark, or CSV alone."""


def commands(group: Any = None, name: str = "") -> dict[str, Any]:
    """Return every verb that does something, by its words."""
    group = typer.main.get_command(app) if group is None else group
    found: dict[str, Any] = {}
    for word, command in group.commands.items():
        words = f"{name} {word}".strip()
        found |= commands(command, words) if hasattr(command, "commands") else {words: command}
    return found


VERBS = commands()


def softlyte(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from softlyte.cli import main; main()", *words],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")} | variables,
    )


def test_no_help_loads_anything_heavy() -> None:
    script = """
import sys
from typer.testing import CliRunner
from softlyte.cli.app import app
for words in sys.argv[1:]:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0, words
print(*sorted(name for name in sys.modules if "." not in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "", "data", "space", *VERBS],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("words", VERBS)
def test_every_verb_explains_itself_and_stands_in_the_guide(words: str) -> None:
    command = VERBS[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None) or getattr(parameter, "hidden", False), (
            words,
            parameter.name,
        )
    options = {option for parameter in command.params for option in parameter.opts}
    assert ("--json" in options) == (words not in NO_JSON)
    assert f"`{words}`" in GUIDE


def test_quiet_stands_wherever_there_are_remarks() -> None:
    silent = {"version", "data list", "data show", "data check", "space list", "space describe", "space find"}
    without = {
        words for words, command in VERBS.items() if all("--quiet" not in p.opts for p in command.params)
    }
    assert without == silent | {"data own list", "data own show", "data own remove"}


# JSON


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["version", "--json"], "softlyte"),
        (["data", "list", "--json"], 0),
        (["data", "show", "eutectics_cited", "--json", "--rows", "2"], "card"),
        (["data", "show", "eutectics_cited", "--format", "json"], "first_rows"),
        (["data", "check", "eutectics_cited", "--json"], 0),
        (["space", "list", "--json"], 0),
        (["space", "describe", "sodium", "--json"], "candidates"),
        (["space", "find", "sodium", "Na2ZrCl6", "--json"], 0),
        (["data", "own", "list", "--to", "none", "--json"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_json_is_all_that_is_printed(words: list[str], key: str | int | None) -> None:
    result = RUNNER.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content == [] if key is None else content[key]


@pytest.mark.parametrize("verb", ["predict", "cost", "pressure", "window"])
def test_json_of_the_verbs_that_predict(verb: str, tiny_weights: Path) -> None:
    words = [verb, "LiAlCl4", "--json", "--weights", str(tiny_weights)]
    result = RUNNER.invoke(app, words)
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout, parse_constant=pytest.fail)
    rows = content["windows"] if verb == "window" else content
    assert rows[0]["formula"] == "LiAlCl4"
    if verb == "pressure":
        assert sum(part["share"] for part in rows[0]["distribution"]) == pytest.approx(1.0)
        assert rows[0]["values"]["stack_pressure_mpa"]["lower"] > 0


def test_json_and_another_format_contradict_each_other() -> None:
    for words in (
        ["predict", "LiCl"],
        ["cost", "LiCl"],
        ["window", "LiCl"],
        ["data", "show", "prices_cited"],
    ):
        result = RUNNER.invoke(app, [*words, "--json", "--format", "csv"])
        assert result.exit_code == 2
        assert "--json and --format csv" in result.stderr


def test_what_is_no_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": float("nan"), "b": [float("inf"), (1.5, "x")], 3: None})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, [1.5, "x"]], "3": None}


# Quiet, colours


def test_quiet_keeps_results_and_errors(tiny_weights: Path) -> None:
    words = ["predict", "LiAlCl4", "Li2Al2Cl8", "LiAlCl3", "--weights", str(tiny_weights)]
    loud, quiet = RUNNER.invoke(app, words), RUNNER.invoke(app, [*words, "-q"])
    assert quiet.stdout == loud.stdout
    assert loud.exit_code == quiet.exit_code == 2
    assert "repeats row 1" in loud.stderr
    assert "repeats row 1" not in quiet.stderr
    assert "not charge balanced" in quiet.stderr
    assert not RUNNER.invoke(app, ["version"]).stderr
    assert not output.is_quiet()


def on_a_terminal(*words: str, **variables: str) -> str:
    """Return what a command writes to a terminal."""
    leader, follower = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", "from softlyte.cli import main; main()", *words],
        stdout=follower,
        stderr=follower,
        stdin=follower,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "120"} | variables,
    )
    os.close(follower)
    parts = []
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    process.wait()
    os.close(leader)
    return b"".join(parts).decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m|\x1b\[[0-9;]*9[0-7]m")


def test_colours_are_for_terminals_and_can_be_turned_off() -> None:
    assert COLOUR.search(on_a_terminal("data", "show", "nope"))
    assert not COLOUR.search(on_a_terminal("data", "show", "nope", NO_COLOR="1"))
    piped = softlyte("data", "show", "nope")
    assert "\x1b" not in piped.stdout + piped.stderr
    assert piped.returncode == 2


# Exit codes


@pytest.mark.parametrize(
    ("raised", "code", "shown"),
    [
        (UserError("row 2, 'x': wrong; mend it"), 2, "error: row 2, 'x': wrong; mend it"),
        (RuntimeError("a bug"), 1, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["mistake", "bug", "interrupted"],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, shown: str) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr(tables, "table_names", fail)
    result = RUNNER.invoke(app, ["data", "list"])
    assert result.exit_code == code
    assert shown in result.stderr
    assert f"| {code} |" in GUIDE


@pytest.mark.parametrize(
    "words", [["nonsense"], ["predict", "--nonsense"], ["screen"], ["space", "describe"]]
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    result = RUNNER.invoke(app, words)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = (
        f"{sys.executable} -c 'from softlyte.cli import main; main()' data show elastic_moduli --format csv"
    )
    done = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True)
    assert done.stdout.startswith("matbench_row,formula")
    assert "Traceback" not in done.stderr


# Completion


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("softlyte pre", ["predict", "pressure"]),
        ("softlyte data sh", ["show"]),
        ("softlyte data show eut", ["eutectics_cited"]),
        ("softlyte space describe fun", ["funnel-32m"]),
        ("softlyte window --al", ["--alone"]),
    ],
)
def test_completion(typed: str, offered: list[str]) -> None:
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = softlyte(_SOFTLYTE_COMPLETE="complete_bash", **variables)
    assert done.stdout.split() == offered, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = softlyte(_SOFTLYTE_COMPLETE=f"source_{shell}")
    assert "_SOFTLYTE_COMPLETE=complete_" in done.stdout


def test_completed_names_are_all_names() -> None:
    assert complete_table("") == list(table_names())
    assert complete_space("") == list(space_names())
    assert complete_table("zz") == []


# Doctor


def test_doctor_finds_a_whole_installation_whole() -> None:
    result = RUNNER.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["ok"]
    assert {check["name"] for check in found["tables"]} == set(table_names())
    assert [check["ok"] for check in found["weights"]] == [True] * len(found["weights"])
    assert found["versions"]["torch"] == metadata.version("torch")
    assert found["machine"]["usable_cores"] >= 1
    assert {"mp", "tune", "physics"} <= {extra["name"] for extra in found["extras"]}


@pytest.fixture
def quick_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "check_tables", lambda: [CheckResult("eutectics_cited", True)])


def test_doctor_names_damaged_weights_and_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_weights: Path
) -> None:
    shutil.copytree(tiny_weights, tmp_path / "weights")
    path = tmp_path / "weights" / checkpoint.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "weights")
    broken = CheckResult("prices_cited", False, ("prices_cited.csv: the checksum differs",))
    monkeypatch.setattr(tables, "check_tables", lambda: [CheckResult("eutectics_cited", True), broken])
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "1 of 2 as shipped; DAMAGED: prices_cited" in result.stdout
    assert "does not match the checksum" in result.stderr
    assert "the checksum differs" in result.stderr
    quiet = RUNNER.invoke(app, ["doctor", "--quiet"])
    assert (quiet.exit_code, quiet.stdout) == (1, "")


def test_doctor_says_what_is_missing_for_which_extra(
    monkeypatch: pytest.MonkeyPatch, quick_tables: None
) -> None:
    found = metadata.version

    def version(name: str) -> str:
        if name == "mp-api":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "optuna" else found(name)

    monkeypatch.setattr(health.metadata, "version", version)
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "missing: mp-api>=" in result.stdout
    assert "pip install 'softlyte[mp]'" in result.stdout
    assert "(1.0 is installed)" in result.stdout.replace("\n", " ").replace("  ", " ")


def test_doctor_fails_where_a_needed_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, quick_tables: None
) -> None:
    found = metadata.version
    monkeypatch.setattr(health.metadata, "version", lambda name: "0.1" if name == "pymatgen" else found(name))
    result = RUNNER.invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    assert not json.loads(result.stdout)["ok"]
    assert "pymatgen" in result.stderr


def test_doctor_shows_no_secret(monkeypatch: pytest.MonkeyPatch, quick_tables: None) -> None:
    monkeypatch.setenv("MP_API_KEY", "a" * 32)
    monkeypatch.setenv("MP_API_ENDPOINT", "https://me:hidden@example.org/")
    monkeypatch.setenv("SOFTLYTE_CACHE_DIR", "")
    result = RUNNER.invoke(app, ["doctor"])
    assert result.exit_code == 0, result.stderr
    assert "a" * 32 not in result.stdout
    assert "hidden" not in result.stdout
    assert "turned off" in result.stdout
