"""Questions to the results of a screening."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.columns import CANDIDATE_COLUMNS
from softlyte.models.predictor import Predictor
from softlyte.screening.funnel import screen
from softlyte.screening.query import QueryError, query_results

MEDIUM = Path(__file__).parent / "spaces" / "medium.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Path:
    out = tmp_path_factory.mktemp("results")
    screen(MEDIUM, out=out, limit=150, refine=40, top=10, predictor=Predictor.load(tiny_weights, "cpu"))
    return out


def test_all_refined_candidates_are_there_in_their_order(folder: Path) -> None:
    table = query_results(folder)
    assert tuple(table.columns) == CANDIDATE_COLUMNS
    assert len(table) >= 40
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    written = pd.read_csv(folder / "candidates.csv")
    assert table["formula"].tolist()[:10] == written["formula"].tolist()
    assert len(query_results(folder, top=3)) == 3
    assert query_results(folder, "pareto_front")["pareto_front"].all()


def test_conditions_and_sql(folder: Path) -> None:
    glasses = query_results(folder, "phase = 'glass' AND p_all_targets >= 0")
    assert set(glasses["phase"]) == {"glass"}
    counted = query_results(folder, sql="SELECT count(*) AS n, max(p_without_hull) AS best FROM evaluated")
    funnel = query_results(folder, sql="SELECT * FROM funnel")
    assert counted["n"][0] == funnel.loc[funnel["tier"] == "network", "in"].iloc[0]
    joined = query_results(
        folder,
        sql="SELECT c.formula, e.p_without_hull FROM candidates c JOIN evaluated e USING (formula, phase)",
    )
    assert len(joined) == len(query_results(folder))
    assert joined["p_without_hull"].max() == counted["best"][0]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"where": "no_such_column > 1"}, "no_such_column"),
        ({"sql": "SELEC"}, "correct the SQL"),
        ({"sql": "-- nothing"}, "ask with SELECT"),
        ({"where": "rank < 3", "sql": "SELECT 1"}, "one of them"),
    ],
)
def test_questions_that_cannot_be_answered(folder: Path, question: dict[str, str], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        query_results(folder, **question)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"holds no candidates\.parquet"):
        query_results(tmp_path)


def test_the_verb_shows_and_writes(folder: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    shown = run(app, ["results", str(folder), "--top", "4"])
    assert shown.exit_code == 0
    assert "P(all)" in shown.stdout
    rows = run(app, ["results", str(folder), "--where", "rank <= 2", "--format", "json"])
    assert [row["rank"] for row in json.loads(rows.stdout)] == [1, 2]
    counted = run(
        app, ["results", str(folder), "--sql", "SELECT phase, count(*) AS n FROM candidates GROUP BY 1"]
    )
    assert "glass" in counted.stdout
    out = tmp_path / "glasses.csv"
    assert run(app, ["results", str(folder), "--where", "phase = 'glass'", "--out", str(out)]).exit_code == 0
    assert set(pd.read_csv(out)["phase"]) == {"glass"}
    again = run(app, ["results", str(folder), "--out", str(out)])
    assert again.exit_code == 2
    wrong = run(app, ["results", str(tmp_path / "none")])
    assert wrong.exit_code == 2
    assert "candidates.parquet" in wrong.stderr
