"""Crystal graphs: known shells, brute force, and everything that must not change them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from softlyte.featurize.crystal_batch import CrystalBatch, CrystalGraphs
from softlyte.featurize.crystal_graph import CrystalFeaturizer
from softlyte.featurize.crystals import CrystalError, Crystals

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
FLUORITE = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]
)
LITHIUM = Structure(Lattice.cubic(3.51), ["Li", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5]])
TRICLINIC = Structure(
    Lattice.from_parameters(5.1, 6.3, 7.2, 78.0, 96.0, 103.0),
    ["Li", "Cl", {"Zr": 0.6, "Y": 0.3}, "O", {"Li": 0.4}],
    [[0.02, 0.11, 0.2], [0.4, 0.55, 0.13], [0.71, 0.3, 0.62], [0.22, 0.81, 0.47], [0.55, 0.05, 0.9]],
)
EVERY = (ROCK_SALT, FLUORITE, LITHIUM, TRICLINIC)


def environments(batch: CrystalBatch) -> NDArray[np.float64]:
    """One row a site, sorted: what surrounds it, whatever its number and the frame's orientation.

    Sums over its edges and angles of several functions of length, angle and the species at the ends; equal
    environments have equal rows, and rows of different ones differ.
    """
    sites = len(batch.site_crystal)
    charge = torch.zeros(sites, dtype=torch.float64).index_add(
        0, batch.species_site, batch.element.double() * batch.occupancy.double()
    )
    occupied = batch.site_occupancy().double()
    source, target = batch.edge_index
    length = batch.displacement.double().norm(dim=1)
    per_edge = torch.stack(
        [torch.ones_like(length), length, length.square(), charge[source] * length, occupied[source]], dim=1
    )
    per_site = torch.zeros(sites, 5, dtype=torch.float64).index_add(0, target, per_edge)
    first, second = batch.angle_index
    cosine = batch.cosines().double()
    weight = charge[source[first]] * length[first] + length[second]
    per_angle = torch.stack([torch.ones_like(cosine), cosine, cosine**2, cosine**3 * weight], dim=1)
    per_site_angles = torch.zeros(sites, 4, dtype=torch.float64).index_add(0, target[second], per_angle)
    rows = torch.cat([charge[:, None], occupied[:, None], per_site, per_site_angles], dim=1).numpy()
    return rows[np.lexsort(np.round(rows, 2).T)]


def same(one: CrystalBatch, other: CrystalBatch, copies: int = 1) -> bool:
    """True if each environment of `one` is there `copies` times in `other`, in the same volume per site."""
    expected = np.repeat(environments(one), copies, axis=0)
    found = environments(other)
    return (
        found.shape == expected.shape
        and np.allclose(found, expected, rtol=2e-4, atol=2e-3)
        and math.isclose(float(other.volume[0]), copies * float(one.volume[0]), rel_tol=1e-5)
    )


def test_rock_salt_has_its_first_shell_and_its_octahedral_angles() -> None:
    batch = CrystalFeaturizer(neighbours=6, angle_neighbours=6)([ROCK_SALT])
    source, target = batch.edge_index
    assert torch.bincount(target).tolist() == [6] * 8
    torch.testing.assert_close(batch.distances(), torch.full((48,), 5.64 / 2))
    species = batch.element[batch.species_site]
    assert (species[source] != species[target]).all()
    cosines = batch.cosines()
    # Each octahedron has 12 right angles and 3 straight ones, each once in both directions.
    assert int((cosines.abs() < 1e-5).sum()) == 8 * 24
    assert int((cosines < -0.99999).sum()) == 8 * 6
    assert len(cosines) == 8 * 30


def test_shells_are_never_cut() -> None:
    # bcc: 8 neighbours at 3.04 A, then 6 at 3.51 A; seven atoms are asked for, eight are given; ten give 14.
    for wanted, given_ in ((7, 8), (8, 8), (9, 14), (14, 14)):
        batch = CrystalFeaturizer(neighbours=wanted)([LITHIUM])
        assert torch.bincount(batch.edge_index[1]).tolist() == [given_] * 2


@pytest.mark.parametrize("structure", EVERY, ids=lambda s: s.reduced_formula)
def test_edges_are_those_of_a_search_through_all_images(structure: Structure) -> None:
    cutoff = 5.0
    batch = CrystalFeaturizer(cutoff, neighbours=None, angle_neighbours=0)([structure])
    shifts = np.array(np.meshgrid(*[np.arange(-4, 5)] * 3)).reshape(3, -1).T @ structure.lattice.matrix
    wanted = []
    for target, here in enumerate(structure.cart_coords):
        for source, there in enumerate(structure.cart_coords):
            vectors = there + shifts - here
            length = np.linalg.norm(vectors, axis=1)
            near = (length < cutoff) & (length > 1e-6)
            wanted += [(target, source, *np.round(vector, 3)) for vector in vectors[near]]
    rounded = np.round(batch.displacement.numpy().astype(float), 3) + 0.0
    found = [
        (int(t), int(s), *vector) for s, t, vector in zip(*batch.edge_index.numpy(), rounded, strict=True)
    ]
    assert len(found) == len(wanted) > 0
    assert np.allclose(
        sorted(found), sorted((*row[:2], *(np.array(row[2:]) + 0.0)) for row in wanted), atol=2e-3
    )


@pytest.mark.parametrize("structure", EVERY, ids=lambda s: s.reduced_formula)
def test_translation_order_cell_and_supercell_change_nothing(structure: Structure) -> None:
    featurizer = CrystalFeaturizer()
    reference = featurizer([structure])
    moved = structure.copy()
    moved.translate_sites(range(len(moved)), [0.123, -0.456, 2.789], to_unit_cell=False)
    assert same(reference, featurizer([moved]))
    order = np.random.default_rng(0).permutation(len(structure))
    assert same(reference, featurizer([Structure.from_sites([structure[i] for i in order])]))
    swapped = Structure(
        Lattice(structure.lattice.matrix[[2, 0, 1]]),
        structure.species_and_occu,
        structure.frac_coords[:, [2, 0, 1]],
    )
    assert same(reference, featurizer([swapped]))
    double = structure.copy()
    double.make_supercell([[1, 1, 0], [0, 1, 0], [1, 0, 2]])
    assert same(reference, featurizer([double]), copies=2)


def rotation(axis: tuple[float, float, float], angle: float) -> NDArray[np.float64]:
    """Rotation by an angle about an axis (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@st.composite
def disordered_crystals(draw: st.DrawFn) -> Structure:
    """Cells of one to five sites at least 1 A apart, some of them mixed or partly vacant."""
    side = st.floats(3.5, 8.0)
    angle = st.floats(65.0, 115.0)
    lattice = Lattice.from_parameters(*(draw(side) for _ in range(3)), *(draw(angle) for _ in range(3)))
    place = st.tuples(*[st.floats(0.0, 0.999)] * 3)
    species = st.sampled_from(["Li", "Cl", "O", {"Li": 0.5}, {"Zr": 0.25, "Y": 0.5}, {"Cl": 0.7, "Br": 0.3}])
    structure = Structure(lattice, [draw(species)], [draw(place)])
    for _ in range(draw(st.integers(0, 4))):
        position = draw(place)
        if (structure.lattice.get_all_distances(structure.frac_coords, [position]) > 1.0).all():
            structure.append(draw(species), position)
    return structure


@settings(max_examples=40, deadline=None)
@given(
    disordered_crystals(),
    st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1),
    st.floats(0.0, 6.2),
    st.tuples(*[st.floats(-2.0, 2.0)] * 3),
)
def test_rotation_and_translation_of_any_crystal_change_nothing(
    structure: Structure,
    axis: tuple[float, float, float],
    angle: float,
    shift: tuple[float, float, float],
) -> None:
    featurizer = CrystalFeaturizer(cutoff_angstrom=5.0, neighbours=8)
    turned = Structure(
        Lattice(structure.lattice.matrix @ rotation(axis, angle).T),
        structure.species_and_occu,
        structure.frac_coords + np.array(shift),
    )
    assert same(featurizer([structure]), featurizer([turned]))


