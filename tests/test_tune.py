"""Searching configurations: a real small study, resume, workers, database, pruning rule, bad tables."""

import csv
import socket
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from softlyte.models.config import ConfigError, TrainingConfig, load_config
from softlyte.models.network import CompositionNetwork
from softlyte.models.training_data import Standardisation, TrainingDataError, load_training_rows
from softlyte.models.trial_scores import HeldOut, keep_going
from softlyte.models.tune import JOURNAL, TuneError, _judge, tune
from softlyte.models.tuning_config import TuneConfig, check_tuning, load_tuning, with_values

TRAINING = TrainingConfig.model_validate(
    {
        "network": {"width": 8, "layers": 1, "heads": 2, "head_width": 8},
        "training": {
            "batch_size": 64,
            "stages": [
                {"name": "joint", "epochs": 4, "learning_rate": 5e-3},
                {"name": "refit", "epochs": 1, "learning_rate": 1e-3, "rows": "all"},
            ],
        },
        "data": {"tables": ["mechanics_cited", "conductivity_cited"]},
    }
)
SPACE = {
    "network.width": {"choices": [8, 16]},
    "training.stages.0.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "training.batch_size": {"low": 16, "high": 64},
}


def tuning_of(**change: Any) -> TuneConfig:
    return TuneConfig.model_validate({"trials": 8, "targets": ["sigma_s_cm"], "space": SPACE, **change})


def trials_of(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tune")
    tune((TRAINING, tuning_of()), out, device="cpu")
    return out


def test_a_search_leaves_trials_front_and_plots(searched: Path) -> None:
    rows = trials_of(searched)
    assert len(rows) == 8
    done = [row for row in rows if row["state"] == "complete"]
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    assert all(0 < float(row["error"]) < 5 for row in done)
    assert all(0 <= float(row["calibration_error"]) <= 0.95 for row in done)
    assert len({row["training.stages.0.learning_rate"] for row in rows}) == 8
    for name in ("pareto", "history_error", "history_calibration_error", "importance_error"):
        assert "plotly" in (searched / "plots" / f"{name}.html").read_text()
    assert (searched / JOURNAL).is_file()
    # The front: no complete trial beats one of it in both; its files are configurations for training.
    paths = sorted((searched / "front").glob("trial_*.json"))
    assert paths
    values = {int(row["number"]): (float(row["error"]), float(row["calibration_error"])) for row in done}
    for path in paths:
        error, gap = values[int(path.stem.removeprefix("trial_"))]
        assert not any(e < error and g < gap for e, g in values.values())
        row = rows[int(path.stem.removeprefix("trial_"))]
        assert load_config(path).network.width == int(row["network.width"])
        assert load_config(path).training.stages[0].learning_rate == pytest.approx(
            float(row["training.stages.0.learning_rate"])
        )


def test_a_search_goes_on_where_it_was(searched: Path) -> None:
    before = trials_of(searched)
    result = tune((TRAINING, tuning_of()), searched, device="cpu", trials=9)
    after = trials_of(searched)
    assert len(after) == 9
    assert after[:8] == before
    # The sampler does not begin again with what it tried first.
    assert len({row["training.stages.0.learning_rate"] for row in after}) == 9
    assert sum(result.counts.values()) == 9
    assert result.front[0].error == min(t.error for t in result.front)


def test_one_worker_repeats_itself(searched: Path, tmp_path: Path) -> None:
    tune((TRAINING, tuning_of()), tmp_path, device="cpu", trials=2)
    first, second = trials_of(searched)[:2], trials_of(tmp_path)
    for old, new in zip(first, second, strict=True):
        assert {k: v for k, v in old.items() if k != "seconds"} == {
            k: v for k, v in new.items() if k != "seconds"
        }


def test_a_trial_whose_process_died_is_tried_again(tmp_path: Path) -> None:
    tune((TRAINING, tuning_of()), tmp_path, device="cpu", trials=1)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL))
    )
    study = optuna.load_study(study_name="softlyte", storage=storage)
    lost = study.ask()
    lost.suggest_categorical("network.width", (8, 16))
    lost.suggest_float("training.stages.0.learning_rate", 1e-4, 1e-1, log=True)
    lost.suggest_int("training.batch_size", 16, 64)
    lost.set_user_attr("process", f"{socket.gethostname()}:99999999")
    result = tune((TRAINING, tuning_of()), tmp_path, device="cpu", trials=2)
    rows = trials_of(tmp_path)
    assert [row["state"] for row in rows[:2]] == ["complete", "fail"]
    assert result.counts["fail"] == 1
    keys = list(SPACE)
    assert [rows[2][key] for key in keys] == [rows[1][key] for key in keys]


