"""Search training configurations: `softlyte tune CONFIG.toml --out DIR`.

Two objectives are minimised together: the error on chemical systems that a trial's networks have not seen,
and how far their intervals are from covering what they state.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from softlyte.datasets.workers import worker_pool
from softlyte.datasets.writing import write_bytes
from softlyte.models.config import ConfigError, TrainingConfig
from softlyte.models.fit import fit_network
from softlyte.models.members import rows_of
from softlyte.models.predictor import choose_device
from softlyte.models.run_folder import RunFolder, run_folder
from softlyte.models.training_data import Standardisation
from softlyte.models.trial_scores import HeldOut, RungCallback, keep_going
from softlyte.models.tune_report import TuneResult, write_report
from softlyte.models.tuning_config import (
    ParameterConfig,
    TuneConfig,
    Value,
    check_tuning,
    load_tuning,
    shown,
    with_values,
)

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.log"


class TuneError(ConfigError):
    """A search that cannot be run; the message names the reason and the remedy."""


@dataclass(frozen=True)
class _Search:
    """What one worker needs."""

    training: TrainingConfig
    tuning: TuneConfig
    folder: Path
    storage: str | None
    study: str
    accelerator: str
    threads: int
    deadline: float | None
    number: int


def tune(
    config: Path | str | tuple[TrainingConfig, TuneConfig],
    out: Path | str = "tune-out",
    *,
    storage: str | None = None,
    study: str = "softlyte",
    trials: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    max_hours: float | None = None,
) -> TuneResult:
    """Search, then write trials.csv, the front's configurations and plots; a second call goes on.

    Several calls, on several machines too, may work on one study: give them the same `storage` and `study`.

    Args:
        config: TOML path with a [tune] table, or both configurations.
        out: run folder.
        storage: database URL such as "postgresql://..." or "sqlite:///study.db"; None for a journal file
            in the run folder.
        study: name of the study in the storage.
        trials: replaces the configuration's number; stopped trials count, failed ones do not.
        workers: replaces the configuration's number of processes.
        device: "auto", "cpu" or "cuda".
        max_hours: no trial begins after this time.

    Raises:
        ConfigError: the configuration is not usable, the folder or study belongs to another one, or another
            process works in the folder.
        TuneError: Optuna is not installed or the storage cannot be opened.
        DeviceError: CUDA was asked for and is not there.
    """
    training, tuning = config if isinstance(config, tuple) else load_tuning(config)
    check_tuning(training, tuning)
    counts = {"trials": trials, "workers": workers}
    tuning = tuning.model_copy(update={k: v for k, v in counts.items() if v is not None})
    accelerator = choose_device(device).type
    if accelerator == "cpu" and training.training.precision != "32-true":
        raise ConfigError(f"precision {training.training.precision} needs CUDA; use 32-true or a GPU")
    identity = tuning.model_copy(update={"trials": 1, "workers": 1}).model_dump_json(indent=1)
    text = f'{{"training": {training.model_dump_json(indent=1)},\n"tune": {identity}}}\n'
    with run_folder(Path(out), text, shared=True) as held:
        return _searched(training, tuning, text, held, storage, study, accelerator, max_hours)


def _searched(
    training: TrainingConfig,
    tuning: TuneConfig,
    text: str,
    held: RunFolder,
    storage: str | None,
    study: str,
    accelerator: str,
    max_hours: float | None,
) -> TuneResult:
    """Search in a folder that this process holds; arguments as for `tune`, text states the configuration."""
    folder = held.path
    search = _Search(
        training,
        tuning,
        folder,
        storage,
        study,
        accelerator,
        max(1, torch.get_num_threads() // tuning.workers),
        None if max_hours is None else time.monotonic() + 3600 * max_hours,
        0,
    )
    # Nobody else is at work on a journal whose folder was free.
    left_behind = held.alone and storage is None
    if left_behind:
        _mend_journal(folder / JOURNAL)
    opened = open_study(search, text)
    _take_back(opened, search, left_behind)
    held.share()
    if tuning.workers == 1:
        _work(search)
    else:
        with worker_pool(tuning.workers) as pool:
            list(pool.map(_work, [replace(search, number=n) for n in range(tuning.workers)]))
    return write_report(opened, training, folder)


def open_study(search: _Search, text: str | None = None) -> optuna.Study:
    """Open or create the study; `text`, if given, must be what it was created with."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError:
        raise TuneError("tuning needs Optuna; install it with pip install 'softlyte[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where = search.storage or str(search.folder / JOURNAL)
    try:
        study = optuna.create_study(
            storage=search.storage or optuna.storages.JournalStorage(JournalFileBackend(where)),
            study_name=search.study,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        study.sampler = _sampler(study, search)
        if text is not None and study.user_attrs.setdefault("configuration", text) != text:
            raise TuneError(
                f"the study {search.study!r} in {where} is of another configuration; give --study"
            )
        if text is not None and "configuration" not in study.user_attrs:
            study.set_user_attr("configuration", text)
    except (ImportError, ValueError, OSError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        if isinstance(error, TuneError):
            raise
        raise TuneError(f"the storage {where} cannot be opened ({error}); correct --storage") from error
    return study


def _sampler(study: optuna.Study, search: _Search) -> optuna.samplers.BaseSampler:
    """Return the sampler of a worker's next trial.

    Its state follows from the seed, the worker and how many trials are judged: a search that was stopped and
    goes on draws what it would have drawn, and no two workers try the same.
    """
    import optuna
    from optuna.trial import TrialState

    judged = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    seeds = np.random.SeedSequence([search.tuning.seed, search.number, len(judged)])
    return optuna.samplers.TPESampler(seed=int(seeds.generate_state(1)[0]))


def _mend_journal(journal: Path) -> None:
    """Take away what a killed process has left: half of a last line, and Optuna's lock."""
    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
    if journal.is_file():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_bytes(journal, whole)


def _take_back(study: optuna.Study, search: _Search, left_behind: bool) -> None:
    """Put trials whose process has died back into the queue.

    A trial that had not drawn all of its values is only ended: the next one draws them again.

    Args:
        study: to look through.
        search: the configuration.
        left_behind: every running trial is of a process that is gone; else those of this machine are known.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, _, process = str(trial.user_attrs.get("process", "")).rpartition(":")
        here = host == socket.gethostname() and not Path(f"/proc/{process}").exists()
        if here or left_behind:
            study.tell(trial.number, state=TrialState.FAIL)
            if set(trial.params) == set(search.tuning.space):
                study.enqueue_trial(trial.params)


def _work(search: _Search) -> None:
    """Try configurations until there are enough or the time is used up."""
    from optuna.trial import TrialState

    study = open_study(search)
    counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)

    def enough() -> bool:
        late = search.deadline is not None and time.monotonic() >= search.deadline
        return late or len(study.get_trials(deepcopy=False, states=counted)) >= search.tuning.trials

    if enough():  # reading the tables takes longer than to find out
        return
    rows = rows_of(search.training)
    standard = Standardisation.fit(rows)
    held_out = {
        fold: HeldOut.of(rows.take(rows.fold == fold), standard, search.tuning.targets)
        for fold in search.tuning.folds
    }

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
        values = {key: _suggest(trial, key, p) for key, p in search.tuning.space.items()}
        config = _usable(search.training, values)
        folder = search.folder / "trials" / f"{trial.number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / "config.json", (config.model_dump_json(indent=1) + "\n").encode())
        stages = config.training.stages_of("train")
        scores = []
        for place, fold in enumerate(search.tuning.folds):
            rungs = _rungs(search, sum(s.epochs for s in stages)) if place == 0 else ()
            watch = RungCallback(
                held_out[fold], rungs, lambda rung, own: _judge(study, trial, rung, own, search)
            )
            try:
                outcome = fit_network(
                    config,
                    rows,
                    rows.fold != fold,
                    folder / f"fold_{fold}",
                    config.seed,
                    stages=stages,
                    standard=standard,
                    accelerator=search.accelerator,
                    threads=search.threads,
                    callbacks=[watch],
                )
            finally:
                for checkpoint in folder.rglob("*.ckpt"):  # a trial is not resumed: weights are enough
                    checkpoint.unlink()
            assert outcome.state is not None  # noqa: S101 - no time limit was given
            scores.append(held_out[fold].scores_of(config.network, outcome.state, search.accelerator))
        trial.set_user_attr("mae_by_target", scores[0].by_target)
        error = sum(s.error for s in scores) / len(scores)
        calibration_error = sum(s.calibration_error for s in scores) / len(scores)
        print(
            f"trial {trial.number}: error {error:.4f}, "
            f"calibration error {calibration_error:.4f}; {shown(values)}",
            file=sys.stderr,
            flush=True,
        )
        return error, calibration_error

    while not enough():
        study.sampler = _sampler(study, search)
        study.optimize(objective, n_trials=1)


def _suggest(trial: optuna.Trial, key: str, parameter: ParameterConfig) -> Value:
    if parameter.choices is not None:
        chosen = trial.suggest_categorical(key, parameter.choices)
        assert chosen is not None  # noqa: S101 - none of the choices is
        return chosen
    low, high = parameter.ends()
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=parameter.log)
    return trial.suggest_float(key, float(low), float(high), log=parameter.log)


def _usable(training: TrainingConfig, values: dict[str, Value]) -> TrainingConfig:
    """Return the trial's configuration; values that do not go together end the trial, not the search."""
    import optuna

    try:
        return with_values(training, values)
    except ConfigError as error:
        raise optuna.TrialPruned(str(error)) from None


def _rungs(search: _Search, epochs: int) -> tuple[int, ...]:
    if search.tuning.reduction == 1:
        return ()
    rungs = search.tuning.rungs or (epochs // 4, epochs // 2)
    return tuple(rung for rung in sorted(set(rungs)) if 0 < rung < epochs)


def _judge(
    study: optuna.Study, trial: optuna.Trial, rung: int, own: tuple[float, float], search: _Search
) -> None:
    """Record a trial's objectives at a rung and end it there unless it is worth going on.

    Optuna's own pruners refuse studies of several objectives, so the values are kept as an attribute of the
    trial and `keep_going` decides.
    """
    import optuna

    name = f"rung_{rung}"
    trial.set_user_attr(name, list(own))
    seen = [
        tuple(other.user_attrs[name])
        for other in study.get_trials(deepcopy=False)
        # One whose process died is tried again: it would count twice.
        if name in other.user_attrs
        and other.number != trial.number
        and other.state != optuna.trial.TrialState.FAIL
    ]
    if not keep_going(own, seen, search.tuning.reduction):
        print(
            f"trial {trial.number}: stopped after epoch {rung}, error {own[0]:.4f}",
            file=sys.stderr,
            flush=True,
        )
        raise optuna.TrialPruned(f"stopped at epoch {rung}")
