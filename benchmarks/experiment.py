"""Networks for the evaluation protocols: fitted split by split, resumable, predictions kept.

A protocol's network starts from a pretraining that all splits of a seed share (its rows hold no label of a
kind that the protocols test, see `protocols.shared_pretraining`) and is then trained on the split's own rows.
The plain network is trained from random weights on the protocol's own tables alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.protocols import Split, shared_pretraining
from softlyte.featurize.composition import CompositionFeaturizer
from softlyte.models.checkpoint import load_strictly
from softlyte.models.config import StageConfig, TrainingConfig
from softlyte.models.fit import FitOutcome, fit_network
from softlyte.models.network import CompositionNetwork
from softlyte.models.tasks import TASKS
from softlyte.models.training_data import Standardisation, TrainingRows


class OutOfTimeError(RuntimeError):
    """The time allowed ran out; the next call goes on from the checkpoints."""


@dataclass(frozen=True)
class NetworkPlan:
    """How a protocol trains its networks.

    Attributes:
        passes: average draws of each row in an epoch of the split's own stage, by table.
        plain_passes: the same for the plain network.
        epochs: of the split's own stage.
        plain_epochs: of the plain network.
        transfer: False to train from random weights through all stages of the configuration, each with
            `stage_share` of its epochs (where the shared pretraining would have seen test labels).
        stage_share: see transfer.
    """

    passes: Mapping[str, float] = field(default_factory=dict)
    plain_passes: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 8
    plain_epochs: int = 20
    transfer: bool = True
    stage_share: float = 1.0


@dataclass(frozen=True)
class Machine:
    """Where fits run: "cpu" or "cuda", threads of torch, and hours after which to stop (None: no limit)."""

    accelerator: str = "cpu"
    threads: int = 1
    max_hours: float | None = None


class Experiment:
    """Fits networks to splits under one run folder.

    Args:
        config: the training configuration whose network and settings are judged.
        rows: the training matrix that the splits refer to.
        folder: of the run; states and predictions of finished fits are used again.
        machine: where to run.
        pretrain_epochs: of the shared pretraining; None for those of the configuration.
        pretraining: experiment whose shared pretraining is used, if these rows add none to it; None for own.
    """

    def __init__(
        self,
        config: TrainingConfig,
        rows: TrainingRows,
        folder: Path,
        machine: Machine = Machine(),
        pretrain_epochs: int | None = None,
        pretraining: Experiment | None = None,
    ) -> None:
        self.config, self.rows, self.folder, self.machine = config, rows, folder, machine
        self.pretrain_epochs = pretrain_epochs
        self.pretraining = pretraining
        digest = hashlib.sha256(rows.compositions.keys().tobytes())
        for column in (rows.phase, rows.fidelity, rows.temperature_c, rows.censored, rows.targets):
            digest.update(np.ascontiguousarray(column).tobytes())
        self._rows_sha256 = digest.hexdigest()
        self._shared = shared_pretraining(rows)

    def pretraining_stages(self) -> list[StageConfig]:
        """Return the stages that splits share: all but the last that see training rows (or that one)."""
        stages = self.config.training.stages_of("train")
        shared = list(stages[:-1] or stages)
        if self.pretrain_epochs is not None:
            shared = [stage.model_copy(update={"epochs": self.pretrain_epochs}) for stage in shared]
        return shared

    def predictions(
        self, protocol: str, splits: Sequence[Split], plan: NetworkPlan, seed: int, plain: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return means and uncalibrated standard deviations on the test rows, two [M, T].

        Test rows of one split follow those of the one before. Units are the transformed ones of the tasks.

        Raises:
            OutOfTimeError: the machine's time ran out.
        """
        parts = [self._predict_split(protocol, split, plan, seed, plain) for split in splits]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def pretrained(self, seed: int) -> FitOutcome:
        """Return the shared pretraining of a seed, from the run folder if it is finished."""
        if self.pretraining is not None:
            return self.pretraining.pretrained(seed)
        used, stages = self._shared, self.pretraining_stages()
        folder = self.folder / f"pretraining_{seed}-{self._digest(used, stages)}"
        return self._fit(used, folder, seed, stages, None, Standardisation.fit(self.rows.take(used)))

    def own_stages(self, plan: NetworkPlan, plain: bool) -> list[StageConfig]:
        """Return the stages that are fitted to each split on its own."""
        stages = self.config.training.stages_of("train")
        if plain:
            update = {"name": "plain", "epochs": plan.plain_epochs, "passes": dict(plan.plain_passes)}
            return [stages[0].model_copy(update=update)]
        if not plan.transfer:
            share = plan.stage_share
            return [s.model_copy(update={"epochs": max(1, round(share * s.epochs))}) for s in stages]
        return [
            stages[-1].model_copy(update={"name": "own", "epochs": plan.epochs, "passes": dict(plan.passes)})
        ]

    def fitted(
        self, protocol: str, split: Split, plan: NetworkPlan, seed: int, plain: bool = False
    ) -> FitOutcome:
        """Return the network of one split and its units, from the run folder as far as it is finished."""
        stages = self.own_stages(plan, plain)
        start, standard = None, Standardisation.fit(self.rows.take(split.used))
        if plan.transfer and not plain:
            shared = self.pretrained(seed)
            start, standard = shared.state, joined_units(shared.standard, standard)
        return self._fit(
            split.used, self._place(protocol, split, plan, seed, plain), seed, stages, start, standard
        )

    def _place(self, protocol: str, split: Split, plan: NetworkPlan, seed: int, plain: bool) -> Path:
        """Return the folder of a fit; its name changes with everything that decides the weights."""
        transfer = plan.transfer and not plain
        stages = [*(self.pretraining_stages() if transfer else []), *self.own_stages(plan, plain)]
        name = f"seed_{seed}{'_plain' if plain else ''}-{self._digest(split.used, stages, transfer)}"
        return self.folder / protocol / split.name / name

    def _predict_split(
        self, protocol: str, split: Split, plan: NetworkPlan, seed: int, plain: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        kept = self._place(protocol, split, plan, seed, plain).with_suffix(".npz")
        if kept.is_file():
            with np.load(kept) as arrays:
                if len(arrays["mean"]) == len(split.test):
                    return arrays["mean"], arrays["sd"]
        fit = self.fitted(protocol, split, plan, seed, plain)
        assert fit.state is not None  # _fit raises otherwise
        mean, sd = predict(self.config, fit.state, fit.standard, split.test, self.machine.accelerator)
        np.savez_compressed(kept, mean=mean, sd=sd)
        return mean, sd

    def _fit(
        self,
        used: NDArray[np.bool_],
        folder: Path,
        seed: int,
        stages: Sequence[StageConfig],
        start: dict[str, Tensor] | None,
        standard: Standardisation,
    ) -> FitOutcome:
        with locked(folder):
            outcome = fit_network(
                self.config,
                self.rows,
                used,
                folder,
                seed,
                stages=stages,
                start=start,
                standard=standard,
                accelerator=self.machine.accelerator,
                threads=self.machine.threads,
                max_hours=self.machine.max_hours,
            )
        if outcome.state is None:
            raise OutOfTimeError(f"{folder} is not finished; run the same command again to go on")
        return outcome

    def _digest(self, used: NDArray[np.bool_], stages: Sequence[StageConfig], transfer: bool = False) -> str:
        """Return a short name of everything that decides a fit's weights, but the seed."""
        settings = self.config.model_dump(mode="json")
        # The stages stand on their own, and members, processes and the run's seed change no single fit.
        fit = {k: v for k, v in settings["training"].items() if k != "stages"}
        text = json.dumps(
            [
                settings["network"],
                fit,
                settings["data"],
                [s.model_dump(mode="json") for s in stages],
                transfer,
            ],
            sort_keys=True,
        )
        digest = hashlib.sha256(text.encode() + self._rows_sha256.encode() + np.packbits(used).tobytes())
        if transfer:
            digest.update(np.packbits(self._shared).tobytes())
        return digest.hexdigest()[:12]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work on a fit: protocols that run side by side share the pretraining.

    The second waits, and then finds the fit finished. A process that dies gives its lock back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def joined_units(pretraining: Standardisation, own: Standardisation) -> Standardisation:
    """Return the pretraining's units, and the split's own for targets that it had no labels of.

    A head that was pretrained has learned in the pretraining's units; one that was not must be given units
    from the split's training rows alone.
    """
    untouched = (pretraining.mean == 0) & (pretraining.sd == 1)
    return Standardisation(
        np.where(untouched, own.mean, pretraining.mean), np.where(untouched, own.sd, pretraining.sd)
    )


def predict(
    config: TrainingConfig,
    state: dict[str, Tensor],
    standard: Standardisation,
    rows: TrainingRows,
    device: str = "cpu",
    batch_size: int = 4096,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return one network's means and standard deviations under each row's own conditions, two [M, T].

    The standard deviation of a Laplace distribution of scale b is sqrt(2) b.
    """
    network = CompositionNetwork(config.network)
    load_strictly(network, state, "the fitted weights")
    network = network.to(device).eval()
    graphs = CompositionFeaturizer()(rows.compositions, rows.phase, rows.fidelity, rows.temperature_c)
    mean, sd = np.empty((len(rows), len(TASKS))), np.empty((len(rows), len(TASKS)))
    unit_mean, unit_sd = standard.mean[: len(TASKS)], standard.sd[: len(TASKS)]
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            some = torch.arange(start, min(start + batch_size, len(rows)))
            out = network(graphs.take(some).to(device))
            mean[some.numpy()] = out.mean.double().cpu().numpy() * unit_sd + unit_mean
            sd[some.numpy()] = np.sqrt(2.0) * np.exp(out.log_scale.double().cpu().numpy()) * unit_sd
    return mean, sd
