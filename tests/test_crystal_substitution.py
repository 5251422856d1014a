"""Ordering of parents, ionic substitution, and the files of `softlyte crystals`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Species, Structure
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.errors import UserError
from softlyte.datasets.tables import load_table
from softlyte.screening.crystals.generate import (
    CrystalSpace,
    enumerate_crystals,
    read_crystals,
    write_crystals,
)
from softlyte.screening.crystals.ordering import OrderingError, ordered, oxidation_states, thinned
from softlyte.screening.crystals.parents import Parent, parents_from_files
from softlyte.screening.crystals.substitution import (
    Palette,
    assignments,
    fill,
    patterns,
    relative_likelihood,
    substitute,
    too_close,
)
from softlyte.screening.space import load_space

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def cif_of(entry: str) -> Structure:
    table = load_table("crystal_parents").set_index("id")
    return Structure.from_str(table.loc[entry, "cif"], fmt="cif")


@pytest.fixture(scope="module")
def spinel() -> Parent:
    return Parent.of("spinel", "test", ordered(cif_of("dvn")))


@pytest.fixture(scope="module")
def monoclinic() -> Parent:
    return Parent.of("monoclinic", "test", ordered(cif_of("de5")))


PALETTE = Palette(
    (Species("Li", 1), Species("Na", 1)),
    (Species("Mg", 2), Species("Zn", 2), Species("In", 3), Species("Zr", 4)),
    (Species("Cl", -1), Species("Br", -1), Species("O", -2)),
)


@pytest.mark.parametrize(("entry", "formula", "sites"), [("dvn", "Li2MgCl4", 14), ("de5", "Li3InCl6", 10)])
def test_disordered_parents_become_whole_and_neutral(entry: str, formula: str, sites: int) -> None:
    cell = ordered(cif_of(entry))
    assert cell.is_ordered
    assert cell.composition.reduced_formula == formula
    assert len(cell) == sites
    assert cell.charge == 0


def test_a_crystal_without_neutral_states_is_refused() -> None:
    with pytest.raises(OrderingError, match="no neutral oxidation states"):
        oxidation_states(Composition("Mn3O4"))


def test_thinning_keeps_the_number_asked_for(monoclinic: Parent) -> None:
    left = thinned(monoclinic.structure, "Li+", 2)
    assert left.composition["Li+"] == 2
    with pytest.raises(OrderingError, match="cannot be kept"):
        thinned(monoclinic.structure, "Li+", 3)


def test_likelihood_prefers_like_ions() -> None:
    aluminium = Species("Al", 3)
    assert relative_likelihood(aluminium, aluminium) == 1
    assert (
        relative_likelihood(Species("Ga", 3), aluminium)
        > relative_likelihood(Species("La", 3), aluminium)
        > 0
    )
    # An ion that pymatgen's table does not hold is never likely.
    assert relative_likelihood(aluminium, Species("S", -1)) == 0


def test_every_filling_is_neutral_mobile_and_a_halide(monoclinic: Parent) -> None:
    fillings = 0
    for groups in patterns(monoclinic):
        for species, likelihood in assignments(groups, PALETTE, 1e-3):
            fillings += 1
            assert sum(s.oxi_state * len(g.sites) for g, s in zip(groups, species, strict=True)) == 0
            assert {"Li", "Na"} & {s.symbol for s in species}
            assert {"Cl", "Br"} & {s.symbol for s in species}
            assert 1e-3 <= likelihood <= 1
    assert fillings > 5


def test_volume_follows_the_radii(monoclinic: Parent) -> None:
    groups = next(patterns(monoclinic))
    same = fill(monoclinic, groups, [g.old for g in groups])
    assert same.volume == pytest.approx(monoclinic.structure.volume)
    bromide = [Species("Br", -1) if g.old.symbol == "Cl" else g.old for g in groups]
    # Measured cells: Li3InBr6 is about 17% larger than Li3InCl6 (radii 1.96 and 1.81 angstrom).
    assert 1.10 < fill(monoclinic, groups, bromide).volume / same.volume < 1.25


def test_ions_on_top_of_each_other_are_noticed() -> None:
    states = {"Li": 1.0, "Cl": -1.0}
    assert not too_close(ROCK_SALT, states)
    squeezed = ROCK_SALT.copy()
    squeezed.scale_lattice(ROCK_SALT.volume * 0.2)
    assert too_close(squeezed, states)


def test_substitution_is_reproducible_and_without_duplicates(spinel: Parent, monoclinic: Parent) -> None:
    first = substitute([spinel, monoclinic], PALETTE, 1e-2)
    second = substitute([spinel, monoclinic], PALETTE, 1e-2)
    assert [(c.name, c.likelihood) for c in first.crystals] == [
        (c.name, c.likelihood) for c in second.crystals
    ]
    assert all(a.structure == b.structure for a, b in zip(first.crystals, second.crystals, strict=True))
    names = [c.name for c in first.crystals]
    assert len(set(names)) == len(names)
    assert "Li3InCl6-1" in names
    assert first.left_out["same structure as another"] > 0


def test_one_composition_from_the_parents(spinel: Parent) -> None:
    found = substitute([spinel], PALETTE, 1e-3, formula="Li4Zn2Cl8").crystals
    assert {c.formula for c in found} == {"Li2ZnCl4"}
    assert not substitute([spinel], PALETTE, 1e-3, formula="LiTaOCl4").crystals


def test_policies_of_a_space_hold() -> None:
    palette = Palette.of_space(load_space())
    assert Species("Li", 1) in palette.mobile
    assert "Bi" not in {s.symbol for s in palette.cations}
    assert palette.only(["Li", "Zr", "Cl"]).cations == (Species("Zr", 4),)


def test_own_parents_and_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "rock.cif", tmp_path / "bad.cif"
    ROCK_SALT.to(filename=str(good))
    bad.write_text("data_x\n")
    found = enumerate_crystals(parents=[good, bad], shipped=False)
    assert {c.formula for c in found.crystals} >= {"LiCl", "NaBr"}
    assert [f.name for f in found.failures] == [str(bad)]
    write_crystals(found, tmp_path / "out", cif=True)
    again = read_crystals(tmp_path / "out" / "crystals.jsonl")
    assert [c.name for c in again] == [c.name for c in found.crystals]
    assert np.allclose(
        again[0].structure.lattice.matrix, found.crystals[0].structure.lattice.matrix, atol=1e-5
    )
    assert len(list((tmp_path / "out" / "cif").iterdir())) == len(again)
    with pytest.raises(UserError, match="written over"):
        write_crystals(found, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "2"], "not between 0 and 1"),
        (["--own-only"], "no usable parent"),
        (["--formula", "Xx3"], "Xx3"),
    ],
)
def test_mistakes_get_a_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["crystals", "--out", str(tmp_path / "o"), *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_command_writes_crystals(tmp_path: Path) -> None:
    ROCK_SALT.to(filename=str(tmp_path / "rock.cif"))
    out = tmp_path / "out"
    arguments = ["crystals", "--out", str(out), "--parent", str(tmp_path / "rock.cif"), "--own-only"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    first = json.loads((out / "crystals.jsonl").read_text().splitlines()[0])
    assert first["parent"] == "rock.cif"
    assert Structure.from_dict(first["structure"]).is_ordered


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "crystals.jsonl"
    path.write_text("{}\n")
    with pytest.raises(UserError, match="line 1"):
        read_crystals(path)


def test_table_counts_what_was_found() -> None:
    assert list(CrystalSpace((), {}, ()).table().columns)[:2] == ["name", "formula"]


def test_unusable_own_parent_is_listed(tmp_path: Path) -> None:
    metal = Structure(Lattice.cubic(4), ["Na", "K"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    metal.to(filename=str(tmp_path / "metal.cif"))
    found = parents_from_files([tmp_path / "metal.cif"])
    assert not found.parents
    assert "not what it would be in a salt" in found.failures[0].reason
