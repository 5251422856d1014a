"""A student of the network tier that says which candidates are worth the whole ensemble.

The whole tier (ensemble, glass transition, stack pressure, cost, joint probability) is evaluated for a random
sample of the very candidates that are screened; a small neural network learns from it the logarithm of the
joint probability as a function of composition and phase. It follows whatever weights, targets and prices the
screening has, and costs a hundredth of the tier for each candidate. It only chooses: no value of its own
reaches a result.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from softlyte.datasets.columns import PHASES
from softlyte.datasets.formulas import MAX_ATOMIC_NUMBER, Compositions

Array = NDArray[np.float64]
Phases = NDArray[np.uint8]

HIDDEN = (256, 256)
EPOCHS = 12
BATCH = 512
LEARNING_RATE = 2e-3
LEAST_PROBABILITY = 1e-12
HOPELESS_SHARE = 0.8
"""Share of a random sample at the bottom whose probabilities are not told apart: nothing there is chosen."""


@dataclass(frozen=True)
class Surrogate:
    """A fitted student.

    Attributes:
        elements: [D] atomic numbers that the sample held.
        weights: of the layers, [F, H], ..., [H, 1]; the features' standardisation is part of the first.
        biases: of the layers, [H], ..., [1].
    """

    elements: NDArray[np.int64]
    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]

    @classmethod
    def fit(
        cls,
        compositions: Compositions,
        phase: Phases,
        probability: Array,
        seed: int,
        least: float = LEAST_PROBABILITY,
    ) -> Surrogate:
        """Learn from N candidates whose joint probability [N] is known.

        Args:
            compositions: N compositions.
            phase: [N] index into PHASES.
            probability: [N] joint probability, NaN counts as none.
            seed: of the fit.
            least: probability below which candidates are not told apart (`hopeless`).

        Raises:
            ValueError: there are fewer than two candidates.
        """
        if len(probability) < 2:
            raise ValueError(f"{len(probability)} candidates teach nothing; draw a larger sample")
        elements = np.unique(compositions.atomic_numbers[compositions.atomic_numbers > 0]).astype(np.int64)
        features = _features(compositions, phase, elements)
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < 1e-6] = 1.0
        label = np.log(np.maximum(np.nan_to_num(probability), max(least, LEAST_PROBABILITY)))
        label = (label - label.mean()) / max(float(label.std()), 1e-9)
        network = MLPRegressor(
            hidden_layer_sizes=HIDDEN,
            batch_size=min(BATCH, len(label)),
            max_iter=EPOCHS,
            learning_rate_init=LEARNING_RATE,
            random_state=seed % 2**32,
        )
        # One thread, so that the choice does not depend on how many a machine has.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is the plan
            network.fit((features - centre) / scale, label.astype(np.float32))
        weights, biases = list(network.coefs_), list(network.intercepts_)
        biases[0] = biases[0] - (centre / scale) @ weights[0]
        weights[0] = weights[0] / scale[:, None]
        return cls(
            elements,
            tuple(weight.astype(np.float32) for weight in weights),
            tuple(bias.astype(np.float32) for bias in biases),
        )

    def score(self, compositions: Compositions, phase: Phases) -> Array:
        """Return a number that rises with the joint probability, [N]; infinite for elements never seen."""
        score = self.forward(_features(compositions, phase, self.elements))
        numbers = compositions.atomic_numbers
        foreign = ((numbers > 0) & ~np.isin(numbers, self.elements)).any(axis=1)
        return np.where(foreign, np.inf, score)

    def forward(self, features: NDArray[np.float32]) -> Array:
        """Return what the layers make of features [N, F], [N]."""
        hidden = features
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = hidden @ weight
            hidden += bias
            np.maximum(hidden, 0.0, out=hidden)
        return (hidden @ self.weights[-1] + self.biases[-1])[:, 0].astype(np.float64)

    def to_table(self) -> pa.Table:
        """Return the student as a table of named arrays, for a `ChunkStore`."""
        arrays: dict[str, NDArray] = {"elements": self.elements}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"weight_{layer}": weight, f"bias_{layer}": bias}
        return pa.table(
            {
                "name": list(arrays),
                "type": [str(array.dtype) for array in arrays.values()],
                "shape": [list(array.shape) for array in arrays.values()],
                "data": [array.tobytes() for array in arrays.values()],
            }
        )

    @classmethod
    def from_table(cls, table: pa.Table) -> Surrogate:
        """Read what `to_table` wrote."""
        arrays = {
            row["name"]: np.frombuffer(row["data"], row["type"]).reshape(row["shape"])
            for row in table.to_pylist()
        }
        layers = range((len(arrays) - 1) // 2)
        return cls(
            arrays["elements"],
            tuple(arrays[f"weight_{layer}"] for layer in layers),
            tuple(arrays[f"bias_{layer}"] for layer in layers),
        )


def hopeless(probability: Array) -> float:
    """Return the joint probability below which the bottom HOPELESS_SHARE of a random sample lies."""
    return float(np.quantile(np.nan_to_num(probability), HOPELESS_SHARE))


def _features(compositions: Compositions, phase: Phases, elements: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return fractions of the elements, their square roots and the phase, [N, 2D + P].

    The root tells a trace of an element from none.
    """
    amounts = compositions.amounts.astype(np.float32)
    fraction = amounts / amounts.sum(axis=1, keepdims=True)
    column = np.full(MAX_ATOMIC_NUMBER + 1, len(elements))
    column[elements] = np.arange(len(elements))
    dense = np.zeros((len(fraction), len(elements) + 1), np.float32)
    # An element fills one place of a row: nothing is written twice but zeros to the spare column.
    np.put_along_axis(dense, column[compositions.atomic_numbers], fraction, axis=1)
    dense = dense[:, :-1]
    phases = np.eye(len(PHASES), dtype=np.float32)[phase]
    return np.concatenate([dense, np.sqrt(dense), phases], axis=1)
