"""Benchmark harness: networks of the protocols, kept baselines, tables of results."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import experiment as experiment_file
from benchmarks.baselines import (
    BOOSTING,
    CONSTANT,
    NEAREST,
    TREES,
    Baselines,
    Plan,
    Task,
    constant_guess,
    label_column,
    score_task,
)
from benchmarks.experiment import Experiment, Machine, NetworkPlan, OutOfTimeError, joined_units, predict
from benchmarks.protocols import SIGMA, Split, of_table
from benchmarks.runner import NETWORK, PLAIN, Protocol, comparison, network_column, run_networks
from softlyte.datasets.formulas import Compositions
from softlyte.models.checkpoint import load_checkpoint
from softlyte.models.config import TrainingConfig
from softlyte.models.predictor import Predictor
from softlyte.models.tasks import TARGET_NAMES, TASKS
from softlyte.models.training_data import Standardisation, TrainingRows, load_training_rows

TABLES = ("elastic_moduli", "conductivity_obelix", "mechanics_cited", "conductivity_cited")
TINY = TrainingConfig.model_validate(
    {
        "network": {"width": 16, "layers": 1, "heads": 2, "head_width": 8, "trunk_layers": 1},
        "training": {
            "batch_size": 256,
            "stages": [
                {"name": "pretrain", "epochs": 2, "learning_rate": 2e-3, "passes": {"elastic_moduli": 0.1}},
                {"name": "joint", "epochs": 4, "learning_rate": 1e-3},
                {"name": "refit", "epochs": 1, "learning_rate": 3e-4, "rows": "all"},
            ],
        },
        "ensemble": {"members": 4, "processes": 1},
        "data": {"tables": TABLES, "folds": 2},
    }
)
PLAN = NetworkPlan(
    passes={"conductivity_obelix": 1.0}, plain_passes={"conductivity_obelix": 1.0}, epochs=1, plain_epochs=1
)
TASK = Task("sigma", SIGMA, ("conductivity_obelix",))


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    return load_training_rows(TABLES, 0, 2)


@pytest.fixture
def split(rows: TrainingRows) -> Split:
    held_out = of_table(rows, "conductivity_obelix") & (rows.fold == 0)
    return Split("half", ~held_out, rows.take(held_out), {})


@pytest.fixture(autouse=True)
def _pretraining_of_moduli(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shared pretraining of these tests see moduli: the tables that it sees otherwise are large."""
    monkeypatch.setattr(experiment_file, "shared_pretraining", lambda rows: of_table(rows, "elastic_moduli"))


