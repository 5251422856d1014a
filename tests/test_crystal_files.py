"""Reading structures: every format, and a bad file that takes nothing else with it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from softlyte.featurize import crystal_files
from softlyte.featurize.crystal_files import CrystalSource, read_crystal_files, read_crystals

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
MIXED = Structure(
    Lattice.orthorhombic(5.0, 6.0, 7.0), [{"Li": 0.5}, {"Zr": 0.4, "Y": 0.6}, "Cl"], np.eye(3) * 0.4
)
MIXED_CIF = str(MIXED.to(fmt="cif"))


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_every_format_gives_the_same_crystal(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "salt.cif", SALT.to(fmt="cif")),
        write(tmp_path, "symmetric.cif", SALT.to(fmt="cif", symprec=0.01)),
        write(tmp_path, "POSCAR", SALT.to(fmt="poscar")),
        write(tmp_path, "salt.vasp", SALT.to(fmt="poscar")),
        write(tmp_path, "salt.json", SALT.to(fmt="json")),
        write(tmp_path, "salt.cif.gz", gzip.compress(SALT.to(fmt="cif").encode())),
    ]
    reading = read_crystal_files(paths)
    assert reading.failures == ()
    assert reading.names == tuple(str(path) for path in paths)
    assert reading.position.tolist() == list(range(6))
    for structure in reading.crystals.structures():
        assert structure.matches(SALT, scale=False)


def test_partial_occupancies_survive(tmp_path: Path) -> None:
    reading = read_crystal_files(
        [write(tmp_path, "mixed.cif", MIXED_CIF), write(tmp_path, "mixed.json", MIXED.to(fmt="json"))]
    )
    assert reading.failures == ()
    for number in range(2):
        occupied = np.sort(reading.crystals[np.array([number])].site_occupancy())
        assert occupied == pytest.approx([0.5, 1.0, 1.0])
    assert reading.crystals.compositions().formulas() == ["Li0.5Y0.6Zr0.4Cl"] * 2


def test_rounded_thirds_are_scaled_to_one_atom(tmp_path: Path) -> None:
    lines = [line for line in SALT.to(fmt="cif").splitlines() if not line.strip().startswith("Cl")]
    cif = "\n".join([*lines, "  Cl Cl4 1 0.5 0.5 0.5 0.334", "  Br Br4 1 0.5 0.5 0.5 0.667", ""])
    reading = read_crystal_files([write(tmp_path, "thirds.cif", cif)])
    assert reading.failures == ()
    assert reading.crystals.site_occupancy().max() <= 1.0 + 1e-9


POSCAR_WITHOUT_NAMES = (
    str(SALT.to(fmt="poscar")).replace("Na Cl\n", "", 1).replace(" Na", "").replace(" Cl", "")
)
BAD = {
    "empty.cif": ("", "it is empty"),
    "words.cif": ("this is no crystal", "cannot be read as CIF"),
    "cut.cif": (
        MIXED_CIF[: MIXED_CIF.index("_atom_site_type_symbol") - 6],
        "no usable structure|cannot be read",
    ),
    "binary.cif": (b"\0\1\2", "binary"),
    "broken.cif.gz": (b"\x1f\x8b no gzip", "cannot be read"),
    "structure.xyz": ("2\n\nNa 0 0 0\nCl 0 0 1\n", "tells no format"),
    "other.json": ('{"a": 1}', "without lattice and sites"),
    "cut.json": ('{"lattice": ', "cannot be read as JSON"),
    "nameless.vasp": (POSCAR_WITHOUT_NAMES, "names no elements"),
    "close.cif": (MIXED_CIF.replace("7.0", "0.07"), "Å3|apart"),
}


def test_bad_files_are_listed_and_lose_no_other(tmp_path: Path) -> None:
    good = write(tmp_path, "good.cif", SALT.to(fmt="cif"))
    bad = [write(tmp_path, name, content) for name, (content, _) in BAD.items()]
    missing, folder = tmp_path / "missing.cif", tmp_path / "folder.cif"
    folder.mkdir()
    reading = read_crystal_files([*bad, good, missing, folder, good])
    assert reading.names == (str(good), str(good))
    assert reading.position.tolist() == [len(bad), len(bad) + 3]
    reasons = {Path(failure.name).name: failure.reason for failure in reading.failures}
    assert set(reasons) == {*BAD, "missing.cif", "folder.cif"}
    for name, (_, expected) in BAD.items():
        assert any(part in reasons[name] for part in expected.split("|")), (name, reasons[name])
        # One sentence with a remedy behind a semicolon.
        assert ";" in reasons[name], reasons[name]
        assert "\n" not in reasons[name]
    assert "no such file" in reasons["missing.cif"]
    assert "folder" in reasons["folder.cif"]


def test_giants_are_refused_without_being_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crystal_files, "MAX_BYTES", 3_000)
    large = write(tmp_path, "large.cif.gz", gzip.compress(b"# nothing\n" * 1_000))
    cell = SALT * (2, 2, 2)
    many = CrystalSource("many", text=cell.to(fmt="poscar"), kind="poscar")
    reading = read_crystals([CrystalSource("large", large), many], max_sites=63)
    assert [failure.name for failure in reading.failures] == ["large", "many"]
    assert "larger than" in reading.failures[0].reason
    assert "64 sites, more than 63" in reading.failures[1].reason


def test_several_structures_in_one_file(tmp_path: Path) -> None:
    both = SALT.to(fmt="cif") + "\n" + MIXED_CIF.replace("_cell_length_a", "_cell_length_x", 1)
    both += "\n" + MIXED_CIF.replace("data_", "data_last_", 1)
    listed = json.dumps([json.loads(SALT.to(fmt="json")), json.loads(MIXED.to(fmt="json"))])
    reading = read_crystal_files([write(tmp_path, "three.cif", both), write(tmp_path, "two.json", listed)])
    assert [Path(name).name for name in reading.names] == [
        "three.cif",
        "three.cif#2",
        "two.json",
        "two.json#2",
    ]
    assert reading.position.tolist() == [0, 0, 1, 1]
    assert len(reading.failures) == 1
    assert "no usable structure" in reading.failures[0].reason


def test_properties_in_json_are_not_brought_to_life(tmp_path: Path) -> None:
    document = json.loads(SALT.to(fmt="json"))
    document["sites"][0]["properties"] = {"x": {"@module": "no.such.module", "@class": "Thing"}}
    reading = read_crystal_files([write(tmp_path, "salt.json", json.dumps(document))])
    assert reading.failures == ()


SCRIPT = """
import os, sys
from pathlib import Path
from softlyte.featurize import crystal_files

real = crystal_files._from_json

def deadly(text):
    if "kill" in text:
        os._exit(9)
    return real(text)

# In the main module, which every started process imports: they all have it.
crystal_files._from_json = deadly

if __name__ == "__main__":
    crystal_files._CHUNK = 2
    paths = [Path(name) for name in sys.argv[1:]]
    reading = crystal_files.read_crystal_files(paths, processes=2)
    print(",".join(Path(name).stem for name in reading.names))
    print(";;".join(f"{Path(f.name).stem}: {f.reason}" for f in reading.failures))
"""


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_file_along(tmp_path: Path) -> None:
    script = write(tmp_path, "read.py", SCRIPT)
    names = [write(tmp_path, f"{n}.json", "kill" if n == 2 else SALT.to(fmt="json")) for n in range(6)]
    done = subprocess.run(
        [sys.executable, script, *names], capture_output=True, text=True, check=True, timeout=600
    )
    read, failed = done.stdout.splitlines()
    assert read == "0,1,3,4,5"
    assert failed.startswith("2: the process that read it died")
    assert ";;" not in failed
