import re
from pathlib import Path

import numpy as np
import pytest

from softlyte.datasets.columns import PHASES
from softlyte.datasets.errors import UserError
from softlyte.datasets.formulas import symbols
from softlyte.screening.csv_rows import read_rows
from softlyte.screening.inputs import (
    InputError,
    InputRows,
    RepeatedWarning,
    check_rows,
    refused,
    rows_from_formulas,
    usable,
)

KNOWN = np.ones(104, dtype=bool)
KNOWN[[symbols().index("U"), symbols().index("Pu")]] = False


def check(formulas, phase=None):
    return check_rows(rows_from_formulas(formulas), KNOWN, phase)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "candidates.csv"
    path.write_bytes(content)
    return path


def test_one_formula_takes_both_phases_unless_asked():
    both = check(["Li6Y2Cl12"])
    assert both.compositions.formulas() == ["Li3YCl6", "Li3YCl6"]
    assert [PHASES[c] for c in both.phase] == ["crystal", "glass"]
    assert both.row.tolist() == [1, 1]
    assert both.rejected == []
    glass = check(["Li3YCl6"], "glass")
    assert [PHASES[c] for c in glass.phase] == ["glass"]


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("Xx3Cl", "cannot be read"),
        ("Li3YCl6)", "cannot be read"),
        ("", "is empty"),
        ("=HYPERLINK(1)", "cannot be read"),
        ("Li" + "YCl" * 100, "at most 200"),
        ("AlCl3", "neither Li nor Na"),
        ("Li2UCl6", "not trained on U"),
        ("LiUPuCl", "not trained on U, Pu"),
        ("Li3YCl5", r"not charge balanced .*\+1 per formula"),
        ("LiAlCl3", "not charge balanced"),
        ("Li20000Cl20000O0.5", "above 10000"),
        ("LiNaKRbMgCaSrBaZnAlGaInScYLaZrCl", "more than 16 elements"),
    ],
)
def test_each_mistake_is_named_and_the_others_go_on(formula, words):
    result = check(["Li3YCl6", formula, "Na3YCl6"], "crystal")
    assert result.compositions.formulas() == ["Li3YCl6", "Na3YCl6"]
    assert result.row.tolist() == [1, 3]
    ((row, value, reason, repeats),) = result.rejected
    assert (row, value, repeats) == (2, formula, 0)
    assert re.search(words, reason), reason
    assert ";" in reason or "check" in reason  # a remedy follows


def test_repetitions_are_kept_once_and_reported():
    result = check(["Li3YCl6", "Na3YCl6", "Li6Y2Cl12", "Li3Y1Cl6.0"], "crystal")
    assert result.compositions.formulas() == ["Li3YCl6", "Na3YCl6"]
    assert [r.row for r in result.rejected] == [3, 4]
    assert all("row 1" in r.reason for r in result.rejected)
    assert [r.repeats for r in result.rejected] == [1, 1]
    assert refused(result.rejected) == []


def test_repetitions_warn_and_mistakes_raise():
    with pytest.warns(RepeatedWarning, match=r"formula 2, 'Li6Y2Cl12': it repeats row 1"):
        usable(check(["Li3YCl6", "Li6Y2Cl12"]).rejected)
    with pytest.raises(InputError, match=r"formula 3, 'AlCl3'.*\(and 1 more\)"):
        usable(check(["Li3YCl6", "Li6Y2Cl12", "AlCl3", "YCl3"]).rejected)
    usable([])


def test_a_row_may_add_the_phase_that_an_earlier_one_left_out():
    rows = InputRows("x", [2, 3, 4], ["Li3YCl6"] * 3, ["Glass", "", " crystal "])
    result = check_rows(rows, KNOWN)
    assert [(r, PHASES[c]) for r, c in zip(result.row, result.phase, strict=True)] == [
        (2, "glass"),
        (3, "crystal"),
    ]
    assert [(r.row, "row 3" in r.reason) for r in result.rejected] == [(4, True)]


def test_nothing_left_is_an_empty_result_not_an_error():
    result = check(["AlCl3", "Qq"])
    assert len(result.compositions) == len(result.phase) == 0
    assert len(result.rejected) == 2


def test_large_lists_with_few_mistakes():
    formulas = [f"Li{n}AlCl{n + 3}" for n in range(1, 5001)]
    formulas[1234] = "Li2AlCl"
    formulas[4321] = "??"
    result = check(formulas, "crystal")
    assert len(result.compositions) == 4998
    assert [r.row for r in result.rejected] == [1235, 4322]
    kept = np.delete(np.arange(1, 5001), [1234, 4321])
    np.testing.assert_array_equal(result.row, kept)