def test_a_trial_whose_process_died_is_no_rival() -> None:
    """It is tried again: counted twice, it would stop others that an undisturbed search goes on with."""
    search = SimpleNamespace(tuning=SimpleNamespace(reduction=2))

    def judged(state: optuna.trial.TrialState | None) -> None:
        study = optuna.create_study(directions=["minimize", "minimize"])
        other = study.ask()
        other.set_user_attr("rung_1", [0.1, 0.01])
        if state is not None:
            study.tell(other, state=state)
        _judge(study, study.ask(), 1, (0.5, 0.1), search)  # type: ignore[arg-type]

    judged(optuna.trial.TrialState.FAIL)
    for state in (None, optuna.trial.TrialState.PRUNED):
        with pytest.raises(optuna.TrialPruned, match="stopped at epoch 1"):
            judged(state)


def test_what_a_killed_process_left_of_a_journal_is_mended(tmp_path: Path) -> None:
    whole = tune((TRAINING, tuning_of()), tmp_path / "whole", device="cpu", trials=2)
    cut = tmp_path / "cut"
    tune((TRAINING, tuning_of()), cut, device="cpu", trials=1)
    with (cut / JOURNAL).open("a") as handle:
        handle.write('{"op_code": 4, "worker_id"')  # half of a line
    (cut / f"{JOURNAL}.lock").symlink_to(cut / JOURNAL)
    again = tune((TRAINING, tuning_of()), cut, device="cpu", trials=2)
    assert not (cut / f"{JOURNAL}.lock").is_symlink()
    assert again.counts == whole.counts
    kept = [{k: v for k, v in row.items() if k != "seconds"} for row in trials_of(cut)]
    assert kept == [{k: v for k, v in row.items() if k != "seconds"} for row in trials_of(tmp_path / "whole")]


@pytest.mark.slow
def test_two_workers_share_a_study_in_a_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    result = tune((TRAINING, tuning_of()), tmp_path / "a", device="cpu", storage=url, trials=4, workers=2)
    assert 4 <= result.counts["complete"] + result.counts.get("pruned", 0) <= 5
    study = optuna.load_study(study_name="softlyte", storage=url)
    assert len({trial.user_attrs["process"] for trial in study.trials}) == 2
    assert not (tmp_path / "a" / JOURNAL).exists()
    # Another folder, another machine: the same study.
    again = tune((TRAINING, tuning_of()), tmp_path / "b", device="cpu", storage=url, trials=4)
    assert again.counts == result.counts
    other = tuning_of(targets=["bulk_modulus_gpa"])
    with pytest.raises(TuneError, match="is of another configuration; give --study"):
        tune((TRAINING, other), tmp_path / "c", device="cpu", storage=url)


def test_no_trial_begins_after_the_time(tmp_path: Path) -> None:
    result = tune((TRAINING, tuning_of()), tmp_path, device="cpu", max_hours=0.0)
    assert (result.front, result.counts) == ([], {})


def test_folder_of_another_search_is_refused(searched: Path) -> None:
    with pytest.raises(ConfigError, match="another configuration"):
        tune((TRAINING, tuning_of(seed=3)), searched, device="cpu")


def test_a_storage_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="the storage nonsense cannot be opened"):
        tune((TRAINING, tuning_of()), tmp_path, device="cpu", storage="nonsense")


def test_values_that_do_not_go_together_end_the_trial_only(tmp_path: Path) -> None:
    space = {"network.width": {"choices": [8, 12]}, "network.heads": {"choices": [2, 8]}}
    tune((TRAINING, tuning_of(space=space, reduction=1, seed=1)), tmp_path, device="cpu", trials=8)
    rows = trials_of(tmp_path)
    for row in rows:
        bad = int(row["network.width"]) % int(row["network.heads"]) != 0
        assert row["state"] == ("pruned" if bad else "complete")
    assert {row["state"] for row in rows} == {"pruned", "complete"}


def test_scores_of_a_network_that_is_right_and_of_one_that_is_not() -> None:
    rows = load_training_rows(("mechanics_cited", "conductivity_cited"))
    standard = Standardisation.fit(rows)
    held_out = HeldOut.of(rows, standard, ["sigma_s_cm"])
    column = held_out.columns[0]

    class Answer(CompositionNetwork):
        offset, log_scale = 0.0, 0.0

        def forward(self, batch: Any) -> Any:
            n = len(batch.element)
            mean = torch.nan_to_num(held_out.data.targets[self.at : self.at + n, :-1]) + self.offset
            self.at += n
            return type("Out", (), {"mean": mean, "log_scale": torch.full_like(mean, self.log_scale)})()

    network = Answer(TRAINING.network)
    for offset, log_scale, error, gap in (
        (0.0, 0.0, 0.0, np.mean([0.5, 0.2, 0.1, 0.05])),  # always covered: 1 - level
        (2.0, -5.0, 2.0, np.mean([0.5, 0.8, 0.9, 0.95])),  # never covered: the level itself
    ):
        network.at, network.offset, network.log_scale = 0, offset, log_scale
        scores = held_out.scores(network, torch.device("cpu"))
        assert scores.error == pytest.approx(error, abs=1e-5)
        assert scores.calibration_error == pytest.approx(gap)
    assert network.training
    known = ~np.isnan(held_out.labels[:, column])
    assert known.sum() == (~np.isnan(rows.targets[:, column]) & ~rows.censored).sum()