def test_rotation_turns_the_displacements() -> None:
    turn = rotation((1.0, 2.0, -0.5), 0.9)
    featurizer = CrystalFeaturizer(neighbours=None)
    turned = Structure(
        Lattice(TRICLINIC.lattice.matrix @ turn.T), TRICLINIC.species_and_occu, TRICLINIC.frac_coords
    )
    before, after = (featurizer([s]).displacement.numpy().astype(float) for s in (TRICLINIC, turned))
    expected = before @ turn.T
    assert np.allclose(*(np.sort(np.round(a @ [1.0, 37.0, 1009.0], 1)) for a in (expected, after)), atol=0.21)


def test_species_of_a_mixed_site_are_kept_with_their_occupancies() -> None:
    batch = CrystalFeaturizer()([TRICLINIC])
    assert batch.element.tolist() == [3, 17, 40, 39, 8, 3]
    assert batch.species_site.tolist() == [0, 1, 2, 2, 3, 4]
    torch.testing.assert_close(batch.occupancy, torch.tensor([1.0, 1.0, 0.6, 0.3, 1.0, 0.4]))
    torch.testing.assert_close(batch.site_occupancy(), torch.tensor([1.0, 1.0, 0.9, 1.0, 0.4]))


def test_a_half_occupied_shell_counts_half() -> None:
    # Around Cs of CsCl sit eight half-occupied Cl: four atoms. The six Cs of the next shell are reached too.
    half = Structure(Lattice.cubic(4.12), ["Cs", {"Cl": 0.5}], [[0, 0, 0], [0.5, 0.5, 0.5]])
    full = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    featurizer = CrystalFeaturizer(neighbours=8)
    assert int((featurizer([full]).edge_index[1] == 0).sum()) == 8
    assert int((featurizer([half]).edge_index[1] == 0).sum()) == 14


