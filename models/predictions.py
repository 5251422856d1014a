"""What a prediction is: an ensemble's distribution, never a bare number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from softlyte.datasets.columns import INTERVAL_LEVEL

FloatArray = NDArray[np.float64]
Rows = slice | NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class PropertyPrediction:
    """One property of N materials as E equally likely normal distributions.

    The members' means carry what the ensemble does not know (epistemic), their standard deviations the
    scatter of the data (aleatoric). Both are calibrated: their summed spread covers held-out rows at
    the stated level.

    Attributes:
        member_mean: [E, N] in the transformed unit (log10 of the unit where transform is "log10").
        member_sd: [E, N] in the same unit, > 0.
        transform: "log10" or "identity".
    """

    member_mean: FloatArray
    member_sd: FloatArray
    transform: Literal["log10", "identity"] = "identity"

    def __len__(self) -> int:
        return self.member_mean.shape[1]

    def mean(self) -> FloatArray:
        """Return the mean in the transformed unit, [N]."""
        return self.member_mean.mean(axis=0)

    def sd(self) -> FloatArray:
        """Return the total standard deviation in the transformed unit, [N]."""
        return np.sqrt((self.member_sd**2).mean(axis=0) + self.member_mean.var(axis=0))

    def epistemic_share(self) -> FloatArray:
        """Return the share of the variance that comes from disagreement of the members, [N] in 0..1."""
        return self.member_mean.var(axis=0) / self.sd() ** 2

    def median(self) -> FloatArray:
        """Return the median in the property's own unit, [N]."""
        return self._linear(self.mean())

    def interval(self, level: float = INTERVAL_LEVEL) -> tuple[FloatArray, FloatArray]:
        """Return the central interval at a level in the property's own unit, two [N] arrays."""
        half = ndtri(0.5 + level / 2) * self.sd()
        return self._linear(self.mean() - half), self._linear(self.mean() + half)

    def member_probability_below(self, x: float | FloatArray) -> FloatArray:
        """Return each member's probability of a value below x (own unit; scalar or [N]), [E, N]."""
        return ndtr((self._transformed(x) - self.member_mean) / self.member_sd)

    def probability_below(self, x: float | FloatArray) -> FloatArray:
        """Return the ensemble's probability of a value below x (own unit; scalar or [N]), [N]."""
        return self.member_probability_below(x).mean(axis=0)

    def take(self, rows: Rows) -> PropertyPrediction:
        """Return the chosen materials."""
        return PropertyPrediction(self.member_mean[:, rows], self.member_sd[:, rows], self.transform)

    def where_known(self, otherwise: PropertyPrediction) -> PropertyPrediction:
        """Return this property, with another prediction of it where this one is NaN.

        Args:
            otherwise: [E, N] of the same transform.
        """
        known = np.isfinite(self.member_mean).all(axis=0)
        return PropertyPrediction(
            np.where(known, self.member_mean, otherwise.member_mean),
            np.where(known, self.member_sd, otherwise.member_sd),
            self.transform,
        )

    def with_members(self, count: int) -> PropertyPrediction:
        """Return the same mean and spreads carried by another number of members.

        Args:
            count: of members, those of an ensemble that this property joins.
        """
        if count == len(self.member_mean):
            return self
        centre, shared = self.mean(), np.sqrt((self.member_sd**2).mean(axis=0))
        # Equally likely normal scores of variance 1 stand for the members.
        scores = ndtri((np.arange(count) + 0.5) / count)
        scores = scores / scores.std() if count > 1 else scores
        apart = self.member_mean.std(axis=0)
        if count == 1:
            shared = np.hypot(shared, apart)
        spread = np.broadcast_to(shared, (count, len(self))).copy()
        return PropertyPrediction(centre + scores[:, None] * apart, spread, self.transform)

    def widened(self, factor: FloatArray) -> PropertyPrediction:
        """Return the same means with every spread multiplied by a factor, [N]."""
        centre = self.mean()
        drawn = centre + (self.member_mean - centre) * factor
        return PropertyPrediction(drawn, self.member_sd * factor, self.transform)

    def _linear(self, x: FloatArray) -> FloatArray:
        return 10.0**x if self.transform == "log10" else x

    def _transformed(self, x: float | FloatArray) -> FloatArray:
        if self.transform == "identity":
            return np.asarray(x, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(np.maximum(np.asarray(x, dtype=np.float64), 0.0))


@dataclass(frozen=True)
class StructurePredictions:
    """What N structures say of themselves.

    Attributes:
        properties: by name: bulk_modulus_gpa, shear_modulus_gpa, youngs_modulus_gpa,
            formation_energy_ev_atom, density_g_cm3, [E, N] each.
        modulus_correlation: correlation of the residuals of log10 K and log10 G, -1..1.
    """

    properties: Mapping[str, PropertyPrediction]
    modulus_correlation: float


@dataclass(frozen=True)
class Predictions:
    """Every property of N materials.

    Attributes:
        properties: by name: bulk_modulus_gpa, shear_modulus_gpa, youngs_modulus_gpa, hardness_gpa,
            sigma_s_cm (25 C unless asked otherwise), formation_energy_ev_atom, oxidation_v,
            reduction_v, density_g_cm3, glass_transition_k.
        applicability: [N], 1 as well founded as the best held-out rows, 0 beyond all of them.
        unknown_elements: [N] True where an element was never seen in training.
        modulus_correlation: correlation of the residuals of log10 K and log10 G, -1..1.
    """

    properties: Mapping[str, PropertyPrediction]
    applicability: FloatArray
    unknown_elements: NDArray[np.bool_]
    modulus_correlation: float = 0.0

    def __len__(self) -> int:
        return len(self.applicability)

    def __getitem__(self, name: str) -> PropertyPrediction:
        """Return one property; raises KeyError naming the known ones."""
        try:
            return self.properties[name]
        except KeyError:
            raise KeyError(f"no property {name!r}; there are {', '.join(self.properties)}") from None

    def with_structures(self, known: StructurePredictions) -> Predictions:
        """Return these predictions with what structures say of themselves in place of the ensemble's."""
        members = len(next(iter(self.properties.values())).member_mean)
        fitted = {name: p.with_members(members) for name, p in known.properties.items()}
        return replace(
            self,
            properties=MappingProxyType({**self.properties, **fitted}),
            modulus_correlation=known.modulus_correlation,
        )

    def take(self, rows: Rows) -> Predictions:
        """Return the chosen materials."""
        return Predictions(
            MappingProxyType({name: p.take(rows) for name, p in self.properties.items()}),
            self.applicability[rows],
            self.unknown_elements[rows],
            self.modulus_correlation,
        )


def concatenate(parts: list[Predictions]) -> Predictions:
    """Join predictions of several batches; raises ValueError if there are none."""
    if not parts:
        raise ValueError("there is no prediction to join; give at least one batch")
    joined = {
        name: PropertyPrediction(
            np.concatenate([p.properties[name].member_mean for p in parts], axis=1),
            np.concatenate([p.properties[name].member_sd for p in parts], axis=1),
            first.transform,
        )
        for name, first in parts[0].properties.items()
    }
    return Predictions(
        MappingProxyType(joined),
        np.concatenate([p.applicability for p in parts]),
        np.concatenate([p.unknown_elements for p in parts]),
        parts[0].modulus_correlation,
    )


def youngs_modulus(
    bulk: PropertyPrediction, shear: PropertyPrediction, residual_correlation: float
) -> PropertyPrediction:
    """Return E = 9KG/(3K+G) from the predicted bulk and shear modulus.

    Within one member log10 E is linearised about its mean: d ln E/d ln K = G/(3K+G) and
    d ln E/d ln G = 3K/(3K+G), which sum to 1. The members' spread is carried exactly.

    Args:
        bulk: log10 K, [E, N].
        shear: log10 G, [E, N].
        residual_correlation: correlation of the two residuals on held-out rows, -1..1.
    """
    k, g = 10.0**bulk.member_mean, 10.0**shear.member_mean
    weight_k = g / (3 * k + g)
    weight_g = 1.0 - weight_k
    a, b = weight_k * bulk.member_sd, weight_g * shear.member_sd
    variance = a**2 + b**2 + 2 * residual_correlation * a * b
    return PropertyPrediction(
        np.log10(9 * k * g / (3 * k + g)), np.sqrt(np.maximum(variance, 1e-12)), "log10"
    )
