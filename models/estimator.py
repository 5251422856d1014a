"""The network as a scikit-learn regressor: formulas in, one property out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from softlyte.datasets.columns import FIDELITIES, PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import Compositions
from softlyte.featurize.composition import ROOM_TEMPERATURE_C, CompositionFeaturizer
from softlyte.models.checkpoint import load_checkpoint
from softlyte.models.config import TrainingConfig
from softlyte.models.fit import fit_network
from softlyte.models.network import CompositionNetwork, NetworkConfig
from softlyte.models.predictor import choose_device
from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES, TASKS
from softlyte.models.training_data import Standardisation, TrainingRows

_NEW_PROPERTY = TASK_NAMES.index("formation_energy_ev_atom")  # a plain head: no Arrhenius slope
_BATCH = 4096


class EstimatorError(UserError):
    """Arguments or data that the regressor cannot use; the message names them and the remedy."""


@dataclass(frozen=True)
class _Start:
    """Where a fit begins: the network's size, each member's weights (none: random) and units (None: of y)."""

    network: NetworkConfig
    states: list[dict[str, torch.Tensor]]
    standard: Standardisation | None


class CompositionRegressor(RegressorMixin, BaseEstimator):
    """Composition network for one property, with scikit-learn's interface.

    X is a sequence of formulas (list, array, Series) or a table of one column. y is the property in any
    unit; take logarithms of what spans decades yourself (or use TransformedTargetRegressor). The standard
    deviation of a prediction is the network's own, not calibrated.

    Args:
        head: property of models.tasks that y is, in its transformed unit (log10 of GPa for
            "bulk_modulus_gpa"); None for a property of your own. Matters with pretrained weights: a named
            head starts from what it knows, a property of your own gets a new head on the pretrained trunk.
        pretrained: True to start from the shipped weights, whose size then counts instead of `width`,
            `layers` and `dropout`. They were trained on every table that comes along: rows of those
            tables are no test of a pretrained regressor.
        width: channels of a node.
        layers: rounds of message passing.
        dropout: dropout rate.
        epochs: passes over the rows.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        batch_size: rows a step.
        members: networks in the ensemble; their spread is part of the standard deviation.
        phase: "crystal" or "glass", of all rows.
        temperature_c: of all rows, degrees Celsius.
        device: "auto", "cpu" or "cuda".
        random_state: seed or RandomState of weights, sampling and dropout.
    """

    def __init__(
        self,
        head: str | None = None,
        *,
        pretrained: bool = False,
        width: int = 64,
        layers: int = 2,
        dropout: float = 0.0,
        epochs: int = 40,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        batch_size: int = 64,
        members: int = 1,
        phase: str = "crystal",
        temperature_c: float = ROOM_TEMPERATURE_C,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.head = head
        self.pretrained = pretrained
        self.width = width
        self.layers = layers
        self.dropout = dropout
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.members = members
        self.phase = phase
        self.temperature_c = temperature_c
        self.device = device
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that X holds formulas, not numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any) -> CompositionRegressor:
        """Train on N formulas and N values; returns self.

        Raises:
            FormulaError: a formula cannot be read.
            EstimatorError: a parameter is not usable, or there are fewer than two rows.
            ValueError: y is not N finite numbers (scikit-learn's own message).
        """
        formulas = _formulas(X)
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=np.float64, input_name="y"), warn=True)
        if len(y) != len(formulas):
            raise EstimatorError(f"X has {len(formulas)} formulas and y {len(y)} values; give one for each")
        if len(y) < 2:
            raise EstimatorError(
                f"there is too little to learn from, n_samples = {len(y)}; give two rows at least"
            )
        column, phase, fidelity = self._conditions()
        rows = _rows(formulas, y, column, phase, fidelity, self.temperature_c)
        start = self._start(rows, column)
        config = self._config(start.network)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        accelerator = choose_device(self.device).type
        states = []
        with tempfile.TemporaryDirectory() as folder:
            for member in range(self.members):
                outcome = fit_network(
                    config,
                    rows,
                    np.ones(len(rows), bool),
                    Path(folder) / f"member_{member}",
                    seed + member,
                    stages=config.training.stages,
                    start=start.states[member % len(start.states)] if start.states else None,
                    standard=start.standard,
                    accelerator=accelerator,
                    threads=torch.get_num_threads(),
                )
                if outcome.state is not None:  # always: no time limit was given
                    states.append(outcome.state)
        self.states_ = states
        self.network_ = config.network
        self.mean_, self.sd_ = outcome.standard.mean[column], outcome.standard.sd[column]
        self.n_features_in_ = 1
        return self

    def predict(
        self,
        X: Any,
        return_std: bool = False,
    ) -> NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the property of N formulas, [N], and with `return_std` its standard deviation, [N].

        Raises:
            NotFittedError: `fit` comes first.
            FormulaError: a formula cannot be read.
        """
        check_is_fitted(self, "states_")
        compositions = Compositions.from_formulas(_formulas(X))
        column, phase, fidelity = self._conditions()
        batch = CompositionFeaturizer()(compositions, phase, fidelity, self.temperature_c)
        # In double precision a row's prediction does not depend on the batch that it is in.
        batch = batch._replace(
            fraction=batch.fraction.double(), inverse_temperature=batch.inverse_temperature.double()
        )
        device = choose_device(self.device)
        mean, sd = np.empty((2, len(self.states_), len(compositions)))
        for member, state in enumerate(self.states_):
            network = CompositionNetwork(self.network_)
            network.load_state_dict(state)
            network = network.double().to(device).eval()
            with torch.inference_mode():
                for first in range(0, len(compositions), _BATCH):
                    some = slice(first, first + _BATCH)
                    rows = torch.arange(len(compositions))[some]
                    out = network(batch.take(rows).to(device))
                    mean[member, some] = out.mean[:, column].cpu().numpy()
                    sd[member, some] = out.log_scale[:, column].exp().cpu().numpy()
        mean = mean * self.sd_ + self.mean_
        if not return_std:
            return np.asarray(mean.mean(axis=0))
        # The standard deviation of a Laplace distribution of scale b is sqrt(2) b.
        variance = 2.0 * ((sd * self.sd_) ** 2).mean(axis=0) + mean.var(axis=0)
        return np.asarray(mean.mean(axis=0)), np.sqrt(variance)

    def _conditions(self) -> tuple[int, int, int]:
        """Return the column of the head and the codes of phase and fidelity."""
        if self.phase not in PHASES:
            raise EstimatorError(f"no phase {self.phase!r}; choose {' or '.join(PHASES)}")
        if self.head is None:
            name = "measured_glass" if self.phase == "glass" else "measured_crystal"
            return _NEW_PROPERTY, PHASES.index(self.phase), FIDELITIES.index(name)
        if self.head not in TASK_NAMES:
            raise EstimatorError(f"no head {self.head!r}; choose None or one of {', '.join(TASK_NAMES)}")
        column = TASK_NAMES.index(self.head)
        phase, fidelity = TASKS[column].condition(self.phase)
        return column, phase, fidelity

    def _config(self, network: NetworkConfig) -> TrainingConfig:
        stage = {"name": "fit", "epochs": self.epochs, "learning_rate": self.learning_rate}
        fit = {"batch_size": self.batch_size, "weight_decay": self.weight_decay, "stages": [stage]}
        if self.members < 1:
            raise EstimatorError(f"members = {self.members} is not usable; give 1 or more")
        try:
            return TrainingConfig.model_validate({"network": network.model_dump(), "training": fit})
        except ValueError as error:
            raise EstimatorError(f"the parameters are not usable: {_first_line(error)}") from None

    def _start(self, rows: TrainingRows, column: int) -> _Start:
        if not self.pretrained:
            heads = next(h for h in (4, 2, 1) if self.width % h == 0)
            try:
                network = NetworkConfig(
                    width=self.width, layers=self.layers, heads=heads, dropout=self.dropout
                )
            except ValueError as error:
                raise EstimatorError(f"the parameters are not usable: {_first_line(error)}") from None
            return _Start(network, [], None)
        shipped = load_checkpoint()
        network = NetworkConfig.model_validate(shipped.card["network"])
        if self.head is not None:
            units = shipped.card["standardisation"]
            standard = Standardisation(np.array(units["mean"], float), np.array(units["sd"], float))
            return _Start(network, shipped.members, standard)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fresh = CompositionNetwork(network).state_dict()
        states = [
            {k: fresh[k] if k.startswith("heads.") else v for k, v in s.items()} for s in shipped.members
        ]
        return _Start(network, states, None)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return ", ".join(line.strip() for line in lines[1:3]) if len(lines) > 2 else lines[0]


def _formulas(given: Any) -> list[str]:
    """Return X as a list of formulas; raises EstimatorError for anything that is no column of text."""
    if isinstance(given, str):
        raise EstimatorError(f"X is the single text {given!r}; give a list of formulas")
    values = given.to_numpy() if isinstance(given, pd.DataFrame | pd.Series) else np.asarray(given, object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise EstimatorError(f"X has the shape {values.shape}; give formulas as a list or as one column")
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise EstimatorError(
                f"row {number} of X is {value!r}, not a formula; give text such as 'Li3YCl6'"
            )
    return list(values)


def _rows(
    formulas: Sequence[str],
    y: NDArray[np.float64],
    column: int,
    phase: int,
    fidelity: int,
    temperature_c: float,
) -> TrainingRows:
    n = len(formulas)
    targets = np.full((n, len(TARGET_NAMES)), np.nan)
    targets[:, column] = y
    return TrainingRows(
        Compositions.from_formulas(formulas),
        np.full(n, phase),
        np.full(n, fidelity),
        np.full(n, float(temperature_c)),
        targets,
        np.zeros(n, bool),
        np.ones(n),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        ("given",),
    )
