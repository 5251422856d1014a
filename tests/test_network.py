"""The composition network: invariants, parity with torch-geometric's edge lists, and learning."""

import numpy as np
import pytest
import torch

from softlyte.datasets.formulas import Compositions
from softlyte.featurize.composition import CompositionBatch, CompositionFeaturizer, edge_index
from softlyte.models.blocks import ElementAttention
from softlyte.models.loss import MultiTaskLoss, with_youngs_modulus
from softlyte.models.network import CompositionNetwork, NetworkConfig, NetworkOutput
from softlyte.models.tasks import TARGET_NAMES, TASKS

FORMULAS = ["LiCl", "Li3YCl6", "LiAlCl2.5O0.75", "Li7La3Zr2O12", "NaCl"]
SMALL = NetworkConfig(width=32, layers=2, heads=4, head_width=16)


@pytest.fixture
def network() -> CompositionNetwork:
    torch.manual_seed(0)
    return CompositionNetwork(SMALL).eval()


def batch_of(formulas: list[str], **conditions: object) -> CompositionBatch:
    return CompositionFeaturizer()(Compositions.from_formulas(formulas), **conditions)  # type: ignore[arg-type]


def test_dense_and_edge_list_message_passing_agree() -> None:
    torch.manual_seed(1)
    layer = ElementAttention(width=32, heads=4).eval()
    batch = batch_of(FORMULAS)
    x = torch.randn(*batch.element.shape, 32)
    edges, node = edge_index(batch.element)
    dense = layer.forward_dense(x, batch.fraction.log()).flatten(end_dim=1)[node]
    sparse = layer(x.flatten(end_dim=1)[node], edges, batch.fraction.flatten()[node])
    torch.testing.assert_close(dense, sparse, atol=1e-5, rtol=1e-5)


def test_output_shapes_and_untouched_batch(network: CompositionNetwork) -> None:
    batch = batch_of(FORMULAS)
    before = [t.clone() for t in batch]
    out = network(batch)
    assert out.mean.shape == out.log_scale.shape == (len(FORMULAS), len(TASKS))
    for old, new in zip(before, batch, strict=True):
        torch.testing.assert_close(old, new)


def test_prediction_does_not_depend_on_the_rest_of_the_batch(network: CompositionNetwork) -> None:
    together = network(batch_of(FORMULAS)).mean
    alone = torch.cat([network(batch_of([f])).mean for f in FORMULAS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_scale_of_a_formula_is_irrelevant(network: CompositionNetwork) -> None:
    a, b = network(batch_of(["LiAlCl2.5O0.75"])), network(batch_of(["Li8Al8Cl20O6"]))
    torch.testing.assert_close(a.mean, b.mean)


def test_splitting_an_element_in_two_halves_changes_nothing(network: CompositionNetwork) -> None:
    element = torch.tensor([[3, 17, 0], [3, 17, 17]])
    fraction = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]])
    layer = network.layers[0]
    x = torch.randn(1, 2, 32)
    two = torch.cat([x, torch.zeros(1, 1, 32)], dim=1)
    three = torch.cat([x, x[:, 1:]], dim=1)
    first = layer.forward_dense(two, fraction[:1].log())
    second = layer.forward_dense(three, fraction[1:].log())
    torch.testing.assert_close(first[:, :2], second[:, :2], atol=1e-5, rtol=1e-5)
    assert element.shape == fraction.shape


def test_conductivity_rises_with_temperature_and_nothing_else_moves(network: CompositionNetwork) -> None:
    cold, hot = (network(batch_of(["Li3YCl6"], temperature_c=t)).mean[0] for t in (25.0, 200.0))
    for i, task in enumerate(TASKS):
        if task.arrhenius:
            assert hot[i] > cold[i]
        else:
            assert hot[i] == cold[i]


def test_a_batch_can_be_learned_by_heart() -> None:
    torch.manual_seed(0)
    network = CompositionNetwork(SMALL.model_copy(update={"element_dropout": 0.0}))
    batch = batch_of(FORMULAS, phase=np.array([0, 0, 1, 0, 0]))
    targets = torch.randn(len(FORMULAS), len(TARGET_NAMES))
    targets[:, -1] = torch.nan
    n = len(TARGET_NAMES)
    loss = MultiTaskLoss(torch.zeros(n), torch.ones(n), torch.ones(n), scale_exponent=1.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(300):
        optimiser.zero_grad()
        loss(network(batch), targets, torch.zeros(len(FORMULAS), dtype=torch.bool)).backward()
        optimiser.step()
    with torch.no_grad():
        error = (network(batch).mean - targets[:, :-1]).abs().mean()
    assert error < 0.05


def test_unlabelled_targets_give_no_gradient() -> None:
    n = len(TARGET_NAMES)
    loss = MultiTaskLoss(torch.zeros(n), torch.ones(n), torch.ones(n))
    mean = torch.zeros(1, len(TASKS), requires_grad=True)
    targets = torch.full((1, n), torch.nan)
    targets[0, 3] = 1.0
    output = NetworkOutput(mean, torch.zeros(1, len(TASKS)))
    loss(output, targets, torch.zeros(1, dtype=torch.bool)).backward()
    assert mean.grad is not None
    assert (mean.grad[0] != 0).nonzero().flatten().tolist() == [3]


def test_censored_label_pulls_down_only_from_above() -> None:
    n, task = len(TARGET_NAMES), 2
    loss = MultiTaskLoss(torch.zeros(n), torch.ones(n), torch.ones(n))
    targets = torch.full((1, n), torch.nan)
    targets[0, task] = 0.0
    values = []
    for location in (-30.0, 0.0, 3.0):
        mean = torch.zeros(1, len(TASKS))
        mean[0, task] = location
        out = NetworkOutput(mean, torch.zeros(1, len(TASKS)))
        values.append(float(loss(out, targets, torch.ones(1, dtype=torch.bool))))
    # Far below the bound: certain, no loss. At the bound: F = 1/2. Above: F = exp(-3)/2.
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert values[1] == pytest.approx(np.log(2.0), rel=1e-6)
    assert values[2] == pytest.approx(np.log(2.0) + 3.0, rel=1e-6)


def test_youngs_modulus_of_the_heads_is_9kg_over_3k_plus_g() -> None:
    n = len(TARGET_NAMES)
    mean, sd = torch.linspace(0.5, 1.5, n), torch.linspace(0.2, 0.6, n)
    k, g = 40.0, 25.0
    location = torch.zeros(1, len(TASKS))
    location[0, 0] = (np.log10(k) - mean[0]) / sd[0]
    location[0, 1] = (np.log10(g) - mean[1]) / sd[1]
    full, _ = with_youngs_modulus(NetworkOutput(location, torch.zeros_like(location)), mean, sd)
    assert 10 ** float(full[0, -1] * sd[-1] + mean[-1]) == pytest.approx(9 * k * g / (3 * k + g), rel=1e-5)