def test_empty_list_and_bare_string_are_refused():
    with pytest.raises(InputError, match="no formula"):
        rows_from_formulas([])
    with pytest.raises(InputError, match=r"\['Li3YCl6'\]"):
        rows_from_formulas("Li3YCl6")
    assert issubclass(InputError, UserError)
    with pytest.raises(InputError, match="formula 2 is None"):
        rows_from_formulas(["Li3YCl6", None])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "content",
    [
        b"formula,phase\nLi3YCl6,crystal\nNaN,\n",
        b"\xef\xbb\xbfformula,phase\r\nLi3YCl6,crystal\r\nNaN,\r\n",
        b'name,Formula , phase\n"a, b",Li3YCl6,crystal\nc,"NaN",\n',
        b"formula,phase\rLi3YCl6,crystal\rNaN\r",
    ],
    ids=["plain", "bom-crlf", "quoted", "old-mac-short-row"],
)
def test_csv_dialects_give_the_same_rows(tmp_path, content):
    rows = read_rows(write(tmp_path, content))
    assert rows.formula == ["Li3YCl6", "NaN"]
    assert rows.phase == ["crystal", ""]
    assert rows.row == [2, 3]


def test_blank_rows_are_no_rows_but_count(tmp_path):
    rows = read_rows(write(tmp_path, b"formula,note\n\nLi3YCl6,\n , \nNa3YCl6,x\n,lonely note\n"))
    assert rows.row == [3, 5, 6]
    result = check_rows(rows, KNOWN, "crystal")
    assert [(r.row, "is empty" in r.reason) for r in result.rejected] == [(6, True)]


def test_latin1_bytes_refuse_their_row_alone(tmp_path):
    rows = read_rows(write(tmp_path, "formula,name\nLi3YCl6,Yttrium\nNa3YCl6,Süß\n".encode("latin-1")))
    assert rows.formula == ["Li3YCl6"]
    ((row, value, reason, _),) = rows.rejected
    assert (row, value) == (3, "Na3YCl6")
    assert "0xFC is not UTF-8" in reason


def test_foreign_bytes_in_the_formula_are_shown_readably(tmp_path):
    rows = read_rows(write(tmp_path, b"formula\nLi3YCl6\nLi3\xb7YCl6\n"))
    assert rows.rejected[0].value == "Li3·YCl6"


def test_rows_longer_than_the_header(tmp_path):
    rows = read_rows(write(tmp_path, b"formula\nLi3YCl6\nNa3YCl6,extra\n"))
    assert rows.formula == ["Li3YCl6"]
    assert "2 cells and the header 1" in rows.rejected[0].reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"formula,phase\n", "no rows"),
        (b"formula\n\n,\n", "no rows"),
        (b"name,phase\nx,glass\n", "no column named formula"),
        (b"formula;phase\nLi3YCl6;glass\n", "semicolons"),
        (b"formula\tphase\nLi3YCl6\tglass\n", "tabs"),
        (b"formula,Formula\nLi3YCl6,x\n", "2 columns named formula"),
        (b"formula,phase,phase\nLi3YCl6,,\n", "2 columns named phase"),
        ("formula\nLi3YCl6\n".encode("utf-16"), "UTF-16"),
        ("formula\nLi3YCl6\n".encode("utf-32"), "UTF-32"),
        ("formula\nLi3YCl6\n".encode("utf-16-le"), "not text"),
        (b"PK\x03\x04\x00\x00", "not text"),
        ("formula,Größe\nLi3YCl6,1\n".encode("latin-1"), "header"),
        (b'formula\n"Li3YCl6\nNa3YCl6\n', "quotes"),
        (b"formula\n" + b"x" * 200_000 + b"\n", "line 2"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as caught:
        read_rows(write(tmp_path, content))
    assert "candidates.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_rows(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_rows(tmp_path)


def test_material_ids_are_kept_for_crystals_and_checked(tmp_path):
    content = (
        b"MP_ID,formula,phase\nmp-1,Li3YCl6,\nmp-2,Li6Y2Cl12,crystal\n,LiTaCl6,\njavascript:x,LiAlCl4,\n"
    )
    found = check_rows(read_rows(write(tmp_path, content)), KNOWN)
    assert found.compositions.formulas() == ["Li3YCl6", "Li3YCl6", "LiTaCl6", "LiTaCl6"]
    assert found.mp_id == ("mp-1", "", "", "")
    assert [row.reason.partition(";")[0] for row in found.rejected] == [
        "it repeats row 2",
        "'javascript:x' is no id of the Materials Project",
    ]
    assert check(["Li3YCl6"]).mp_id == ()
    twice = write(tmp_path, b"mp_id,formula,mp_id\nmp-1,Li3YCl6,mp-2\n")
    with pytest.raises(InputError, match="2 columns named mp_id"):
        read_rows(twice)
