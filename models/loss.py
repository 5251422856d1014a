"""The multi-task loss: Laplace likelihoods with censoring, and Young's modulus through K and G."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from softlyte.models.network import LOG_SCALE_RANGE, NetworkOutput
from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES, YOUNGS_MODULUS

_BULK, _SHEAR = TASK_NAMES.index("bulk_modulus_gpa"), TASK_NAMES.index("shear_modulus_gpa")


class MultiTaskLoss(nn.Module):
    """Mean negative log-likelihood over the labels that a batch has.

    Each label is Laplace distributed about the predicted mean, which makes the mean a median and forgives
    outliers. Every label's term is multiplied with its (detached) scale to the power `scale_exponent`, so
    that noisy rows are not ignored (beta-NLL, Seitzer et al., ICLR 2022, arXiv 2203.09168, for the Laplace
    case). A censored label, an upper bound, contributes the probability of lying below it.

    Shapes:
        output.mean, output.log_scale [B, T]; targets [B, T + 1] standardised, NaN where not labelled, the
        last column Young's modulus; censored [B]; weight [B] or None for 1 -> scalar

    Args:
        mean: [T + 1] mean of each target, to undo the standardisation of K, G and E.
        sd: [T + 1] standard deviation of each target.
        weights: [T + 1] weight of each target.
        scale_exponent: 0 is the plain likelihood, 1 weighs all rows of a task alike.
    """

    mean: Tensor
    sd: Tensor
    weights: Tensor

    def __init__(self, mean: Tensor, sd: Tensor, weights: Tensor, scale_exponent: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("sd", sd.float())
        self.register_buffer("weights", weights.float())
        self.scale_exponent = scale_exponent

    def forward(
        self, output: NetworkOutput, targets: Tensor, censored: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss; 0 for a batch without labels."""
        location, log_scale = with_youngs_modulus(output, self.mean, self.sd)
        labelled = ~targets.isnan()
        residual = torch.where(labelled, targets, location) - location
        scaled = residual / log_scale.exp()
        exact = math.log(2.0) + log_scale + scaled.abs()
        loss = torch.where(censored[:, None], -_log_laplace_cdf(scaled), exact)
        loss = loss * (self.scale_exponent * log_scale.detach()).exp()
        counted = labelled * self.weights
        factor = counted if weight is None else counted * weight[:, None]
        # Divided by the labels, not by the rows' weights: a batch of doubtful rows teaches less.
        return (loss * factor).sum() / counted.sum().clamp(min=1.0)


def _log_laplace_cdf(x: Tensor) -> Tensor:
    """Return ln F(x) of the standard Laplace distribution without cancellation."""
    below = x.clamp(max=0.0) - math.log(2.0)
    above = torch.log1p(-0.5 * torch.exp(-x.clamp(min=0.0)))
    return torch.where(x < 0, below, above)


def with_youngs_modulus(output: NetworkOutput, mean: Tensor, sd: Tensor) -> tuple[Tensor, Tensor]:
    """Append log10 E = log10(9KG/(3K+G)), standardised, to the outputs of the heads.

    The scale of E is that of K and G weighed with d ln E/d ln K and d ln E/d ln G, taken as fully
    correlated.

    Returns:
        location and log_scale, [B, T + 1].
    """
    last = TARGET_NAMES.index(YOUNGS_MODULUS)
    k = output.mean[:, _BULK] * sd[_BULK] + mean[_BULK]
    g = output.mean[:, _SHEAR] * sd[_SHEAR] + mean[_SHEAR]
    # log10(9KG/(3K+G)) in a form that cannot overflow.
    ratio = torch.sigmoid((g - k) * math.log(10.0) - math.log(3.0))  # G/(3K+G)
    log_e = math.log10(3.0) + g + torch.log10(1.0 - ratio)
    scale = (
        ratio * output.log_scale[:, _BULK].exp() * sd[_BULK]
        + (1.0 - ratio) * output.log_scale[:, _SHEAR].exp() * sd[_SHEAR]
    ) / sd[last]
    location = torch.cat([output.mean, ((log_e - mean[last]) / sd[last])[:, None]], dim=1)
    log_scale = torch.cat([output.log_scale, scale.log().clamp(*LOG_SCALE_RANGE)[:, None]], dim=1)
    return location, log_scale
