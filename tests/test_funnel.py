import json
import socket
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from softlyte.datasets.columns import CANDIDATE_COLUMNS, COLUMNS
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.datasets.tables import load_table
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictor import Predictor
from softlyte.screening.candidates import Candidates, SpaceSource
from softlyte.screening.chunk_store import CHUNK_FOLDER
from softlyte.screening.decision import medians, pareto_front
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.evaluate import default_hull, evaluate, result_table
from softlyte.screening.export import OutputError, csv_text
from softlyte.screening.funnel import screen
from softlyte.screening.inputs import InputError
from softlyte.screening.ranking import rank_order
from softlyte.screening.run_record import LOCK_FILE, REPORT_FILE, RESULT_FILES
from softlyte.screening.space import SpaceError, load_space
from softlyte.screening.targets import TargetError, load_targets, make_targets
from softlyte.screening.tiers import (
    FunnelRow,
    cost_ceiling,
    filter_tier,
    funnel_frame,
    network_tier,
    settled_ranks,
    tier_rows,
)

LIMIT, REFINE, TOP = 700, 120, 25
MEDIUM = Path(__file__).parent / "spaces" / "medium.toml"


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(tiny_weights, "cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor):
    folder = tmp_path_factory.mktemp("run") / "out"
    seen: list[tuple[str, int, int]] = []
    result = screen(
        MEDIUM,
        out=folder,
        limit=LIMIT,
        refine=REFINE,
        top=TOP,
        seed=4,
        predictor=predictor,
        progress=lambda *step: seen.append(step),
    )
    return result, seen


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULT_FILES}


def test_files_columns_and_ranks(run):
    result, _ = run
    kept = {*RESULT_FILES, "run.json", REPORT_FILE, LOCK_FILE, CHUNK_FOLDER}
    assert {p.name for p in result.folder.iterdir()} == kept
    assert result.report == result.folder / REPORT_FILE
    table = pd.read_csv(result.folder / "candidates.csv", keep_default_na=False, na_values=[""])
    assert tuple(table.columns) == CANDIDATE_COLUMNS
    assert table["rank"].tolist() == list(range(1, TOP + 1))
    assert table["p_all_targets"].is_monotonic_decreasing
    assert table["p_all_targets"].between(0, 1).all()
    assert (table["e_above_hull_ev_atom_lower"] >= 0).all()
    for name in CANDIDATE_COLUMNS:
        if COLUMNS.get(name) is not None and COLUMNS[name].predicted:
            shown = table[table[name].notna()]
            assert (shown[f"{name}_lower"] <= shown[name]).all(), name
            assert (shown[name] <= shown[f"{name}_upper"]).all(), name
    assert (table["glass_transition_k"].notna() == (table["phase"] == "glass")).all()
    np.testing.assert_allclose(table["sigma_ms_cm"], 1e3 * 10.0 ** table["log10_sigma_s_cm"], rtol=1e-4)
    assert table["pareto_front"].dtype == bool
    assert (table["precursor_route"] != "").all()


def test_funnel_counts_add_up_from_tier_to_tier(run):
    result, _ = run
    rows = result.funnel
    assert rows[0].tier == "generate"
    assert all(r.entered == r.left + r.removed for r in rows)
    assert all(a.left == b.entered for a, b in pairwise(rows))
    assert rows[0].left == LIMIT
    assert [r.tier for r in rows][-3:] == ["network", "hull", "decision"]
    assert rows[-1].left == TOP == len(result.candidates)
    written = pd.read_csv(result.folder / "funnel.csv", keep_default_na=False)
    assert list(written.columns) == ["tier", "in", "out", "removed", "reason"]
    assert written["in"].tolist() == [r.entered for r in rows]
    assert all(r.reason for r in rows if r.removed)