def test_held_out_rows_without_labels_are_named() -> None:
    rows = load_training_rows(("mechanics_cited", "conductivity_cited"))
    with pytest.raises(TrainingDataError, match=r"no labels of tune\.targets"):
        HeldOut.of(rows, Standardisation.fit(rows), ["oxidation_v"])


def test_halving_keeps_the_best_and_what_nothing_beats() -> None:
    seen = [(1.0, 0.20), (2.0, 0.10), (3.0, 0.05), (4.0, 0.30), (5.0, 0.40)]
    assert keep_going((0.5, 0.9), seen, 3)  # first of six
    assert keep_going((1.5, 0.9), seen, 3)  # second of six: a third goes on
    assert not keep_going((2.5, 0.2), seen, 3)  # third, and (2.0, 0.10) beats it in both
    assert keep_going((2.5, 0.06), seen, 3)  # third, but nothing beats it in both
    assert keep_going((9.0, 0.01), seen, 3)  # last in error, best calibrated
    assert not keep_going((9.0, 0.06), seen, 3)
    assert keep_going((9.0, 0.9), seen[:1], 3)  # too few to judge
    assert keep_going((9.0, 0.9), seen, 1)


def test_values_are_set_and_checked() -> None:
    changed = with_values(TRAINING, {"training.stages.0.passes.conductivity_cited": 3.0, "network.width": 32})
    assert changed.training.stages[0].passes == {"conductivity_cited": 3.0}
    assert changed.network.width == 32
    assert TRAINING.network.width == 8


TABLES = """
[tune.space]
network.width = { choices = [8, 16] }
training.stages.0.passes.conductivity_cited = { low = 1.0, high = 30.0, log = true }
"data.weights.sigma_s_cm" = { low = 1, high = 3 }
"""


def test_both_ways_of_writing_keys(tmp_path: Path) -> None:
    path = tmp_path / "tune.toml"
    path.write_text(TABLES)
    training, tuning = load_tuning(path)
    assert set(tuning.space) == {
        "network.width",
        "training.stages.0.passes.conductivity_cited",
        "data.weights.sigma_s_cm",
    }
    assert load_config(path) == training  # `softlyte train` reads the same file
    assert tomllib.loads(TABLES)["tune"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1\n", r"has no \[tune\] table"),
        ("[tune]\ntrials = 3\n", "tune: space"),
        ("[tune.space]\nnetwork.width = { choices = [8] }\n", "two choices or more"),
        ("[tune.space]\nnetwork.width = { low = 8 }\n", "low and high"),
        ("[tune.space]\nnetwork.width = { low = 0, high = 8, log = true }\n", "above 0"),
        ("[tune.space]\nnetwork.widht = { low = 8, high = 16 }\n", "network.widht"),
        ("[tune.space]\nnetwork.width = { low = 4, high = 16 }\n", "network.width = 4"),
        (
            "[tune.space]\ntraining.stages.7.epochs = { low = 4, high = 16 }\n",
            "there is no key training.stages.7",
        ),
        ("[tune.space]\nensemble.members = { low = 10, high = 20 }\n", "ensemble.members cannot be searched"),
        (
            "[tune]\nfolds = [5]\n[tune.space]\nnetwork.dropout = { low = 0.0, high = 0.2 }\n",
            "between 0 and 4",
        ),
        (
            "[tune]\nrungs = [40]\n[tune.space]\nnetwork.dropout = { low = 0.0, high = 0.2 }\n",
            "between 1 and 39",
        ),
        (
            '[tune]\ntargets = ["a"]\n[tune.space]\nnetwork.dropout = { low = 0.0, high = 0.2 }\n',
            "no target a",
        ),
    ],
)
def test_bad_tables_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_tuning(path)


def test_the_search_of_the_example_is_valid() -> None:
    training, tuning = load_tuning(Path(__file__).parent.parent / "examples" / "tune_small.toml")
    check_tuning(training, tuning)
    assert tuning.workers == 2