def test_alternative_sites_are_not_neighbours() -> None:
    split = Structure(
        Lattice.cubic(4.0), [{"Li": 0.5}, {"Li": 0.5}, "Cl"], [[0, 0, 0], [0.05, 0, 0], [0.5, 0.5, 0.5]]
    )
    batch = CrystalFeaturizer(neighbours=None)([split])
    assert float(batch.distances().min()) > 0.5
    source, target = batch.edge_index
    first, second = batch.angle_index
    ends = (batch.displacement[first] - batch.displacement[second]).norm(dim=1)
    assert float(ends.min()) > 0.5
    assert (target[first] == target[second]).all()
    assert len(source) > 0


def test_a_batch_is_its_crystals_one_after_the_other(tmp_path: Path) -> None:
    featurizer = CrystalFeaturizer()
    graphs = featurizer.pack(EVERY, fidelity=np.array([0, 1, 0, 1]))
    graphs.save(tmp_path / "graphs.safetensors")
    graphs = CrystalGraphs.load(tmp_path / "graphs.safetensors")
    assert len(graphs) == 4
    batch = graphs.take(torch.tensor([3, 0, 3]))
    assert batch.fidelity.tolist() == [1, 0, 1]
    assert batch.volume.tolist() == pytest.approx([EVERY[i].volume for i in (3, 0, 3)], rel=1e-6)
    for place, number in enumerate((3, 0, 3)):
        alone = featurizer([EVERY[number]])
        sites = torch.nonzero(batch.site_crystal == place).flatten()
        assert len(sites) == len(alone.site_crystal)
        edges = torch.nonzero(torch.isin(batch.edge_index[1], sites)).flatten()
        torch.testing.assert_close(batch.edge_index[:, edges] - sites[0], alone.edge_index)
        torch.testing.assert_close(batch.displacement[edges], alone.displacement)
        angles = torch.isin(batch.angle_index[1], edges)
        torch.testing.assert_close(batch.angle_index[:, angles] - edges[0], alone.angle_index)
        species = torch.isin(batch.species_site, sites)
        torch.testing.assert_close(batch.element[species], alone.element)
    assert graphs.edges_of_crystals().tolist() == [featurizer([s]).edge_index.shape[1] for s in EVERY]