def test_record_is_complete(run, predictor):
    result, _ = run
    record = json.loads((result.folder / "run.json").read_text())
    assert record["status"] == "finished"
    config = record["config"]
    assert (config["seed"], config["limit"], config["refine"], config["top"]) == (4, LIMIT, REFINE, TOP)
    assert config["weights_sha256"] == predictor.weights_sha256
    assert config["space"]["sha256"] == load_space(MEDIUM).sha256
    assert len(config["tables_sha256"]["formation_energy"]) == 64
    assert record["counts"]["ranked"] == TOP
    assert {"generate", "network", "hull", "decision", "export", "total"} <= set(record["timings_s"])
    assert record["environment"]["torch"] == torch.__version__


def test_progress_reaches_the_end_of_each_tier(run):
    _, seen = run
    for tier in ("network", "hull"):
        steps = [(done, total) for name, done, total in seen if name == tier]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1] > 0


@pytest.fixture(scope="module")
def brute_force(predictor: Predictor):
    """Everything evaluated at once, without tiers."""
    source = SpaceSource(plan_candidates(load_space(MEDIUM)), LIMIT, seed=4)
    kept, _, _ = filter_tier(source.rows(0, LIMIT), predictor.known_elements, cost_ceiling(load_targets()))
    evaluation = evaluate(kept.compositions, kept.phase, predictor, default_hull())
    return kept, evaluation, result_table(evaluation, load_targets())


def test_top_rows_equal_brute_force(run, brute_force, tmp_path, predictor):
    kept, evaluation, table = brute_force
    everything = screen(
        MEDIUM, out=tmp_path, limit=LIMIT, refine=LIMIT, top=TOP, seed=4, predictor=predictor
    ).candidates
    order = rank_order(table["p_all_targets"].to_numpy(), kept.place)[:TOP]
    expected = table.iloc[order].reset_index(drop=True)
    assert everything["formula"].tolist() == expected["formula"].tolist()
    assert everything["phase"].tolist() == expected["phase"].tolist()
    np.testing.assert_allclose(everything["p_all_targets"], expected["p_all_targets"], rtol=1e-4)
    values, low = medians(evaluation.assessment, load_targets())
    assert everything["pareto_front"].tolist() == pareto_front(values, low)[order].tolist()
    # What a short refinement says of a candidate is what the full one says.
    short, _ = run
    assert 0 <= short.settled_ranks <= TOP
    both = short.candidates.merge(everything, on=["formula", "phase"], suffixes=("", "_full"))
    assert len(both) >= TOP // 2
    np.testing.assert_allclose(both["p_all_targets"], both["p_all_targets_full"], rtol=1e-4)
    np.testing.assert_allclose(both["oxidation_v"], both["oxidation_v_full"], rtol=1e-4)


def test_same_seed_same_bytes_whatever_the_threads(run, tmp_path, predictor):
    result, _ = run
    threads = torch.get_num_threads()
    options = {"limit": LIMIT, "refine": REFINE, "top": TOP, "predictor": predictor}
    try:
        torch.set_num_threads(1)
        screen(MEDIUM, out=tmp_path / "one", seed=4, **options)
        torch.set_num_threads(2)
        screen(MEDIUM, out=tmp_path / "two", seed=4, **options)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(result.folder)
    other = screen(MEDIUM, out=tmp_path / "other", seed=5, **options)
    assert csv_text(other.candidates) != csv_text(result.candidates)


def test_a_folder_takes_the_same_run_again_but_no_other(run, predictor, tmp_path):
    options = {"limit": 60, "top": 5, "refine": 20, "predictor": predictor}
    screen(MEDIUM, out=tmp_path, seed=1, **options)
    before = files(tmp_path)
    screen(MEDIUM, out=tmp_path, seed=1, **options)
    assert files(tmp_path) == before
    with pytest.raises(OutputError, match="another run"):
        screen(MEDIUM, out=tmp_path, seed=2, **options)
    assert files(tmp_path) == before
    screen(MEDIUM, out=tmp_path, seed=2, overwrite=True, **options)
    assert json.loads((tmp_path / "run.json").read_text())["config"]["seed"] == 2


