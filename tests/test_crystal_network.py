"""The crystal networks: what must not change their outputs, what must, and learning."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from softlyte.featurize.crystal_batch import CrystalBatch
from softlyte.models.crystal_blocks import AngularBasis, RadialBasis, envelope
from softlyte.models.crystal_layers import directions
from softlyte.models.crystal_network import (
    CrystalNetwork,
    CrystalNetworkConfig,
    GraphConfig,
    TensorNetwork,
    crystal_network,
)
from softlyte.models.crystal_tasks import CRYSTAL_COLUMNS, CRYSTAL_TASKS, CrystalLoss
from softlyte.models.network import NetworkOutput
from softlyte.models.tasks import TARGET_NAMES, TASK_NAMES

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
TRICLINIC = Structure(
    Lattice.from_parameters(5.1, 6.3, 7.2, 78.0, 96.0, 103.0),
    ["Li", "Cl", {"Zr": 0.6, "Y": 0.3}, "O", {"Li": 0.4}],
    [[0.02, 0.11, 0.2], [0.4, 0.55, 0.13], [0.71, 0.3, 0.62], [0.22, 0.81, 0.47], [0.55, 0.05, 0.9]],
)
GRAPH = GraphConfig()
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")),
]
BOTH = ("angles", "tensors")


def config_of(architecture: str, **settings: object) -> CrystalNetworkConfig:
    small = {
        "width": 16,
        "edge_width": 8,
        "layers": 2,
        "radial": 8,
        "head_width": 8,
        "architecture": architecture,
    }
    return CrystalNetworkConfig.model_validate(small | settings)


def network_of(architecture: str, **settings: object) -> CrystalNetwork:
    torch.manual_seed(0)
    return crystal_network(config_of(architecture, **settings), GRAPH).eval()


def batch_of(*structures: Structure) -> CrystalBatch:
    return GRAPH.featurizer()(list(structures))


def same(network: CrystalNetwork, one: Structure, other: Structure) -> None:
    with torch.no_grad():
        first, second = network(batch_of(one)), network(batch_of(other))
    torch.testing.assert_close(first.mean, second.mean, atol=2e-5, rtol=2e-4)
    torch.testing.assert_close(first.log_scale, second.log_scale, atol=2e-5, rtol=2e-4)


def turned(structure: Structure, seed: int = 1) -> tuple[Structure, np.ndarray]:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation = matrix * np.sign(np.linalg.det(matrix))
    lattice = Lattice(structure.lattice.matrix @ rotation.T)
    return Structure(lattice, structure.species_and_occu, structure.frac_coords), rotation


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("architecture", BOTH)
def test_shapes_and_an_untouched_batch(architecture: str, device: str) -> None:
    network = network_of(architecture, volume_noise=0.1).to(device).train()
    batch = batch_of(ROCK_SALT, TRICLINIC).to(device)
    before = [t.clone() for t in batch]
    out = network(batch)
    assert out.mean.shape == out.log_scale.shape == (2, len(CRYSTAL_TASKS))
    assert out.mean.device.type == device
    for old, new in zip(before, batch, strict=True):
        torch.testing.assert_close(old, new)


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("structure", [ROCK_SALT, TRICLINIC], ids=["rock salt", "triclinic"])
def test_frame_cell_and_order_change_nothing(architecture: str, structure: Structure) -> None:
    network = network_of(architecture)
    same(network, structure, turned(structure)[0])
    moved = structure.copy()
    moved.translate_sites(range(len(moved)), [0.31, -0.7, 1.4], to_unit_cell=False)
    same(network, structure, moved)
    mirrored = Structure(
        Lattice(-structure.lattice.matrix), structure.species_and_occu, structure.frac_coords
    )
    same(network, structure, mirrored)
    double = structure.copy()
    double.make_supercell([[1, 0, 1], [0, 2, 0], [0, 0, 1]])
    same(network, structure, double)
    same(network, structure, Structure.from_sites(list(structure)[::-1]))


@pytest.mark.parametrize("architecture", BOTH)
def test_a_prediction_does_not_depend_on_the_rest_of_the_batch(architecture: str) -> None:
    network = network_of(architecture)
    with torch.no_grad():
        together = network(batch_of(ROCK_SALT, TRICLINIC, ROCK_SALT)).mean
        alone = torch.cat([network(batch_of(s)).mean for s in (ROCK_SALT, TRICLINIC, ROCK_SALT)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", BOTH)
def test_how_disorder_is_written_changes_nothing(architecture: str) -> None:
    cell, place = Lattice.orthorhombic(4.0, 4.3, 4.6), [[0, 0, 0], [0.5, 0.5, 0.5]]
    whole = Structure(cell, [{"Li": 0.8}, "Cl"], place)
    # The same place as two sites that are never filled together, and a species written twice.
    split = Structure(cell, [{"Li": 0.4}, {"Li": 0.4}, "Cl"], [place[0], place[0], place[1]])
    same(network_of(architecture), whole, split)


@pytest.mark.parametrize("architecture", BOTH)
def test_a_vanishing_occupancy_is_an_empty_site(architecture: str) -> None:
    cell, place = Lattice.cubic(4.4), [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.0, 0.5]]
    empty = Structure(cell, ["Cs", "Cl"], place[:2])
    nearly = Structure(cell, ["Cs", "Cl", {"F": 1e-7}], place)
    same(network_of(architecture), empty, nearly)
    filled = Structure(cell, ["Cs", "Cl", {"F": 0.5}], place)
    with torch.no_grad():
        out = network_of(architecture)(batch_of(empty, filled)).mean
    assert (out[0] - out[1]).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", BOTH)
def test_polymorphs_with_equal_lengths_differ_by_their_angles(architecture: str) -> None:
    # Chains, straight and zigzag, with the same bond: within 3 A only the angle tells them apart.
    far, bond, bend = 9.0, 2.0, np.radians(100.0)
    straight = Structure(Lattice.orthorhombic(2 * bond, far, far), ["Se", "Se"], [[0, 0, 0], [0.5, 0, 0]])
    period, height = 2 * bond * np.sin(bend / 2), bond * np.cos(bend / 2)
    zigzag = Structure(
        Lattice.orthorhombic(period, far, far), ["Se", "Se"], [[0, 0, 0], [0.5, height / far, 0]]
    )
    graph = GraphConfig(cutoff_angstrom=3.0)
    batch = graph.featurizer()([straight, zigzag])
    assert batch.edge_index.shape[1] == 8
    torch.testing.assert_close(batch.distances(), torch.full((8,), bond))
    torch.manual_seed(0)
    network = crystal_network(config_of(architecture), graph).eval().double()
    # The bonds and the volume of the cell are made exactly the same, so that only the angles differ.
    unit = torch.nn.functional.normalize(batch.displacement.double(), dim=1)
    batch = batch._replace(
        displacement=bond * unit,
        occupancy=batch.occupancy.double(),
        volume=torch.full((2,), 36.0, dtype=torch.float64),
    )
    with torch.no_grad():
        out = network(batch).mean
    # Double precision: what does not come from the angles is below 1e-12.
    assert (out[0] - out[1]).abs().max() > 1e-7


def test_vectors_turn_with_the_crystal_and_scalars_do_not() -> None:
    network = network_of("tensors")
    assert isinstance(network, TensorNetwork)
    other, rotation = turned(TRICLINIC)
    with torch.no_grad():
        one, two = batch_of(TRICLINIC), batch_of(other)
        scalar, tensor = network.features(one, one.displacement)
        scalar_turned, tensor_turned = network.features(two, two.displacement)
    torch.testing.assert_close(scalar, scalar_turned, atol=1e-5, rtol=1e-4)
    matrix = torch.from_numpy(rotation).float()
    expected = torch.einsum("ij,vjw->viw", matrix, tensor[:, :3])
    torch.testing.assert_close(expected, tensor_turned[:, :3], atol=1e-5, rtol=1e-3)
    assert tensor[:, :3].abs().max() > 1e-3
    # The lengths of the tensors of order 2 stay, their components do not.
    before, after = tensor[:, 3:].norm(dim=1), tensor_turned[:, 3:].norm(dim=1)
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-3)
    assert (tensor[:, 3:] - tensor_turned[:, 3:]).abs().max() > 1e-3


def test_harmonics_obey_the_addition_theorem() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64)
    cosine = torch.cosine_similarity(one, other)
    for order, legendre in ((1, cosine), (2, 1.5 * cosine**2 - 0.5)):
        product = (directions(one, order) * directions(other, order)).sum(dim=1)
        torch.testing.assert_close(product, legendre)


def test_bases() -> None:
    angle = torch.linspace(0.0, np.pi, 7, dtype=torch.float64)
    expected = torch.cos(angle[:, None] * torch.arange(5))
    torch.testing.assert_close(AngularBasis(5)(angle.cos()), expected, atol=1e-12, rtol=0)
    assert AngularBasis(2)(angle).shape == (7, 2)
    ends = torch.tensor([0.0, 5.999, 6.0, 9.0], dtype=torch.float64)
    assert envelope(ends, 6.0).tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-8)
    assert RadialBasis(4, 6.0)(torch.tensor([2.0, 6.0]))[1].abs().max() < 1e-5


def test_volume_noise_acts_in_training_only() -> None:
    network = network_of("tensors", volume_noise=0.1, element_dropout=0.0)
    batch = batch_of(TRICLINIC)
    with torch.no_grad():
        torch.testing.assert_close(network(batch).mean, network(batch).mean, atol=0, rtol=0)
        network.train()
        assert (network(batch).mean - network(batch).mean).abs().max() > 1e-5


def test_the_loss_sees_the_heads_in_their_columns_and_no_other_task() -> None:
    n = len(TARGET_NAMES)
    loss = CrystalLoss(torch.zeros(n), torch.ones(n), torch.ones(n), scale_exponent=0.0)
    mean = torch.zeros(1, len(CRYSTAL_TASKS), requires_grad=True)
    targets = torch.full((1, n), torch.nan)
    head = CRYSTAL_TASKS.index("formation_energy_ev_atom")
    targets[0, TASK_NAMES.index("formation_energy_ev_atom")] = 2.0
    value = loss(NetworkOutput(mean, torch.zeros_like(mean)), targets, torch.zeros(1, dtype=torch.bool))
    value.backward()
    # ln 2b + |2 - 0| / b with b = 1.
    assert float(value) == pytest.approx(np.log(2.0) + 2.0)
    assert mean.grad is not None
    assert (mean.grad[0] != 0).nonzero().flatten().tolist() == [head]
    assert [TASK_NAMES[i] for i in CRYSTAL_COLUMNS] == list(CRYSTAL_TASKS)


def sixteen() -> list[Structure]:
    """Four structure types of four salts."""
    salts = [("Li", "Cl", 5.1), ("Na", "Br", 5.97), ("K", "F", 5.35), ("Rb", "I", 7.3)]
    out = []
    for cation, anion, a in salts:
        ends = [[0, 0, 0], [0.5, 0.5, 0.5]]
        out.append(Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], ends))
        out.append(Structure(Lattice.cubic(0.61 * a), [cation, anion], ends))
        blende = [[0, 0, 0], [0.25, 0.25, 0.25]]
        out.append(Structure.from_spacegroup("F-43m", Lattice.cubic(1.08 * a), [cation, anion], blende))
        out.append(Structure.from_spacegroup("Fm-3m", Lattice.cubic(1.2 * a), [cation, {anion: 0.5}], blende))
    return out


@pytest.mark.parametrize("architecture", BOTH)
def test_sixteen_structures_can_be_learned_by_heart(architecture: str) -> None:
    torch.manual_seed(0)
    network = crystal_network(config_of(architecture, element_dropout=0.0), GRAPH)
    # Primitive cells: the same graphs per atom, fewer of them.
    batch = batch_of(*(s.get_primitive_structure() for s in sixteen()))
    n = len(TARGET_NAMES)
    targets = torch.full((16, n), torch.nan)
    targets[:, list(CRYSTAL_COLUMNS)] = torch.randn(16, len(CRYSTAL_TASKS))
    loss = CrystalLoss(torch.zeros(n), torch.ones(n), torch.ones(n), scale_exponent=1.0)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=300)
    for _ in range(300):
        optimiser.zero_grad()
        loss(network(batch), targets, torch.zeros(16, dtype=torch.bool)).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        error = (network(batch).mean - targets[:, list(CRYSTAL_COLUMNS)]).abs().mean()
    assert error < 0.05


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        config_of("angles", width=18)
