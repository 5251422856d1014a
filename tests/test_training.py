"""Training: configuration errors, sampling, splits without leaks, exact resume, a usable checkpoint."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from softlyte.datasets.formulas import Compositions, chemical_systems
from softlyte.datasets.tables import load_table
from softlyte.models import module as module_file
from softlyte.models.batches import EpochSampler
from softlyte.models.checkpoint import load_checkpoint, load_state
from softlyte.models.config import DEFAULT_CONFIG, ConfigError, TrainingConfig, load_config
from softlyte.models.members import EVALUATED, SHIPPED
from softlyte.models.predictor import DeviceError, Predictor, choose_device
from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES
from softlyte.models.train import train
from softlyte.models.training_data import (
    DEFAULT_TABLES,
    TrainingDataError,
    evidence_weight,
    load_training_rows,
)

ROOT = Path(__file__).parent.parent
FEW = dict.fromkeys(DEFAULT_TABLES, 0.02)
TINY = TrainingConfig.model_validate(
    {
        "network": {"width": 16, "layers": 1, "heads": 2, "head_width": 8, "trunk_layers": 1},
        "training": {
            "batch_size": 256,
            "stages": [
                {"name": "joint", "epochs": 2, "learning_rate": 2e-3, "passes": FEW},
                {"name": "refit", "epochs": 1, "learning_rate": 3e-4, "rows": "all", "passes": FEW},
            ],
        },
        "ensemble": {"members": 4, "processes": 1},
        "data": {"folds": 2},
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train")
    train(TINY, out, device="cpu", progress=False)
    return out


def test_run_folder_is_complete_and_the_checkpoint_predicts(run: Path) -> None:
    assert (run / "config.json").is_file()
    assert (run / "metrics.json").is_file()
    for stage in ("joint", "refit"):
        log = run / "member_0" / stage / "log" / "version_0"
        assert "train_loss" in (log / "metrics.csv").read_text()
        assert list(log.glob("events.out.tfevents.*"))
    predictor = Predictor.load(run / "checkpoint", device="cpu")
    compositions = Compositions.from_formulas(["Li3YCl6", "LiAlCl2.5O0.75"])
    out = predictor.predict(compositions, np.array([0, 1]))
    assert set(out.properties) == {*TASK_NAMES, "youngs_modulus_gpa"}
    for prediction in out.properties.values():
        low, high = prediction.interval()
        assert (low < prediction.median()).all()
        assert (prediction.median() < high).all()
    assert ((out.applicability >= 0) & (out.applicability <= 1)).all()


def test_card_states_data_folds_and_metrics(run: Path) -> None:
    card = load_checkpoint(run / "checkpoint").card
    assert set(card["tables_sha256"]) == set(DEFAULT_TABLES)
    assert all(len(checksum) == 64 for checksum in card["tables_sha256"].values())
    assert sum(card["rows"]["by_fold"]) == card["rows"]["all"] > 100_000
    assert card["test_metrics"]["bulk_modulus_gpa"]["crystal"]["rows"] > 5000
    assert card["config"]["training"]["stages"][0]["epochs"] == 2


def test_out_of_fold_predictions_are_of_members_that_have_not_seen_the_row(run: Path) -> None:
    rows = load_training_rows(DEFAULT_TABLES, 0, 2)
    with np.load(run / "out_of_fold.npz") as stored:
        mean, sd, fold = stored["mean"], stored["sd"], stored["fold"]
    assert mean.shape == sd.shape == (2, len(rows), len(TASK_NAMES))
    assert mean.dtype == sd.dtype == np.float32
    assert (fold == rows.fold).all()
    predictor = Predictor.load(run / "evaluated", device="cpu")
    some = np.concatenate([np.flatnonzero(rows.fold == k)[:5] for k in (0, 1)])
    raw = predictor.raw(
        rows.compositions[some], rows.phase[some], rows.fidelity[some], rows.temperature_c[some]
    )
    for place, row in enumerate(some):
        # Members 0 and 2 hold fold 0 out, members 1 and 3 fold 1. Checkpoints keep half precision.
        own = raw[0][[rows.fold[row], rows.fold[row] + 2], place]
        others = raw[0][[1 - rows.fold[row], 3 - rows.fold[row]], place]
        gap = np.abs(mean[:, row] - own).max(axis=0) / predictor.sd
        assert (gap < 0.01).all()
        assert np.abs(mean[:, row] - others).max() > 0.01


def test_batches_give_what_single_rows_give(run: Path) -> None:
    predictor = Predictor.load(run / "checkpoint", device="cpu")
    compositions = Compositions.from_formulas(["LiCl", "Li7La3Zr2O12", "NaAlCl4", "Li6PS5Cl"])
    whole = predictor.predict(compositions, 0, batch_size=3)
    for row in range(len(compositions)):
        alone = predictor.predict(compositions[row : row + 1], 0)
        for name, prediction in whole.properties.items():
            np.testing.assert_allclose(prediction.mean()[row], alone[name].mean()[0], rtol=1e-4, atol=1e-5)


def test_unseen_element_has_no_applicability(run: Path) -> None:
    predictor = Predictor.load(run / "checkpoint", device="cpu")
    predictor.known_elements = predictor.known_elements.copy()
    predictor.known_elements[39] = False  # as if yttrium had never been seen
    out = predictor.predict(Compositions.from_formulas(["Li3YCl6", "Li3InCl6"]), 0)
    assert out.unknown_elements.tolist() == [True, False]
    assert out.applicability[0] == 0.0


def test_a_killed_run_resumes_to_the_same_weights(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"n": 0}
    original = module_file.CompositionModule.training_step

    def dies(self: module_file.CompositionModule, batch: object, index: int) -> torch.Tensor:
        calls["n"] += 1
        if self.current_epoch == 1 and index == 3:
            raise KeyboardInterrupt  # what Lightning makes of SIGINT
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module_file.CompositionModule, "training_step", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(TINY, tmp_path, device="cpu", progress=False)
    assert not (tmp_path / "member_0" / EVALUATED).exists()
    assert (tmp_path / "member_0" / "joint" / "last.ckpt").exists()
    monkeypatch.undo()
    train(TINY, tmp_path, device="cpu", progress=False)
    assert calls["n"] > 3
    for name in (EVALUATED, SHIPPED):
        first, second = load_state(run / "member_0" / name), load_state(tmp_path / "member_0" / name)
        for key, value in first.items():
            assert torch.equal(value, second[key]), key


def test_neighbours_stand_in_for_the_fold_that_a_member_has_not_seen(tmp_path: Path) -> None:
    raw = TINY.model_dump()
    raw["ensemble"]["neighbours"] = True
    with pytest.raises(ValueError, match=r"drop the stages with rows = .all. \(refit\)"):
        TrainingConfig.model_validate(raw)
    raw["training"]["stages"] = raw["training"]["stages"][:1]
    train(TrainingConfig.model_validate(raw), tmp_path, device="cpu", progress=False)
    predictor = Predictor.load(tmp_path / "checkpoint", device="cpu")
    assert predictor.adaptation is not None
    assert [layer.fold for layer in predictor.adaptation.layers] == [(0, 2), (1, 2)]
    found = predictor.card["neighbours"]["sigma_s_cm"]
    assert found["rows"] > 500
    assert found["mae_after"] < found["mae_before"]
    # Near a measured row of fold 0 its layer moves members 0 and 2; 1 and 3 have learned from the row.
    layer, predictor.adaptation = predictor.adaptation.layers[0], None
    measured = layer.processes["sigma_s_cm"]
    row = int(np.argmax(np.abs(measured.z)))
    asked, phase = measured.compositions[row : row + 1], measured.phase[row : row + 1]
    before = dict(predictor.predict(asked, phase).properties)
    after = layer.apply(before, asked, phase)["sigma_s_cm"]
    change = np.abs(after.member_mean - before["sigma_s_cm"].member_mean)[:, 0]
    assert (change[[0, 2]] > 0.01).all()
    assert (change[[1, 3]] == 0).all()
    assert (after.member_sd[[0, 2]] < before["sigma_s_cm"].member_sd[[0, 2]]).all()


def test_folder_of_another_run_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="another configuration"):
        train(TINY.model_copy(update={"seed": 9}), run, device="cpu", progress=False)
    with pytest.raises(ConfigError, match="another configuration"):
        train(TINY, run, device="cpu", progress=False, devices=2)


def test_half_precision_needs_cuda(tmp_path: Path) -> None:
    mixed = TINY.training.model_copy(update={"precision": "bf16-mixed"})
    with pytest.raises(ConfigError, match="needs CUDA"):
        train(TINY.model_copy(update={"training": mixed}), tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nbatch_size = 0\n", "training.batch_size = 0"),
        ('[[training.stages]]\nname = "a"\nepochs = 0\nlearning_rate = 1.0\n', "stages.0.epochs = 0"),
        ('[[training.stages]]\nname = "a"\nepochs = 1\nlearning_rate = 1.0\nrows = "all"\n', "come last"),
        ('[[training.stages]]\nname = "a"\nepochs = 1\nlearning_rate = 1.0\n' * 2, "a name of its own"),
        (
            '[[training.stages]]\nname = "a"\nepochs = 1\nlearning_rate = 1.0\n'
            "[training.stages.passes]\nelastic_moduli = -1.0\n",
            "must be above 0",
        ),
        (
            '[[training.stages]]\nname = "a"\nepochs = 1\nlearning_rate = 1.0\n'
            '[training.stages.passes]\ncrystal_volume = 1.0\n[data]\ntables = ["elastic_moduli"]\n',
            "no table in data.tables for stage a: crystal_volume",
        ),
        ("[ensemble]\nmembers = 7\n", "must be a multiple of data.folds = 5"),
        ("[network]\nwidht = 3\n", "network.widht"),
        ("[network]\nwidth = 30\nheads = 4\n", "multiple of heads"),
        ('[data]\ntables = ["elastic"]\n', "no training table elastic"),
        ("[data.weights]\nsigma = 1.0\n", "no target sigma"),
        ("[training\n", "not readable TOML"),
    ],
)
def test_bad_configurations_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_tables_without_labels_of_a_property_are_named(tmp_path: Path) -> None:
    stages = [{"name": "joint", "epochs": 1, "learning_rate": 1e-3}]
    moduli = TrainingConfig.model_validate(
        {"training": {"stages": stages}, "data": {"tables": ("elastic_moduli",)}}
    )
    with pytest.raises(TrainingDataError, match="no training rows for sigma_s_cm"):
        train(moduli, tmp_path, device="cpu")


def test_missing_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("path", [DEFAULT_CONFIG, ROOT / "examples" / "train_small.toml"])
def test_configurations_that_come_along_are_valid(path: Path) -> None:
    assert load_config(path).training.stages_of("all")


def test_unknown_device() -> None:
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        choose_device("tpu")


def test_sampler_draws_as_often_as_asked_and_repeats_itself() -> None:
    passes = np.array([0.5] * 400 + [3.0] * 100)
    sampler = EpochSampler(passes, np.full(500, 3), batch_size=32, seed=1)
    counts = np.zeros(500)
    for epoch in range(40):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        drawn = torch.cat(batches).numpy()
        assert len(drawn) == 500
        counts += np.bincount(drawn, minlength=500)
    assert (counts[400:] == 120).all()
    assert abs(counts[:400].mean() - 20) < 1e-9
    assert counts[:400].min() > 0
    sampler.set_epoch(3)
    again = torch.cat(list(sampler))
    sampler.set_epoch(3)
    assert torch.equal(again, torch.cat(list(sampler)))
    sampler.set_epoch(4)
    assert not torch.equal(again, torch.cat(list(sampler)))


def test_processes_that_train_together_share_an_epoch_without_overlap() -> None:
    parts = [EpochSampler(np.ones(640), np.full(640, 3), 32, seed=0, rank=rank, world=2) for rank in range(2)]
    drawn = [torch.cat(list(part)) for part in parts]
    assert len(drawn[0]) == len(drawn[1]) == 320
    assert not set(drawn[0].tolist()) & set(drawn[1].tolist())


def test_no_chemical_system_is_in_two_folds() -> None:
    rows = load_training_rows(DEFAULT_TABLES, 0, 5)
    systems, number = np.unique(chemical_systems(rows.compositions), return_inverse=True)
    first = np.full(len(systems), -1)
    first[number] = rows.fold
    assert (rows.fold == first[number]).all()
    assert np.abs(np.bincount(rows.fold) / len(rows) - 0.2).max() < 0.001


def test_glass_transitions_of_the_record_glasses_are_not_learned() -> None:
    rows = load_training_rows(DEFAULT_TABLES, 0)
    checks = Compositions.from_formulas(load_table("glass_transition_cited")["formula"].tolist())
    named = ~np.isnan(rows.targets[:, TARGET_NAMES.index("glass_transition_k")])
    electrolytes = Compositions.from_formulas(["LiAlCl2.5O0.75", "NaAlCl2.5O0.75", "Li2GaCl2F3"])
    assert np.isin(electrolytes.keys(), checks.keys()).all()
    assert not np.isin(electrolytes.keys(), rows.take(named).compositions.keys()).any()


def test_doubtful_evidence_weighs_less() -> None:
    evidence = pd.Series(
        ["primary full text read", "paper table via public digest", "third-hand: a table", "second-hand: x"]
    )
    np.testing.assert_array_equal(evidence_weight(evidence), [1.0, 0.5, 0.25, 0.5])
    rows = load_training_rows(("conductivity_cited", "conductivity_obelix"))
    cited = rows.weight[rows.source == 0]
    assert set(np.unique(cited)) == {0.25, 0.5, 1.0}
    assert (rows.weight[rows.source == 1] == 1.0).all()