def test_own_candidates_are_all_ranked_and_mistakes_listed(tmp_path, predictor):
    listed = tmp_path / "mine.csv"
    listed.write_text(
        "formula,phase\nLi3YCl6,crystal\nLi3YCl5,\nLi6PS5Cl,\nAlCl3,glass\nLi6Y2Cl12,crystal\nLiTaCl6,glass\n"
    )
    out = tmp_path / "out"
    result = screen(candidates=listed, out=out, predictor=predictor)
    ranked = {(r.formula, r.phase) for r in result.candidates.itertuples()}
    assert ranked == {
        ("Li3YCl6", "crystal"),
        ("Li6PS5Cl", "crystal"),
        ("Li6PS5Cl", "glass"),
        ("LiTaCl6", "glass"),
    }
    rejected = pd.read_csv(out / "rejected.csv")
    assert rejected["row"].tolist() == [3, 5, 6]
    assert rejected["value"].tolist() == ["Li3YCl5", "AlCl3", "Li6Y2Cl12"]
    assert json.loads((out / "run.json").read_text())["config"]["cost_ceiling_usd_kg"] is None
    limited = screen(candidates=listed, out=tmp_path / "two", limit=2, predictor=predictor)
    assert len(limited.candidates) == 2


def test_material_ids_travel_to_the_ranking_and_its_report(tmp_path, predictor):
    listed = tmp_path / "mine.csv"
    listed.write_text(
        "formula,mp_id,phase\nLi6PS5Cl,mp-985592,\nLi6Y2Cl12,mp-676109,crystal\nLiTaCl6,,glass\n"
    )
    result = screen(candidates=listed, out=tmp_path / "out", predictor=predictor)
    written = pd.read_csv(tmp_path / "out" / "candidates.csv", keep_default_na=False)
    assert written.columns[-1] == result.candidates.columns[-1] == "mp_id"
    assert {(r.formula, r.phase): r.mp_id for r in written.itertuples()} == {
        ("Li6PS5Cl", "crystal"): "mp-985592",
        ("Li6PS5Cl", "glass"): "",
        ("Li3YCl6", "crystal"): "mp-676109",
        ("LiTaCl6", "glass"): "",
    }
    assert "mp-985592" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_no_usable_row_is_an_error_with_its_reasons_written(tmp_path, predictor):
    listed = tmp_path / "mine.csv"
    listed.write_text("formula\nAlCl3\nLi3YCl5\n")
    with pytest.raises(InputError, match="none of the rows"):
        screen(candidates=listed, out=tmp_path / "out", predictor=predictor)
    assert len(pd.read_csv(tmp_path / "out" / "rejected.csv")) == 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"


def test_nothing_affordable_gives_an_empty_table(tmp_path, predictor):
    targets = make_targets({"target": [{"column": "cost_usd_kg", "comparison": "<=", "value": 1e-6}]})
    result = screen(MEDIUM, out=tmp_path, limit=200, targets=targets, predictor=predictor)
    assert len(result.candidates) == 0
    assert (tmp_path / "candidates.csv").read_text() == ",".join(CANDIDATE_COLUMNS) + "\n"
    assert result.funnel[-1].left == 0
    assert all(r.entered == r.left + r.removed for r in result.funnel)


def test_mistakes_are_found_before_the_work(tmp_path, predictor):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file"):
        screen(out=tmp_path / "file", predictor=predictor)
    with pytest.raises(SpaceError, match="cannot be read"):
        screen(space=tmp_path / "none.toml", out=tmp_path / "out", predictor=predictor)
    with pytest.raises(TargetError, match="cannot be read"):
        screen(targets=tmp_path / "none.toml", out=tmp_path / "out", predictor=predictor)
    with pytest.raises(InputError, match="one of them"):
        screen(space="default", candidates="x.csv", out=tmp_path / "out", predictor=predictor)
    assert list((tmp_path / "out").iterdir()) == []
    for name in ("top", "refine", "limit"):
        with pytest.raises(InputError, match=f"{name} is 0; give a number"):
            screen(out=tmp_path / "counts", predictor=predictor, **{name: 0})


