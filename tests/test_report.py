"""The report holds what the folder holds, says what is approximate, and lets no text become markup."""

import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import load_card, load_table
from softlyte.screening.pressure import Conditions
from softlyte.screening.report import write_report
from softlyte.screening.report.chances import chances, probability_below
from softlyte.screening.report.known import address_of, facts_about, known_points
from softlyte.screening.report.payload import molar_masses, payload, script_json
from softlyte.screening.report.pressure_lines import pressure_lines
from softlyte.screening.report.run import load_run
from softlyte.screening.report.versions import run_facts, table_versions
from softlyte.screening.targets import load_targets, make_targets


class _Page(HTMLParser):
    """Counts elements and keeps what stands in scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._inside = True
            self.scripts.append("")

    def handle_endtag(self, tag) -> None:
        if tag == "script":
            self._inside = False

    def handle_data(self, data) -> None:
        if self._inside:
            self.scripts[-1] += data


def _page(path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_a_report_holds_every_row(made_up_run, rows: int) -> None:
    page = _page(write_report(made_up_run(rows)))
    data = json.loads(page.scripts[0])
    assert data["rows"] == rows
    by_name = {column["name"]: column for column in data["columns"]}
    assert by_name["rank"]["data"] == list(range(1, rows + 1))
    assert by_name["stack_pressure_mpa"]["unit"] == "MPa"
    assert len(by_name["formula"]["codes"]) == rows


def test_hostile_texts_stay_text(made_up_run, hostile_texts) -> None:
    calm = _page(write_report(made_up_run(12)))
    attacked = _page(write_report(made_up_run(12, hostile_texts), title=hostile_texts[0]))
    # Same elements, same attributes: no text has become markup.
    shape = [(tag, sorted(attributes)) for tag, attributes in attacked.elements]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in calm.elements]
    assert len(attacked.scripts) == 3
    texts = {c["name"]: c for c in json.loads(attacked.scripts[0])["columns"]}
    held = [texts["formula"]["texts"][code] for code in texts["formula"]["codes"]]
    assert held[: len(hostile_texts)] == list(hostile_texts)


def test_script_json_cannot_end_its_element(hostile_texts) -> None:
    text = script_json({"a": list(hostile_texts)})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"a": list(hostile_texts)}


def test_nothing_is_loaded_from_elsewhere(made_up_run) -> None:
    page = _page(write_report(made_up_run(3)))
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            target = attributes.get(name) or ""
            assert not target or target.startswith(("#", "data:")), (tag, target)
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_chances_written_by_the_ranking_are_taken_as_they_are(made_up_run) -> None:
    run = load_run(made_up_run(20))
    judged = {c.target.column: c for c in chances(run.candidates, run.targets)}
    pressure, hull = judged["stack_pressure_mpa"], judged["e_above_hull_ev_atom"]
    assert pressure.exact
    assert hull.exact
    assert not judged["oxidation_v"].exact
    assert pressure.probability.tolist() == run.candidates["p_below_target_pressure"].tolist()
    assert hull.probability.tolist() == run.candidates["p_within_50_mev"].tolist()


def test_a_chance_of_another_limit_is_not_the_written_one(made_up_run) -> None:
    run = load_run(made_up_run(5))
    targets = make_targets({"target": [{"column": "e_above_hull_ev_atom", "comparison": "<=", "value": 0.1}]})
    assert not chances(run.candidates, targets)[0].exact


@pytest.mark.parametrize("linear", [True, False])
def test_a_normal_distribution_is_read_back(linear: bool) -> None:
    mean, sd = np.array([0.5, 1.5]), np.array([0.2, 0.4])
    ends = [mean, mean - norm.ppf(0.95) * sd, mean + norm.ppf(0.95) * sd]
    limit = 1.1 if linear else float(np.exp(1.1))
    read = probability_below(limit, *(ends if linear else map(np.exp, ends)), linear)
    assert read == pytest.approx(norm.cdf(1.1, mean, sd), abs=1e-9)


def test_unknown_is_not_a_chance() -> None:
    nan = np.array([np.nan])
    assert np.isnan(probability_below(1.0, nan, nan, nan, True)).all()
    exact = np.array([2.0])
    assert probability_below(3.0, exact, exact, exact, False) == 1.0
    assert probability_below(1.0, exact, exact, exact, False) == 0.0


def test_known_electrolytes_are_those_of_the_cited_tables() -> None:
    points = {point["formula"]: point for point in known_points()}
    glass = points["LiAlCl2.5O0.75"]
    assert glass["youngs_gpa"] == [1.5, 1.5, 1.5]
    assert not glass["computed"]
    assert points["Li6PS5Cl"]["computed"]
    assert "OBELiX" in points["Li6PS5Cl"]["sigma_source"]
    # Flagged moduli (two studies that contradict each other) and conductivities are no points.
    assert "Li10GeP2S12" not in points
    for point in points.values():
        for middle, low, high in (point["youngs_gpa"], point["sigma_ms_cm"]):
            assert 0 < low <= middle <= high


def test_facts_carry_their_source() -> None:
    facts = facts_about(["Li3YCl6", "", "</script>"])
    assert set(facts) == {"Li3YCl6"}
    cited = load_table("conductivity_cited")
    assert len([f for f in facts["Li3YCl6"] if f["what"] == "Conductivity"]) == sum(
        cited["formula"] == "Li3YCl6"
    )
    assert all(fact["source"] for fact in facts["Li3YCl6"])
    assert address_of("10.1000/x", "https://example.org/a") == "https://doi.org/10.1000/x"
    assert address_of(float("nan"), "https://example.org/a (page 3)") == "https://example.org/a"
    assert address_of("", "javascript:alert(1)") == ""


def test_a_softer_target_moves_the_pressure_line_to_stiffer_solids() -> None:
    tight, loose = (pressure_lines(mpa, Conditions()) for mpa in (2.0, 20.0))
    for one, other in zip(tight, loose, strict=True):
        assert one.phase == other.phase
        assert one.youngs_gpa < other.youngs_gpa
    for line in tight:
        ends = [v for v in (line.low_gpa, line.youngs_gpa, line.high_gpa) if not np.isnan(v)]
        assert ends == sorted(ends)
    assert pressure_lines(1e9, Conditions()) == []


def test_a_crystal_may_be_stiffer_than_a_glass_by_the_pellet() -> None:
    lines = {line.phase: line.youngs_gpa for line in pressure_lines(2.0, Conditions())}
    assert lines["crystal"] > lines["glass"]


def test_masses_cover_candidates_and_precursors() -> None:
    table = pd.DataFrame(
        {"formula": ["LiAlCl4", "<b>"], "precursor_route": ["LiCl + AlCl3", "0.5 Li2O - 0.1 H2O"]}
    )
    masses = molar_masses(table)
    assert set(masses) == {"LiAlCl4", "LiCl", "AlCl3", "Li2O", "H2O"}
    assert masses["LiCl"] + masses["AlCl3"] == pytest.approx(masses["LiAlCl4"], rel=1e-6)


def test_numbers_are_short_and_missing_ones_null(made_up_run) -> None:
    folder = made_up_run(3)
    table = pd.read_csv(folder / "candidates.csv")
    table.loc[0, "glass_transition_k"] = np.nan
    table.loc[1, "glass_transition_k"] = 123.456789
    table.to_csv(folder / "candidates.csv", index=False)
    columns = {c["name"]: c for c in payload(load_run(folder))["columns"]}
    assert columns["glass_transition_k"]["data"][:2] == [None, 123.5]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "candidates.csv").unlink(), "candidates.csv cannot be read"),
        (lambda f: (f / "candidates.csv").write_text("formula\nLiCl\n"), "no column rank"),
        (lambda f: (f / "run.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "run.json").write_text("[]"), "no configuration"),
        (
            lambda f: (f / "run.json").write_text(
                (f / "run.json").read_text().replace("finished", "failed", 1)
            ),
            "not finished",
        ),
        (lambda f: (f / "funnel.csv").write_bytes(b""), "not a table"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(made_up_run, change, says: str) -> None:
    folder = made_up_run(2)
    change(folder)
    with pytest.raises(UserError, match=re.escape(says)):
        write_report(folder)


def test_a_word_among_numbers_is_named(made_up_run) -> None:
    folder = made_up_run(2)
    table = pd.read_csv(folder / "candidates.csv", dtype=str)
    table.loc[1, "oxidation_v"] = "high"
    table.to_csv(folder / "candidates.csv", index=False)
    with pytest.raises(UserError, match=r"row 2: oxidation_v is 'high'"):
        write_report(folder)


def test_the_command_writes_where_it_is_told(made_up_run, tmp_path) -> None:
    from softlyte.cli.app import app

    place = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(made_up_run(4)), "--out", str(place), "--title", "Mine"])
    assert done.exit_code == 0, done.output
    assert "<title>Mine</title>" in place.read_text(encoding="utf-8")
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert missing.exit_code == 2
    assert "not a folder" in missing.output


def test_shipped_targets_are_named(made_up_run) -> None:
    text = write_report(made_up_run(2)).read_text(encoding="utf-8")
    assert text.count("<li>Stack pressure &lt; 2 MPa</li>") == 1
    assert len(load_targets().target) == len(payload(load_run(made_up_run(2)))["targets"])


def test_a_screening_ends_with_its_report(tmp_path, tiny_weights) -> None:
    from softlyte.screening.funnel import screen

    own = tmp_path / "own.csv"
    own.write_text("formula,phase\nLiAlCl4,crystal\n", encoding="utf-8")
    done = screen(candidates=own, out=tmp_path / "with", weights=tiny_weights)
    assert done.report == tmp_path / "with" / "report.html"
    data = json.loads(_page(done.report).scripts[0])
    assert data["rows"] == len(done.candidates)
    bare = screen(candidates=own, out=tmp_path / "without", weights=tiny_weights, report=False)
    assert bare.report is None
    assert not (tmp_path / "without" / "report.html").exists()


def test_another_runs_report_does_not_stay(tmp_path, tiny_weights) -> None:
    from softlyte.screening.funnel import screen

    own = tmp_path / "own.csv"
    own.write_text("formula,phase\nLiAlCl4,crystal\n", encoding="utf-8")
    folder = tmp_path / "out"
    screen(candidates=own, out=folder, weights=tiny_weights)
    screen(candidates=own, out=folder, weights=tiny_weights, top=7, overwrite=True, report=False)
    assert not (folder / "report.html").exists()


def test_results_stand_where_the_report_cannot_be_written(tmp_path, tiny_weights) -> None:
    from softlyte.screening.funnel import screen

    own = tmp_path / "own.csv"
    own.write_text("formula,phase\nLiAlCl4,crystal\n", encoding="utf-8")
    screen(candidates=own, out=tmp_path / "out", weights=tiny_weights, report=False)
    (tmp_path / "out" / "report.html").mkdir()
    with pytest.raises(UserError, match=r"report\.html"):
        screen(candidates=own, out=tmp_path / "out", weights=tiny_weights)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "finished"
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 1


def test_versions_of_data_and_weights_are_shown(made_up_run) -> None:
    folder = made_up_run(2)
    run = load_run(folder)
    assert ("Weights", "own, or of another version") in run_facts(run)
    assert table_versions(run) == [("prices_cited", "not the installed one", "b" * 64)]
    card = load_card("prices_cited")
    shipped = json.loads((resources.files("softlyte.models") / "pretrained" / "card.json").read_text())
    config = run.record["config"]
    config["tables_sha256"] = {"prices_cited": card.sha256}
    config["weights_sha256"] = shipped["weights_sha256"]
    config["costing"] = {
        "route": "hydrate",
        "prices": {"own": "/somewhere/mine.csv", "date": "2025", "without": ["AlCl3"]},
        "price_level": "low",
        "currency": "USD",
        "thickness_um": 30.0,
    }
    facts = dict(run_facts(run))
    assert facts["Weights"].endswith("shipped")
    assert facts["Prices"] == "cited prices and mine.csv of 2025, low level"
    assert facts["Precursors barred"] == "AlCl3"
    assert table_versions(run) == [("prices_cited", f"version {card.version}", card.sha256)]
