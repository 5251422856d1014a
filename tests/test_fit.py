"""One network through its stages: early stopping, time limit, exact resume, two processes, bad stages."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from softlyte.models import module as module_file
from softlyte.models.batches import LabelledRows, StageData
from softlyte.models.callbacks import FinishedStage, RankError
from softlyte.models.checkpoint import CheckpointError
from softlyte.models.config import StageConfig, TrainingConfig
from softlyte.models.fit import FINISHED, FitOutcome, _stage_seed, fit_network
from softlyte.models.loss import MultiTaskLoss
from softlyte.models.network import CompositionNetwork
from softlyte.models.tasks import TARGET_NAMES
from softlyte.models.training_data import Standardisation, TrainingDataError, load_training_rows

ROWS = load_training_rows(("mechanics_cited", "conductivity_cited"))
EVERY = np.ones(len(ROWS), bool)


def config_of(**training: object) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "network": {"width": 16, "layers": 1, "heads": 2, "head_width": 8, "element_dropout": 0.0},
            "training": {"batch_size": 32, **training},
        }
    )


def stage_of(epochs: int, name: str = "joint", rate: float = 5e-3, **more: object) -> StageConfig:
    return StageConfig.model_validate({"name": name, "epochs": epochs, "learning_rate": rate, **more})


def same(first: FitOutcome, second: FitOutcome) -> bool:
    assert first.state is not None
    assert second.state is not None
    return all(torch.equal(value, second.state[key]) for key, value in first.state.items())


def epochs_logged(folder: Path) -> int:
    lines = (folder / "log" / "version_0" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("train_loss")
    return sum(1 for line in lines[1:] if line.split(",")[column])


def test_a_table_with_few_targets_trains_alone(tmp_path: Path) -> None:
    stages = [stage_of(2), stage_of(1, "refit", rows="all")]
    outcome = fit_network(config_of(), ROWS, ROWS.fold != 0, tmp_path, 0, stages=stages)
    assert outcome.state is not None
    assert all(torch.isfinite(value).all() for value in outcome.state.values())
    window = TARGET_NAMES.index("oxidation_v")
    assert (outcome.standard.mean[window], outcome.standard.sd[window]) == (0.0, 1.0)


def test_stages_start_from_the_weights_of_the_one_before(tmp_path: Path) -> None:
    first, second = stage_of(1), stage_of(1, "fine")
    both = fit_network(config_of(), ROWS, EVERY, tmp_path / "a", 0, stages=[first, second])
    one = fit_network(config_of(), ROWS, EVERY, tmp_path / "b", 0, stages=[first])
    then = fit_network(config_of(), ROWS, EVERY, tmp_path / "c", 0, stages=[second], start=one.state)
    assert same(both, then)
    assert not same(one, then)


def test_held_out_rows_and_tables_that_are_not_named_teach_nothing(tmp_path: Path) -> None:
    only = stage_of(1, passes={"mechanics_cited": 1.0})
    used = ROWS.fold != 0
    changed = ROWS.targets.copy()
    blind = ~used | (ROWS.source == ROWS.sources.index("conductivity_cited"))
    changed[blind] += 3.0
    other = type(ROWS)(**{**vars(ROWS), "targets": changed})
    standard = Standardisation.fit(ROWS)
    outcomes = [
        fit_network(config_of(), rows, used, tmp_path / name, 0, stages=[only], standard=standard)
        for name, rows in (("a", ROWS), ("b", other))
    ]
    assert same(*outcomes)


def test_mixed_precision_learns_nearly_the_same(tmp_path: Path) -> None:
    # On CUDA this is what `softlyte train` runs; fit_network runs bfloat16 on the CPU too.
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        folder = tmp_path / precision
        outcome = fit_network(config_of(precision=precision), ROWS, EVERY, folder, 0, stages=[stage_of(6)])
        assert outcome.state is not None
        assert all(value.dtype != torch.bfloat16 for value in outcome.state.values())
        assert all(torch.isfinite(value).all() for value in outcome.state.values())
        lines = (folder / "joint" / "log" / "version_0" / "metrics.csv").read_text().splitlines()
        column = lines[0].split(",").index("train_loss")
        losses[precision] = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    full, mixed = losses["32-true"], losses["bf16-mixed"]
    assert full[-1] < 0.9 * full[0]
    assert mixed != full
    np.testing.assert_allclose(mixed, full, rtol=0.05)


def test_early_stopping_ends_the_stage_and_keeps_its_best_epoch(tmp_path: Path) -> None:
    config = config_of(early_stopping_patience=2, validation_share=0.3)
    # A rate far too high: the loss on the validation rows soon rises.
    long = stage_of(40, rate=0.3)
    outcome = fit_network(config, ROWS, EVERY, tmp_path, 0, stages=[long])
    assert outcome.state is not None
    done = epochs_logged(tmp_path / "joint")
    assert 3 <= done < 40
    best = torch.load(tmp_path / "joint" / "best.ckpt", weights_only=True)
    assert best["epoch"] == done - 3  # the best epoch, then two without gain
    for key, value in outcome.state.items():
        assert torch.equal(value, best["state_dict"][f"network.{key}"]), key


def test_a_killed_fit_with_early_stopping_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(early_stopping_patience=2, validation_share=0.3)
    long = stage_of(40, rate=0.3)
    whole = fit_network(config, ROWS, EVERY, tmp_path / "whole", 0, stages=[long])
    original = module_file.CompositionModule.training_step

    def dies(self: module_file.CompositionModule, batch: object, index: int) -> torch.Tensor:
        if self.current_epoch == 2 and index == 1:
            raise RuntimeError("killed")
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module_file.CompositionModule, "training_step", dies)
    with pytest.raises(RuntimeError, match="killed"):
        fit_network(config, ROWS, EVERY, tmp_path / "killed", 0, stages=[long])
    monkeypatch.undo()
    assert same(whole, fit_network(config, ROWS, EVERY, tmp_path / "killed", 0, stages=[long]))


def test_killed_between_the_early_stop_and_its_weights(tmp_path: Path) -> None:
    config = config_of(early_stopping_patience=1, validation_share=0.3)
    long = stage_of(40, rate=0.3)
    whole = fit_network(config, ROWS, EVERY, tmp_path, 0, stages=[long])
    (tmp_path / "joint" / FINISHED).unlink()
    assert same(whole, fit_network(config, ROWS, EVERY, tmp_path, 0, stages=[long]))


def test_the_time_limit_stops_after_an_epoch_and_the_next_call_goes_on_exactly(tmp_path: Path) -> None:
    whole = fit_network(config_of(), ROWS, EVERY, tmp_path / "whole", 3, stages=[stage_of(3)])
    outcome = fit_network(config_of(), ROWS, EVERY, tmp_path / "a", 3, stages=[stage_of(3)], max_hours=1e-6)
    assert outcome.state is None
    assert not (tmp_path / "a" / "joint" / FINISHED).exists()
    assert epochs_logged(tmp_path / "a" / "joint") == 1
    none = fit_network(config_of(), ROWS, EVERY, tmp_path / "b", 3, stages=[stage_of(3)], max_hours=0.0)
    assert none.state is None
    assert same(whole, fit_network(config_of(), ROWS, EVERY, tmp_path / "a", 3, stages=[stage_of(3)]))


@pytest.mark.slow
def test_two_processes_do_what_averaged_gradients_of_two_shares_do(tmp_path: Path) -> None:
    config, stage, seed = config_of(), stage_of(2), 5
    outcome = fit_network(config, ROWS, EVERY, tmp_path, seed, stages=[stage], devices=2)
    assert outcome.state is not None

    standard = outcome.standard
    dataset = LabelledRows(ROWS, standard)
    everything = np.arange(len(ROWS))
    data = StageData(dataset, everything, np.ones(len(ROWS)), everything[:0], 32, _stage_seed(seed, stage))
    torch.manual_seed(seed)
    network = CompositionNetwork(config.network)
    loss = MultiTaskLoss(
        torch.from_numpy(standard.mean), torch.from_numpy(standard.sd), torch.ones(len(TARGET_NAMES))
    )
    module = module_file.CompositionModule(
        network, loss, config.training, stage.learning_rate, stage.epochs * data.steps(2), data.seed
    )
    chosen = module.configure_optimizers()
    optimiser, schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]  # type: ignore[index]
    samplers = [data.sampler(rank, 2) for rank in (0, 1)]
    for epoch in range(stage.epochs):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        for shares in zip(*samplers, strict=True):
            optimiser.zero_grad()
            batches = [dataset[share] for share in shares]
            losses = [loss(network(b.graphs), b.targets, b.censored, b.weight) for b in batches]
            (sum(losses) / 2).backward()  # type: ignore[union-attr]
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.training.gradient_clip)
            optimiser.step()
            schedule.step()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(outcome.state[key], value, rtol=1e-3, atol=1e-4, msg=key)


def test_processes_that_disagree_are_found(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)

    def trainer(offset: float) -> SimpleNamespace:
        gather = SimpleNamespace(all_gather=lambda own: torch.stack([own, own + offset]))
        return SimpleNamespace(world_size=2, strategy=gather)

    finished = FinishedStage(tmp_path / "joint" / FINISHED)
    finished.on_train_end(trainer(0.0), module)  # type: ignore[arg-type]
    with pytest.raises(RankError, match=r"the 2 processes of .*joint ended with different weights"):
        finished.on_train_end(trainer(1e-9), module)  # type: ignore[arg-type]


def test_a_stage_that_draws_nothing_is_named(tmp_path: Path) -> None:
    empty = stage_of(1, "moduli", passes={"elastic_moduli": 1.0})
    with pytest.raises(TrainingDataError, match="stage moduli draws no row"):
        fit_network(config_of(), ROWS, EVERY, tmp_path, 0, stages=[empty])


def test_early_stopping_needs_validation_rows(tmp_path: Path) -> None:
    config = config_of(early_stopping_patience=1, validation_share=1e-9)
    with pytest.raises(TrainingDataError, match="raise validation_share"):
        fit_network(config, ROWS, EVERY, tmp_path, 0, stages=[stage_of(1)])


def test_starting_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    wide = CompositionNetwork(TrainingConfig().network).state_dict()
    with pytest.raises(CheckpointError, match="starting weights does not fit"):
        fit_network(config_of(), ROWS, EVERY, tmp_path, 0, stages=[stage_of(1)], start=wide)


def test_units_ignore_bounds_and_targets_without_labels() -> None:
    standard = Standardisation.fit(ROWS)
    assert np.isfinite(standard.mean).all()
    assert (standard.sd > 0).all()
    sigma = TARGET_NAMES.index("sigma_s_cm")
    labels = ROWS.targets[~ROWS.censored, sigma]
    assert math.isclose(standard.mean[sigma], np.nanmean(labels))