def test_an_unexpected_error_is_recorded_and_raised(tmp_path, predictor):
    class Broken:
        known_elements = predictor.known_elements
        weights_sha256 = "0" * 64

        def predict(self, compositions, phase):
            raise RuntimeError("the network fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        screen(MEDIUM, out=tmp_path, limit=200, predictor=Broken())
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "failed"
    assert "fell over" in record["error"]
    assert not (tmp_path / "candidates.csv").exists()


def test_nothing_asks_the_network(tmp_path, predictor, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(screen(MEDIUM, out=tmp_path, limit=200, top=5, predictor=predictor).candidates) == 5


def some(formulas: list[str]) -> Candidates:
    n = len(formulas)
    return Candidates(np.arange(n), Compositions.from_formulas(formulas), np.zeros(n, np.uint8))


def test_filter_names_its_reasons():
    known = np.ones(104, dtype=bool)
    known[symbols().index("Ta")] = False
    formulas = ["LiAlCl4", "LiTaCl6", "Li3ScCl6", "LiNO3"]
    left, cost, removed = filter_tier(some(formulas), known, 20.0)
    assert left.compositions.formulas() == ["LiAlCl4"]
    assert len(cost.usd_kg) == 1
    assert removed["element outside the model"] == 1
    assert removed["precursors above 20 USD/kg"] == 1
    assert sum(removed.values()) == 3
    everything, cost, removed = filter_tier(some(formulas), np.ones(104, dtype=bool), None)
    assert len(everything) == len(cost.usd_kg) == 4
    assert not removed


def test_cost_ceiling_follows_the_targets():
    def ceiling(*targets):
        return cost_ceiling(
            make_targets({"target": [{"column": c, "comparison": o, "value": v} for c, o, v in targets]})
        )

    assert cost_ceiling(load_targets()) == 250.0
    assert ceiling(("oxidation_v", ">=", 4.0)) is None
    assert ceiling(("cost_usd_kg", "<=", 10.0), ("cost_usd_l", "<", 100.0)) == 50.0
    assert ceiling(("cost_usd_l", ">", 5.0)) is None
    # 50 um: 0.05 L/m2, so 2 USD/m2 are 40 USD/L.
    assert ceiling(("cost_usd_m2", "<=", 2.0)) == pytest.approx(200.0)


def test_network_scores_do_not_depend_on_the_neighbours(predictor):
    chosen = some(["LiAlCl4", "Li3YCl6", "Li2.8Zr0.75Al0.25Cl3.75O1.4", "NaTaCl6"])
    kept, cost, _ = filter_tier(chosen, predictor.known_elements, None)
    together, medians = network_tier(kept, cost, predictor, load_targets())
    assert medians.shape == (4, 4)
    for row in range(4):
        one, price, _ = filter_tier(chosen.take(slice(row, row + 1)), predictor.known_elements, None)
        alone, _ = network_tier(one, price, predictor, load_targets())
        assert alone[0] == pytest.approx(together[row], rel=1e-4)


def test_refined_rows_show_the_windows_of_the_hull(predictor):
    formulas = ["Li3InCl6", "LiAlCl4", "NaTaCl6", "Li3YCl6", "Li6PS5Cl"]
    chosen = some(formulas)
    table = result_table(
        evaluate(chosen.compositions, chosen.phase, predictor, default_hull()), load_targets()
    )
    assert table["hull_basis"].tolist() == ["known", "known", "known", "predicted", "known"]
    shipped = load_table("windows_computed").set_index("formula")
    for row in table[table["hull_basis"] == "known"].itertuples():
        if row.formula in shipped.index:
            assert row.oxidation_v == pytest.approx(shipped.loc[row.formula, "oxidation_v"], abs=2e-3)
            assert row.reduction_v == pytest.approx(shipped.loc[row.formula, "reduction_v"], abs=2e-3)
    first = table.iloc[0]
    assert first["decomposition_products"] == "LiCl + InCl3"
    assert first["oxidation_products"] == "InCl3 + Cl2"
    assert first["reduction_products"].startswith("LiCl + In")
    assert (table["p_within_50_mev"].between(0, 1)).all()
    # Networks alone would say something else, with an interval of their own.
    network = predictor.predict(chosen.compositions, chosen.phase)["oxidation_v"].median()
    assert not np.allclose(network, table["oxidation_v"], atol=0.02)


def test_rows_without_a_hull_keep_the_window_of_the_network(predictor):
    chosen = some(["LiAlCl4"])
    nothing = HullStore(Compositions.from_formulas(["NaF"]), np.array([-2.9]))
    evaluation = evaluate(chosen.compositions, chosen.phase, predictor, nothing)
    row = result_table(evaluation, load_targets()).iloc[0]
    assert row["hull_basis"] == "none"
    network = predictor.predict(chosen.compositions, chosen.phase)["oxidation_v"].median()[0]
    assert row["oxidation_v"] == pytest.approx(network)
    assert np.isnan(row["e_above_hull_ev_atom"])
    assert "no hull: no compound of Li, Al, Cl in the entries" in row["flags"]
    assert row["p_all_targets"] == 0


def test_rows_of_a_tier_and_settled_ranks():
    assert tier_rows("filter", 10, {"b": 2, "a": 2, "c": 5, "none": 0}) == [
        FunnelRow("filter", 10, 5, 5, "c"),
        FunnelRow("filter", 5, 3, 2, "a"),
        FunnelRow("filter", 3, 1, 2, "b"),
    ]
    assert tier_rows("hull", 7, {}) == [FunnelRow("hull", 7, 7, 0)]
    assert funnel_frame(tier_rows("hull", 7, {})).iloc[0].tolist() == ["hull", 7, 7, 0, ""]
    assert settled_ranks(np.array([0.9, 0.5, 0.2]), 0.4) == 2
    assert settled_ranks(np.array([0.9, 0.5, 0.2]), -np.inf) == 3
    assert settled_ranks(np.array([]), 0.1) == 0


def test_a_student_finds_what_the_exhaustive_screening_finds(tmp_path, predictor, monkeypatch):
    from softlyte.screening import shortlist

    for name, value in (("SMALLEST_SPACE", 100), ("SAMPLE_ROWS", 1_500), ("ROUND_ROWS", 200)):
        monkeypatch.setattr(shortlist, name, value)
    common = {"limit": 6_000, "refine": 50, "top": 20, "seed": 1, "predictor": predictor}
    steps: list[tuple[str, int, int]] = []
    short = screen(out=tmp_path / "a", progress=lambda *step: steps.append(step), **common)
    full = screen(out=tmp_path / "b", exhaustive=True, **common)
    assert short.candidates["formula"].tolist() == full.candidates["formula"].tolist()
    np.testing.assert_allclose(short.candidates["p_all_targets"], full.candidates["p_all_targets"], rtol=1e-4)
    rows = short.funnel
    assert all(a.left == b.entered for a, b in pairwise(rows))
    (behind,) = [r for r in rows if r.tier == "student"]
    assert 0 < behind.removed < behind.entered
    assert full.recall is None
    assert short.recall.chosen == short.recall.best > 0
    assert short.recall.evaluated == behind.left
    counts = json.loads((short.folder / "run.json").read_text())["counts"]
    assert counts["audit_best"] == short.recall.best
    for tier in ("sample", "student", "network", "hull"):
        done = [(done, total) for name, done, total in steps if name == tier]
        assert done[-1][0] == done[-1][1] > 0, tier
    again = screen(out=tmp_path / "c", **common)
    assert files(short.folder) == files(again.folder)
