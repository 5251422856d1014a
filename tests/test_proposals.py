"""The next experiments: batches, precursors at hand, reasons, and the campaign that judges them."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import campaign as judge
from softlyte.cli.app import app
from softlyte.datasets.columns import PROPOSAL_COLUMNS
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.models.predictor import Predictor
from softlyte.models.residual_process import ResidualProcess
from softlyte.screening.batch import choose_batch, draws_of, informed, success_given
from softlyte.screening.costing import default_costing
from softlyte.screening.funnel import screen
from softlyte.screening.own_data import add_measurements
from softlyte.screening.price_list import PriceError
from softlyte.screening.proposals import propose, read_precursors

RUNNER = CliRunner()
FORMULAS = [
    "Li3YCl6",
    "Li2ZrCl6",
    "Li2.5Y0.5Zr0.5Cl6",
    "LiAlCl4",
    "LiAlCl2.5O0.75",
    "Li3InCl6",
    "NaAlCl4",
    "LiTaCl6",
]


def test_draws_have_the_covariance_that_is_asked_for():
    covariance = np.array([[0.7, 0.5, 0.0], [0.5, 0.7, 0.0], [0.0, 0.0, 0.3]])
    drawn = draws_of(covariance, 40_000, seed=0)
    assert np.allclose(np.cov(drawn.T), covariance, atol=0.02)
    assert np.allclose(drawn.mean(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("chance", [1e-6, 0.02, 0.5, 0.98])
def test_success_keeps_each_material_s_own_probability(chance):
    success = success_given(np.array([chance, chance]), np.full((2, 2), 0.75), draws=512)
    assert success.mean(axis=0) == pytest.approx([chance, chance], rel=0.02)
    assert success.max() <= 1.0


def test_twins_are_spared_and_independent_materials_taken():
    # Three that succeed or fail together, nearly as good as one that has nothing to do with them.
    covariance = np.zeros((4, 4))
    covariance[:3, :3] = 0.98
    covariance[3, 3] = 0.98
    success = success_given(np.array([0.50, 0.49, 0.48, 0.40]), covariance, draws=2048)
    batch = choose_batch(success, 2, further=0.0)
    assert batch.chosen.tolist() == [0, 3]
    assert batch.probability[-1] == pytest.approx(1 - 0.5 * 0.6, abs=0.03)
    everything = choose_batch(success, 4)
    assert sorted(everything.chosen) == [0, 1, 2, 3]
    assert (np.diff(everything.gain) <= 1e-12).all(), "gains fall: the worth is submodular"


def test_greedy_reaches_the_best_pair_of_a_small_case():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 3))
    covariance = 0.7 * root @ root.T / np.diag(root @ root.T).max()
    success = success_given(rng.uniform(0.05, 0.6, 6), covariance, draws=512)
    chosen = choose_batch(success, 2, further=0.0)
    best = max(1 - ((1 - success[:, i]) * (1 - success[:, j])).mean() for i in range(6) for j in range(i))
    assert chosen.probability[-1] >= (1 - 1 / np.e) * best


def test_a_measurement_informs_its_neighbours_once():
    compositions = Compositions.from_formulas(["Li2ZrCl6", "Li2ZrCl6", "Li2.1Zr0.9Y0.1Cl6", "Na3PS4"])
    process = ResidualProcess.unmeasured()
    covariance = process.common_covariance(compositions, 0)
    removed = informed(covariance, np.array([0, 1]), 1 - process.share)
    assert removed[0, 1] == pytest.approx(process.share**2)
    assert removed[0, 3] == 0.0
    assert removed[1, 2] < removed[0, 2], "the second says less"


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_weights):
    folder = tmp_path_factory.mktemp("run")
    (folder / "mine.csv").write_text("formula\n" + "\n".join(FORMULAS) + "\n")
    screen(candidates=folder / "mine.csv", out=folder / "out", predictor=Predictor.load(tiny_weights, "cpu"))
    return folder / "out"


@pytest.fixture(scope="module")
def tiny(tiny_weights):
    return Predictor.load(tiny_weights, "cpu")


def test_proposals_are_complete_repeatable_and_written(run, tiny, tmp_path):
    first = propose(run, 4, predictor=tiny, out=tmp_path / "a.csv")
    again = propose(run, 4, predictor=tiny, out=tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    written = pd.read_csv(tmp_path / "a.csv")
    assert tuple(written.columns) == PROPOSAL_COLUMNS
    assert written["order"].tolist() == [1, 2, 3, 4]
    assert not written.duplicated(["formula", "phase"]).any()
    assert (np.diff(first.table["p_any"]) >= 0).all()
    assert first.table["why"].str.len().gt(20).all()
    assert first.table["batch_recipe"].str.contains(" g ").all()
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["weights_sha256"] == tiny.weights_sha256
    assert again.left_out == {}


def test_recipes_weigh_what_the_batch_needs(run, tiny, tmp_path):
    table = propose(run, 3, predictor=tiny, batch_g=20.0, out=tmp_path / "a.csv").table
    for recipe, leaves in zip(table["batch_recipe"], table["byproducts"], strict=True):
        grams = sum(float(part.split(" g ")[0]) for part in recipe.split(" + "))
        gone = sum(float(part.split(" g ")[0]) for part in leaves.split(" + ") if part)
        assert grams - gone == pytest.approx(20.0, abs=0.01)


def test_precursors_at_hand_and_cost_are_respected(run, tiny, tmp_path):
    found = propose(run, 20, precursors="LiCl, ZrCl4,YCl3", predictor=tiny, out=tmp_path / "a.csv")
    assert (
        set(found.table["formula"]) == {"Li3YCl6", "Li2ZrCl6", "Li2.5Zr0.5Y0.5Cl6"} or len(found.table) == 6
    )
    for route in found.table["precursor_route"]:
        assert not {"Li2O", "AlCl3", "InCl3"} & set(route.split())
    assert found.left_out["not made of the precursors at hand"] > 0
    dear = propose(run, 20, max_cost=6.0, predictor=tiny, out=tmp_path / "b.csv")
    assert (dear.table["cost_usd_kg"] <= 6.0).all()
    assert dear.left_out["above 6 USD/kg"] > 0


def test_what_was_measured_is_not_proposed_again(run, tiny, tmp_path):
    (tmp_path / "m.csv").write_text("formula,phase,conductivity (mS/cm)\nLi2ZrCl6,crystal,0.4\n")
    add_measurements(tmp_path / "m.csv", tmp_path / "own", source="book")
    found = propose(run, 50, own_data=tmp_path / "own", predictor=tiny, out=tmp_path / "a.csv")
    rows = set(zip(found.table["formula"], found.table["phase"], strict=True))
    assert ("Li2ZrCl6", "crystal") not in rows
    assert ("Li2ZrCl6", "glass") in rows
    assert found.left_out["measured already"] == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"max_cost": -1.0}, "largest cost is -1"),
        ({"precursors": "LiCl, Unobtainium"}, "cannot be read"),
        ({"precursors": "LiCl, C60"}, "not among the priced precursors"),
        ({"precursors": "nowhere/list.txt"}, "there is no file"),
        ({"precursors": " , "}, "no precursor is named"),
        ({"precursors": "NbCl5"}, "can be proposed"),
        ({"max_cost": 1e-6}, "can be proposed"),
    ],
)
def test_mistakes_are_one_sentence(run, tiny, tmp_path, given, says):
    with pytest.raises(UserError) as caught:
        propose(run, predictor=tiny, out=tmp_path / "a.csv", **given)
    assert says in str(caught.value)
    assert not (tmp_path / "a.csv").exists()


def test_a_folder_without_a_screening_is_named(tiny, tmp_path):
    with pytest.raises(UserError, match=r"run\.json"):
        propose(tmp_path, predictor=tiny)


def test_precursors_come_from_text_list_or_file(tmp_path):
    file = tmp_path / "shelf.txt"
    file.write_text("formula\nLiCl  # jar 3\nAlCl3, ZrCl4\n\n")
    assert read_precursors(str(file)) == ["LiCl", "AlCl3", "ZrCl4"]
    assert read_precursors("LiCl,AlCl3") == ["LiCl", "AlCl3"]
    assert read_precursors(["LiCl"]) == ["LiCl"]


def test_a_price_list_of_these_alone():
    few = default_costing().prices.only(["LiCl", "Cl3Al"])
    assert sorted(few.binary["formula"]) == ["AlCl3", "LiCl"]
    assert "ZrCl4" in few.excluded
    with pytest.raises(PriceError, match="own prices"):
        default_costing().prices.only(["LiH"])


def test_command_line_proposes(run, tiny_weights, tmp_path):
    out = tmp_path / "next.csv"
    words = ["propose", str(run), "--budget", "3", "--weights", str(tiny_weights), "--device", "cpu"]
    result = RUNNER.invoke(app, [*words, "--precursors", "LiCl,ZrCl4,YCl3,AlCl3", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Next experiments" in result.stdout
    assert "not made of the precursors at hand" in result.stderr
    assert len(pd.read_csv(out)) == 3


def world(n=40):
    """A series in which the fast ones lie together at one end, and networks that know nothing."""
    formulas = [f"Li{2 + x:.4f}Zr{1 - x:.4f}Y{x:.4f}Cl6" for x in np.linspace(0.02, 0.98, n)]
    value = np.linspace(-6, -2.2, n)
    return judge.World(
        Compositions.from_formulas(formulas), np.zeros(n, np.int64), value, np.full(n, -4.0), np.full(n, 1.2)
    )


def test_a_campaign_learns_from_its_own_measurements_alone():
    one, other = world(), world()
    other.value[10:] = -9.0
    seen, left = np.arange(5), np.arange(5, 40)
    before = judge.updated(one, seen, left)[0]
    assert np.array_equal(before, judge.updated(other, seen, left)[0])
    assert not np.array_equal(before, one.mean[left])


def test_campaigns_find_hits_and_count_them(monkeypatch):
    monkeypatch.setattr(judge, "BATCH", 3)
    monkeypatch.setattr(judge, "ROUNDS", 6)
    for policy in judge.POLICIES:
        found = judge.campaign(world(), policy, seed=0)
        assert found.shape == (18,)
        assert (np.diff(found) >= 0).all()
        assert found[-1] <= 1.0
    greedy = judge.campaign(world(), "greedy, with the campaign's own measurements", seed=0)
    assert greedy[-1] > judge.campaign(world(), "networks alone, fastest first", seed=0)[-1]


def test_needed_counts_experiments():
    assert judge.needed(np.array([0.0, 0.5, 0.5, 1.0]), 0.5) == 2
    assert judge.needed(np.array([0.0, 0.2]), 0.5) == np.inf
