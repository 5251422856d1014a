"""What `softlyte space` says of a space, against laying it out."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import FormulaError
from softlyte.screening.describe import describe_space, find_in_space
from softlyte.screening.enumerate import enumerate_candidates
from softlyte.screening.space import load_space

ROOT = Path(__file__).parent.parent
SPACES = Path(__file__).parent / "spaces"


@pytest.mark.parametrize("space", [str(SPACES / "small.toml"), str(SPACES / "medium.toml"), "doped-li2zrcl6"])
def test_counts_are_those_of_the_rows(space):
    described = describe_space(space)
    phases, mobile, systems = Counter[str](), Counter[str](), set[bytes]()
    for chunk in enumerate_candidates(load_space(space)):
        phases.update(PHASES[code] for code in chunk.phase)
        for ion in described.by_mobile_ion:
            mobile[ion] += int((chunk.compositions.amount_of(ion) > 0).sum())
        systems |= {row.tobytes() for row in np.unique(chunk.compositions.atomic_numbers, axis=0)}
    assert described.candidates == phases.total()
    assert (described.compositions, described.glasses) == (phases["crystal"], phases["glass"])
    assert described.chemical_systems == len(systems)
    assert described.by_mobile_ion == dict(mobile)
    assert sum(described.by_anions.values()) == described.candidates
    assert sum(one.candidates for one in described.by_origin) == described.candidates
    assert described.candidates <= described.before_deduplication


def test_anions_are_counted_by_the_sets_that_occur():
    described = describe_space(SPACES / "small.toml")
    rows = next(enumerate_candidates(load_space(SPACES / "small.toml"))).compositions
    oxychlorides = (rows.amount_of("O") > 0) & (rows.amount_of("Cl") > 0)
    assert described.by_anions["Cl-O"] == oxychlorides.sum()
    assert set(described.by_anions) == {"Cl", "Br", "Cl-O"}


@pytest.mark.parametrize("count", [0, 1, 4])
def test_examples_belong_to_their_family(count):
    described = describe_space("doped-li2zrcl6", examples=count)
    space = load_space("doped-li2zrcl6")
    for one in described.by_origin:
        assert len(one.examples) == min(count, one.candidates)
        start = one.origin.split(" (")[0]
        for found in find_in_space(space, one.examples):
            assert found.provenance.startswith((start, "parent"))
        assert len(set(one.examples)) == len(one.examples)


def test_formulas_are_found_in_any_multiple_with_phases_and_origin():
    space = load_space(SPACES / "small.toml")
    found = find_in_space(space, ["LiAlCl4", "Li2Al2Cl8", "Li4Zr1O2Al3Cl13", "LiPbCl3", "LiYCl4", "Li5AlCl8"])
    assert [one.place >= 0 for one in found] == [True, True, True, False, False, False]
    assert found[0] == found[1]
    assert (found[0].phases, found[0].provenance) == (("crystal",), "family AMX4")
    assert found[2].phases == ("crystal", "glass")
    assert found[2].provenance == "mixture LiCl-ZrO2-AlCl3"
    assert found[3].reason.startswith("Pb is left out by the policy toxic: IARC group 2A")
    assert found[4].reason == "Y is not declared"
    assert found[5].reason == "no family, mixture or substitution reaches it within the limits"
    with pytest.raises(FormulaError, match="'Xx2' cannot be read"):
        find_in_space(space, ["Xx2"])


def test_found_places_are_those_of_the_rows():
    space = load_space(SPACES / "small.toml")
    rows = next(enumerate_candidates(space))
    found = find_in_space(space, rows.compositions.formulas())
    keys = rows.compositions.keys().tolist()
    assert [one.place for one in found] == [keys.index(key) for key in keys]
    assert [one.provenance for one in found] == [space.provenance[i] for i in rows.provenance]


def run(*arguments: str):
    return CliRunner().invoke(app, ["space", *arguments])


def test_command_describes(tmp_path):
    shown = run("describe", str(SPACES / "small.toml"))
    assert shown.exit_code == 0
    described = describe_space(SPACES / "small.toml")
    assert f"distinct candidates (composition and phase)   {described.candidates}" in shown.stdout
    for one in described.by_origin:
        assert one.origin in shown.stdout
        assert one.examples[0] in shown.stdout
    assert "IARC group 2A: inorganic lead compounds" in shown.stdout
    as_json = run("describe", str(SPACES / "small.toml"), "--format", "json", "--examples", "1")
    assert json.loads(as_json.stdout)["candidates"] == described.candidates


def test_the_file_in_the_documentation_is_a_space(tmp_path):
    text = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    block = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    (tmp_path / "mine.toml").write_text(block[1], encoding="utf-8")
    described = describe_space(tmp_path / "mine.toml")
    assert all(one.candidates for one in described.by_origin)
    for name, candidates in re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \|", text, re.MULTILINE):
        if name != "funnel-32m":  # counted in test_space.py
            assert f"{describe_space(name, examples=0).candidates:,}" == candidates, name


def test_command_lists_and_finds():
    listed = run("list")
    assert listed.exit_code == 0
    assert {"default", "funnel-32m", "sodium"} <= set(listed.stdout.split())
    found = run("find", str(SPACES / "small.toml"), "LiAlCl4")
    assert found.exit_code == 0
    assert "family AMX4" in found.stdout
    absent = run("find", str(SPACES / "small.toml"), "LiAlCl4", "LiYCl4")
    assert absent.exit_code == 1
    assert "Y is not declared" in absent.stdout


def test_command_tells_every_mistake(tmp_path):
    text = (SPACES / "small.toml").read_text(encoding="utf-8")
    text = text.replace("Al = 3", "Al = -3").replace('formula = "AX"', 'formula = "AZ"')
    (tmp_path / "wrong.toml").write_text(text, encoding="utf-8")
    refused = run("describe", str(tmp_path / "wrong.toml"))
    assert refused.exit_code == 2
    assert refused.stderr.count("error: ") == 2
    assert run("describe", str(tmp_path / "absent.toml")).exit_code == 2