def test_edges_of_each_site_come_by_distance() -> None:
    batch = CrystalFeaturizer()(list(EVERY))
    target, length = batch.edge_index[1], batch.distances()
    assert (target.diff() >= 0).all()
    assert ((length.diff() > -1e-5) | (target.diff() > 0)).all()


def test_an_atom_far_from_all_others_has_no_edges() -> None:
    batch = CrystalFeaturizer(cutoff_angstrom=3.0)([Structure(Lattice.cubic(9.0), ["Ar"], [[0, 0, 0]])])
    assert batch.edge_index.shape == (2, 0)
    assert batch.angle_index.shape == (2, 0)


def test_no_crystals_make_an_empty_batch() -> None:
    batch = CrystalFeaturizer()([])
    assert len(batch.volume) == len(batch.element) == batch.edge_index.shape[1] == 0


def test_damaged_graphs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "graphs.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CrystalError, match="holds no crystal graphs"):
        CrystalGraphs.load(path)


def test_crystals_keep_what_structures_hold() -> None:
    crystals = Crystals.from_structures(EVERY)
    assert crystals.densities() == pytest.approx([float(s.density) for s in EVERY], rel=1e-5)
    assert crystals.volumes() == pytest.approx([s.volume for s in EVERY])
    assert crystals.compositions().formulas()[:3] == ["NaCl", "CaF2", "Li"]
    for before, after in zip(EVERY, crystals[np.array([0, 1, 2, 3])].structures(), strict=True):
        assert after.matches(before, scale=False)
        assert after.composition.almost_equals(before.composition)
    assert len(crystals[np.array([False, True, False, True])].fractional) == len(FLUORITE) + len(TRICLINIC)


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (
            Structure(Lattice.cubic(4.0), ["Li", "Cl"], [[0, 0, 0], [0.01, 0, 0]]),
            "sites 1 and 2 lie 0.04 Å apart",
        ),
        (Structure(Lattice.cubic(0.4), ["Li"], [[0, 0, 0]]), "gives each atom 0.064 Å3"),
        (Structure(Lattice.cubic(40.0), ["Li"], [[0, 0, 0]]), "check the units"),
        (
            Structure(Lattice.orthorhombic(0.3, 9.0, 9.0), ["Li"], [[0, 0, 0]]),
            "its cell is 9 Å long and 0.3 Å thin",
        ),
        (Structure(Lattice.cubic(4.0), ["X0+"], [[0, 0, 0]]), "no element up to lawrencium"),
        (Structure(Lattice.cubic(4.0), ["Li"], [[np.nan, 0, 0]]), "not a finite number"),
        (Structure(Lattice(np.eye(3) * 4.0, pbc=(True, True, False)), ["Li"], [[0, 0, 0]]), "not periodic"),
    ],
)
def test_impossible_structures_are_refused_with_their_number(structure: Structure, reason: str) -> None:
    with pytest.raises(CrystalError, match=f"structure 2: .*{reason}"):
        Crystals.from_structures([ROCK_SALT, structure])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff_angstrom": 0.1}, "cutoff"),
        ({"neighbours": 0}, "at least 1"),
        ({"angle_neighbours": -1}, "0 for"),
    ],
)
def test_senseless_settings_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrystalFeaturizer(**arguments)  # type: ignore[arg-type]