def test_networks_of_a_split_are_kept_and_belong_to_their_settings(
    rows: TrainingRows, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean, sd = Experiment(TINY, rows, tmp_path).predictions("try", [split], PLAN, 0)
    assert mean.shape == sd.shape == (len(split.test), len(TASKS))
    assert np.isfinite(mean).all()
    assert (sd > 0).all()
    assert len(list(tmp_path.glob("pretraining_0-*"))) == 1

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    with monkeypatch.context() as patched:
        patched.setattr(experiment_file, "fit_network", forbidden)
        again, _ = Experiment(TINY, rows, tmp_path).predictions("try", [split], PLAN, 0)
        assert (again == mean).all()
        longer = replace(PLAN, epochs=2)
        with pytest.raises(AssertionError, match="fitted again"):
            Experiment(TINY, rows, tmp_path).predictions("try", [split], longer, 0)
        relabelled = replace(rows, targets=rows.targets + 1.0)
        with pytest.raises(AssertionError, match="fitted again"):
            Experiment(TINY, relabelled, tmp_path).predictions("try", [split], PLAN, 0)


def test_a_fit_is_the_work_of_one_process_at_a_time(
    rows: TrainingRows, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(
        _config: object, _rows: object, _used: object, folder: Path, *_: object, **__: object
    ) -> None:
        with (folder / "lock").open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment_file, "fit_network", watched)
    with pytest.raises(KeyboardInterrupt):
        Experiment(TINY, rows, tmp_path).predictions("try", [split], PLAN, 0)
    with (seen[0] / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back


def test_a_run_without_time_left_says_so_and_goes_on_later(
    rows: TrainingRows, split: Split, tmp_path: Path
) -> None:
    with pytest.raises(OutOfTimeError, match="run the same command again"):
        Experiment(TINY, rows, tmp_path, Machine(max_hours=1e-9)).predictions("try", [split], PLAN, 0)
    mean, _ = Experiment(TINY, rows, tmp_path).predictions("try", [split], PLAN, 0)
    assert len(mean) == len(split.test)


def test_stages_of_transfer_plain_and_whole_fits(rows: TrainingRows, tmp_path: Path) -> None:
    experiment = Experiment(TINY, rows, tmp_path, pretrain_epochs=7)
    assert [(s.name, s.epochs) for s in experiment.pretraining_stages()] == [("pretrain", 7)]
    (own,) = experiment.own_stages(PLAN, plain=False)
    assert (own.epochs, own.learning_rate, own.passes) == (1, 1e-3, {"conductivity_obelix": 1.0})
    (plain,) = experiment.own_stages(PLAN, plain=True)
    assert (plain.learning_rate, plain.rows) == (2e-3, "train")
    whole = experiment.own_stages(NetworkPlan(transfer=False, stage_share=0.5), plain=False)
    assert [(s.name, s.epochs) for s in whole] == [("pretrain", 1), ("joint", 2)]


def test_a_head_without_pretraining_gets_the_units_of_the_split() -> None:
    ones = np.ones(3)
    both = joined_units(
        Standardisation(np.array([0.0, 5.0, 0.0]), np.array([1.0, 2.0, 3.0])),
        Standardisation(9 * ones, 4 * ones),
    )
    assert both.mean.tolist() == [9.0, 5.0, 0.0]
    assert both.sd.tolist() == [4.0, 2.0, 3.0]


def test_predictions_are_those_of_the_predictor(rows: TrainingRows, tiny_weights: Path) -> None:
    checkpoint = load_checkpoint(tiny_weights)
    some = rows.take(np.r_[0:20, len(rows) - 20 : len(rows)])
    expected, expected_sd = Predictor(checkpoint).raw(
        some.compositions, some.phase, some.fidelity, some.temperature_c
    )
    config = TINY.model_copy(update={"network": TINY.network.model_validate(checkpoint.card["network"])})
    stated = checkpoint.card["standardisation"]
    standard = Standardisation(np.array([*stated["mean"], 0.0]), np.array([*stated["sd"], 1.0]))
    for number, state in enumerate(checkpoint.members):
        mean, sd = predict(config, state, standard, some, batch_size=7)
        np.testing.assert_allclose(mean, expected[number], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(sd, expected_sd[number], rtol=1e-4)


def test_a_protocol_writes_scores_of_seeds_and_ensemble(
    rows: TrainingRows, split: Split, tmp_path: Path
) -> None:
    protocol = Protocol(
        "try", lambda _: [split], (TASK,), lambda tests, _: {"all": np.ones(len(tests), bool)}, PLAN
    )
    out = run_networks(protocol, Experiment(TINY, rows, tmp_path / "run"), 2, plain=True, folder=tmp_path)
    assert json.loads((tmp_path / "network_try.json").read_text()) == out
    with np.load(tmp_path / "run" / "try" / "predictions.npz") as kept:
        mean = kept["mean"]
    assert mean.shape == (2, len(split.test), len(TASKS))
    column = TARGET_NAMES.index(SIGMA)
    exact = ~split.test.censored
    error = np.abs(mean.mean(axis=0)[exact, column] - split.test.targets[exact, column]).mean()
    scores = out["tasks"]["sigma"]
    assert scores[NETWORK]["ensemble"]["all"] == {
        "rows": int(exact.sum()),
        "mae": pytest.approx(error),
        "spearman": pytest.approx(scores[NETWORK]["ensemble"]["all"]["spearman"]),
    }
    assert len(scores[PLAIN]["seeds"]) == 2


def test_youngs_modulus_of_a_network_follows_from_its_moduli() -> None:
    mean = np.zeros((1, len(TASKS)))
    mean[0, :2] = [2.0, np.log10(50.0)]  # K 100 GPa, G 50 GPa: E = 9KG/(3K+G) = 45000/350
    value = network_column(mean, Task("E", "youngs_modulus_gpa"))[0]
    assert value == pytest.approx(np.log10(45000 / 350))


def test_baselines_are_kept_until_their_rows_change(
    rows: TrainingRows, split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = {"all": np.ones(len(split.test), bool)}

    def run(of: TrainingRows, splits: Split) -> dict[str, float]:
        kept = Baselines("try", of, tmp_path)
        plan = Plan(seeds=2, tree_seeds=1, trees=5)
        out = {
            model: kept.scores(TASK, [splits], splits.test, subsets, model, plan)
            for model in (CONSTANT, NEAREST, TREES, BOOSTING)
        }
        assert [len(seeds) for seeds in out.values()] == [1, 1, 1, 2]
        return {model: seeds[0]["all"]["mae"] for model, seeds in out.items()}

    first = run(rows, split)
    assert first[TREES] < first[CONSTANT]
    assert capsys.readouterr().out.count("seed") == 5
    assert run(rows, split) == first
    assert capsys.readouterr().out == ""
    doubled = replace(rows, targets=2 * rows.targets)
    assert run(doubled, replace(split, test=replace(split.test, targets=2 * split.test.targets))) != first
    assert capsys.readouterr().out.count("seed") == 5


def test_the_constant_is_the_mean_of_the_same_table_and_phase(rows: TrainingRows) -> None:
    some = rows.take(np.arange(6))
    train = replace(some, phase=np.array([0, 0, 0, 1, 1, 0]), source=np.array([0, 0, 1, 1, 1, 0]))
    labels = np.array([1.0, 3.0, 10.0, 20.0, 40.0, 2.0])
    test = replace(some, phase=np.array([0, 0, 1, 1, 0, 0]), source=np.array([0, 1, 1, 2, 2, 0]))
    # Table 2 is not in the training rows: the mean of the phase stands in.
    assert constant_guess(train, labels, test).tolist() == [2.0, 10.0, 30.0, 30.0, 4.0, 2.0]


def test_upper_bounds_count_as_the_task_says(rows: TrainingRows) -> None:
    targets = np.full((2, len(TARGET_NAMES)), np.nan)
    targets[:, TARGET_NAMES.index(SIGMA)] = [-10.0, -4.0]
    two = replace(
        rows.take(np.arange(2)),
        compositions=Compositions.from_formulas(["Li3YCl6", "Li2O"]),
        targets=targets,
        censored=np.array([True, False]),
    )
    guess, every = np.array([-12.0, -3.0]), {"all": np.ones(2, bool)}
    maes = {
        kind: score_task(guess, two, Task("s", SIGMA, censored=kind), every)["all"]["mae"]  # type: ignore[arg-type]
        for kind in ("left out", "bound", "value")
    }
    assert maes == {"left out": 1.0, "bound": 0.5, "value": 2.0}  # "value" is OBELiX's -15
    learned = label_column(two, Task("s", SIGMA, censored="value"), for_test=False)
    assert learned.tolist() == [-15.0, -4.0]


def test_table_of_results_has_a_line_for_each_subset_and_a_column_for_each_model() -> None:
    def of(mae: float) -> dict[str, dict[str, float]]:
        return {"all": {"rows": 1234, "mae": mae, "spearman": 0.5}, "few": {"rows": 3, "mae": mae}}

    baselines = {"sigma": {m: [of(1.0), of(3.0)] for m in (CONSTANT, NEAREST, TREES, BOOSTING)}}
    networks = {
        "sigma": {
            NETWORK: {"seeds": [of(0.5)], "ensemble": of(0.25)},
            PLAIN: {"seeds": [of(0.75)], "ensemble": of(0.7)},
        }
    }
    lines = comparison(baselines, networks, fewest=10).splitlines()
    assert len(lines) == 3
    assert lines[2].count("2.000 ± 1.000") == 4
    assert "1,234" in lines[2]
    assert "**0.250** | 0.50 |" in lines[2]
    assert "plain network" in lines[0]
    assert len(comparison(baselines, {}).splitlines()) == 4
