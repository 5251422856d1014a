"""The one way to ask the networks: compositions in, calibrated distributions out."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlyte.datasets.columns import PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions
from softlyte.featurize.composition import ROOM_TEMPERATURE_C, CompositionFeaturizer
from softlyte.models.adaptation import Adaptation, adapted_sha256, load_adaptation
from softlyte.models.calibration import JUDGED_TASKS, Calibration, mean_disagreement, scaled
from softlyte.models.checkpoint import (
    PRETRAINED,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    load_strictly,
    odd_cards_named,
)
from softlyte.models.network import CompositionNetwork, NetworkConfig
from softlyte.models.predictions import Predictions, PropertyPrediction, concatenate, youngs_modulus
from softlyte.models.support import Support, calibration_family, main_anion
from softlyte.models.tasks import TASK_NAMES, TASKS, YOUNGS_MODULUS

BATCH_SIZE = 4096
"""Compositions evaluated at once; larger batches gain nothing on two cores and cost memory."""

MOST_DECADES = 30.0
"""No property, nor its uncertainty, is further from 1 in its unit than this."""

_TIMED = threading.Lock()


class DeviceError(UserError):
    """A device that is not there; the message names the remedy."""


def choose_device(device: str = "auto") -> torch.device:
    """Return the device for "auto" (CUDA when there is one), "cpu" or "cuda"; raises DeviceError."""
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"no device {device!r}; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available; use --device cpu or auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


class Predictor:
    """An ensemble of composition networks with its calibration.

    Args:
        checkpoint: what `load_checkpoint` returned.
        device: where to compute.
        adaptation: what measured rows say of their neighbours (models.adaptation); None for nothing.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device | None = None,
        adaptation: Adaptation | None = None,
    ) -> None:
        card = checkpoint.card
        self.card: dict[str, Any] = card
        self.device = device or torch.device("cpu")
        self.adaptation = adaptation
        if tuple(card["tasks"]) != TASK_NAMES:
            raise CheckpointError(
                "the checkpoint predicts other properties than this Softlyte; "
                "install the Softlyte that wrote it or retrain"
            )
        self.networks = []
        for number, state in enumerate(checkpoint.members):
            network = CompositionNetwork(NetworkConfig.model_validate(card["network"]))
            load_strictly(network, state, f"member {number} of the checkpoint")
            self.networks.append(network.to(self.device).eval().requires_grad_(False))
        self.mean = np.array(card["standardisation"]["mean"], float)[: len(TASKS)]
        self.sd = np.array(card["standardisation"]["sd"], float)[: len(TASKS)]
        if self.mean.shape != (len(TASKS),) or self.sd.shape != (len(TASKS),):
            raise CheckpointError("the card states no unit for some property; copy it again or retrain")
        self.calibration = Calibration.from_card(card["calibration"])
        self.support = Support.from_card(card["support"])
        known = np.zeros(MAX_ATOMIC_NUMBER + 1, bool)
        known[card["elements"]] = True
        self.known_elements = known
        """[104] True for atomic numbers that training has seen."""
        self.half = self.device.type == "cuda"
        """Networks compute in half precision: on a GPU, where it is faster. Predictions move by 0.3% of half
        their 90% interval at most (benchmarks/inference_modes.py, over 8,192 candidates)."""
        self.forward_s = 0.0
        """Seconds that all threads together have spent in the networks."""

    @classmethod
    def load(cls, folder: Path | str | None = None, device: str = "auto") -> Predictor:
        """Load an ensemble (None: the shipped one); raises CheckpointError or DeviceError.

        An adaptation that lies beside the weights is loaded with them.
        """
        chosen = choose_device(device)
        where = PRETRAINED if folder is None else Path(folder)
        checkpoint = load_checkpoint(where)
        adaptation = load_adaptation(where, checkpoint.card["weights_sha256"])
        with odd_cards_named(where):
            return cls(checkpoint, chosen, adaptation)

    def moved(self, device: str) -> Predictor:
        """Return the same ensemble on another device, "auto", "cpu" or "cuda"; raises DeviceError."""
        chosen = choose_device(device)
        other = copy.copy(self)
        other.device, other.half = chosen, chosen.type == "cuda"
        other.networks = [copy.deepcopy(network).to(chosen) for network in self.networks]
        return other

    @property
    def weights_sha256(self) -> str:
        """Checksum of the weights and of their adaptation, for run records."""
        return adapted_sha256(str(self.card["weights_sha256"]), self.adaptation)

    def predict(
        self,
        compositions: Compositions,
        phase: NDArray[np.integer] | int = 0,
        temperature_c: float = ROOM_TEMPERATURE_C,
        batch_size: int = BATCH_SIZE,
        progress: Callable[[int], None] | None = None,
    ) -> Predictions:
        """Predict every property of N materials.

        A prediction does not depend on what else is in the batch.

        Args:
            compositions: N compositions.
            phase: [N] or one index into columns.PHASES.
            temperature_c: at which the conductivity is wanted.
            batch_size: compositions evaluated at once.
            progress: called with the number of materials done after each batch.
        """
        codes = np.ascontiguousarray(np.broadcast_to(np.asarray(phase, np.int64), (len(compositions),)))
        parts = []
        for start in range(0, len(compositions), batch_size):
            rows = slice(start, start + batch_size)
            parts.append(self._predict_batch(compositions[rows], codes[rows], temperature_c))
            if progress is not None:
                progress(len(codes[rows]))
        return concatenate(parts) if parts else self._predict_batch(compositions, codes, temperature_c)

    def raw(
        self,
        compositions: Compositions,
        phase: NDArray[np.integer],
        fidelity: NDArray[np.integer] | None = None,
        temperature_c: NDArray[np.floating] | float = ROOM_TEMPERATURE_C,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the members' uncalibrated means and standard deviations, two [E, N, T], transformed units.

        Args:
            compositions: N compositions.
            phase: [N] index into columns.PHASES.
            fidelity: [N] index into columns.FIDELITIES for all tasks; None takes each task's own.
            temperature_c: [N] or one temperature.
        """
        codes = np.asarray(phase, np.int64)
        if fidelity is None:
            own = np.array([[task.condition(name) for task in TASKS] for name in PHASES])  # [P, T, 2]
            conditions = own[codes]
        else:
            pair = np.stack([codes, np.asarray(fidelity, np.int64)], axis=1)
            conditions = np.repeat(pair[:, None], len(TASKS), axis=1)
        # Both phases of a composition share one pass over its graph.
        distinct, where = _distinct(compositions)
        batch = CompositionFeaturizer()(compositions[distinct], 0, 0).to(self.device)
        inverse = CompositionFeaturizer()(compositions, codes, 0, temperature_c).inverse_temperature
        shape = (len(self.networks), len(compositions), len(TASKS))
        mean, scale = np.empty(shape), np.empty(shape)
        # Under each pair of conditions only the tasks that some row asks for are decoded.
        asked_for = []
        for asked in np.unique(conditions.reshape(-1, 2), axis=0):
            wanted = (conditions == asked).all(axis=2)
            rows, tasks = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
            asked_for.append((asked, rows, tasks, np.nonzero(wanted[np.ix_(rows, tasks)])))
        start = time.perf_counter()
        half = torch.autocast(self.device.type, torch.float16, enabled=self.half)
        with torch.inference_mode(), half:
            for number, network in enumerate(self.networks):
                graph = network.encode(batch.element, batch.fraction)
                for asked, rows, tasks, (row, task) in asked_for:
                    full = torch.full((len(rows),), int(asked[0]), device=self.device)
                    out = network.decode(
                        graph[torch.from_numpy(where[rows]).to(self.device)],
                        full,
                        torch.full_like(full, int(asked[1])),
                        inverse[torch.from_numpy(rows)].to(self.device),
                        torch.from_numpy(tasks).to(self.device),
                    )
                    mean[number, rows[row], tasks[task]] = out.mean.float().cpu().numpy()[row, task]
                    scale[number, rows[row], tasks[task]] = out.log_scale.float().cpu().numpy()[row, task]
        with _TIMED:
            self.forward_s += time.perf_counter() - start
        # The standard deviation of a Laplace distribution of scale b is sqrt(2) b.
        return mean * self.sd + self.mean, np.sqrt(2.0) * np.exp(scale) * self.sd

    def calibrated(
        self,
        compositions: Compositions,
        phase: NDArray[np.integer],
        member_mean: NDArray[np.float64],
        member_sd: NDArray[np.float64],
    ) -> dict[str, PropertyPrediction]:
        """Return raw predictions with the spread that held-out rows and the number of relatives ask for.

        Args:
            compositions: N compositions.
            phase: [N] index into columns.PHASES.
            member_mean: [E, N, T] from `raw`.
            member_sd: [E, N, T] from `raw`.
        """
        return calibrated(self.calibration, self.support, compositions, phase, member_mean, member_sd)

    def _predict_batch(
        self, compositions: Compositions, phase: NDArray[np.int64], temperature_c: float
    ) -> Predictions:
        member_mean, member_sd = self.raw(compositions, phase, None, temperature_c)
        require_possible(member_mean, member_sd)
        unknown = ~self.known_elements[compositions.atomic_numbers] & (compositions.atomic_numbers > 0)
        unseen: NDArray[np.bool_] = np.asarray(unknown.any(axis=1))
        agreement = self.calibration.applicability(mean_disagreement(member_mean, self.sd), phase)
        support = self.support.share(main_anion(compositions), phase)[:, JUDGED_TASKS].min(axis=1)
        properties = self.calibrated(compositions, phase, member_mean, member_sd)
        if self.adaptation is not None:
            properties = self.adaptation.apply(properties, compositions, phase)
        return Predictions(
            MappingProxyType(properties),
            np.where(unseen, 0.0, agreement * support),
            unseen,
            self.calibration.modulus_correlation,
        )


def require_possible(member_mean: NDArray[np.float64], member_sd: NDArray[np.float64]) -> None:
    """Raise CheckpointError for predictions, [E, N, T] in transformed units, that no property has."""
    decades = [task.transform == "log10" for task in TASKS]
    largest = [np.abs(values[..., decades]).max(initial=0.0) for values in (member_mean, member_sd)]
    finite = np.isfinite(member_mean).all() and np.isfinite(member_sd).all()
    if not finite or largest[0] > MOST_DECADES or largest[1] > MOST_DECADES:
        raise CheckpointError(
            "the weights predict numbers that no property has: they are damaged or their training diverged; "
            "copy them again or retrain"
        )


def _distinct(compositions: Compositions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one row number for each distinct composition, and for each row its place among them."""
    fractions = compositions.fractions()
    packed = np.concatenate([compositions.atomic_numbers, fractions], axis=1)
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.itemsize * packed.shape[1]))).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def calibrated(
    calibration: Calibration,
    support: Support,
    compositions: Compositions,
    phase: NDArray[np.integer],
    member_mean: NDArray[np.float64],
    member_sd: NDArray[np.float64],
) -> dict[str, PropertyPrediction]:
    """Return raw predictions [E, N, T] with the spread that a calibration and its support ask for."""
    factor = calibration.scale[phase, calibration_family(compositions)]  # [N, T + 1]
    least = support.least_sd(main_anion(compositions), phase)
    tasks = scaled(member_mean, np.maximum(member_sd, least), factor[:, : len(TASKS)])
    properties = {
        task.name: replace(p, member_sd=np.maximum(p.member_sd, least[:, i]))
        for i, (task, p) in enumerate(zip(TASKS, tasks, strict=True))
    }
    modulus = youngs_modulus(
        properties["bulk_modulus_gpa"], properties["shear_modulus_gpa"], calibration.modulus_correlation
    )
    properties[YOUNGS_MODULUS] = modulus.widened(factor[:, len(TASKS)])
    return properties
