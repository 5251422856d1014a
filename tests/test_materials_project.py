"""Fetching from a stand-in for the Materials Project: paging, resuming, faults, the key, the tables' uses."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mp_stand_in import KEY, Fault, StandIn, stand_in
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.errors import UserError
from softlyte.datasets.materials_project import Fetched, Patience, Query, fetch, load_fetched, read_query
from softlyte.datasets.materials_project import session as session_module
from softlyte.datasets.materials_project.session import PatientSession
from softlyte.featurize.crystal_graph import CrystalFeaturizer
from softlyte.featurize.entries import fetch_entries, read_entries
from softlyte.featurize.functionals import FunctionalError
from softlyte.models.crystal_data import load_crystal_rows
from softlyte.models.tasks import TARGET_NAMES
from softlyte.screening.csv_rows import read_rows

RUNNER = CliRunner()
QUICK = Patience(tries=3, first_wait_s=0.0, longest_wait_s=1.0, timeout_s=0.5)
SYSTEM = "Li-Cl-O"


def get(out: Path, *words: str, **options: Any) -> Fetched:
    return fetch(words or (SYSTEM,), out, **{"patience": QUICK, "page_size": 2} | options)


# What is asked for


def test_words_become_systems_formulas_and_ids() -> None:
    query = Query.of(["Y-Li-Cl", "Li-*-Cl", "LiCl", "Cl6Li3Y", " mp-149 ", "mvc-7"], "r2scan")
    assert query.systems == ("Cl", "Cl-Li", "Cl-Li-Y", "Cl-Y", "Li", "Li-Y", "Y")
    assert query.patterns == ("Cl-Li-*",)
    assert query.formulas == ("Li3YCl6", "LiCl")
    assert query.ids == ("mp-149", "mvc-7")
    assert query.functional == "R2SCAN"
    assert [next(iter(one)) for one in query.criteria()] == ["chemsys", "chemsys", "formula", "material_ids"]
    assert Query.of(["Y-Li-Cl"], subsystems=False).systems == ("Cl-Li-Y",)
    assert Query.of(["Li-*-*"]).patterns == ("Li-*-*",)


def test_long_lists_are_asked_for_in_parts() -> None:
    criteria = Query.of([f"mp-{i}" for i in range(250)]).criteria()
    assert [len(one["material_ids"].split(",")) for one in criteria] == [100, 100, 50]
    assert len(Query.of(["Li-Na-K-Rb-Cs-F-Cl-Br-I"]).systems) == 511


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "nothing was asked for"),
        (["  "], "is empty"),
        (["Li-Xx"], "Xx is no element"),
        (["Li--Cl"], "cannot be read"),
        (["Li3YCl6!"], "cannot be read"),
        (["LiAlCl2.5O0.75"], "fractional amounts"),
        (["Li-Na-K-Rb-Cs-F-Cl-Br-I-O"], "at most 9"),
    ],
)
def test_a_word_that_cannot_be_asked_is_named(words: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Query.of(words)
    with pytest.raises(UserError, match="no unmixed energies of 'PBEsol'"):
        Query.of(["Li-Cl"], "PBEsol")


def test_a_file_of_queries(tmp_path: Path) -> None:
    path = tmp_path / "wanted.txt"
    path.write_text("# salts\nLi-Cl  # and its subsystems\n\nmp-149\n", encoding="utf-8")
    assert read_query(path) == ["Li-Cl", "mp-149"]
    with pytest.raises(UserError, match="there is no file"):
        read_query(tmp_path / "none.txt")


# What comes back


def test_tables_hold_what_the_server_has(materials_project: StandIn, tmp_path: Path) -> None:
    fetched = get(tmp_path, SYSTEM, "NaCl", "mp-20")
    thermo = load_fetched(tmp_path, "thermo")
    assert thermo["mp_id"].tolist() == ["mp-1", "mp-3", "mp-4", "mp-10", "mp-11", "mp-12", "mp-20", "mp-100"]
    assert set(thermo["functional"]) == {"PBE"}
    assert set(thermo["last_updated"]) == {"2025-08-01"}
    documents = {
        d["material_id"]: d for d in materials_project.documents["thermo"] if d["energy_type"] == "GGA"
    }
    expected = [documents[name]["formation_energy_per_atom"] for name in thermo["mp_id"]]
    np.testing.assert_allclose(thermo["formation_energy_ev_atom"], expected)
    moduli = load_fetched(tmp_path, "elasticity").set_index("formula")
    k, g = moduli.loc["NaCl", ["k_vrh_gpa", "g_vrh_gpa"]]
    assert moduli.loc["NaCl", "youngs_modulus_gpa"] == pytest.approx(9 * k * g / (3 * k + g))
    assert load_fetched(tmp_path, "structures")["space_group"].str.len().min() > 0
    candidates = load_fetched(tmp_path, "candidates")
    assert dict(zip(candidates["formula"], candidates["mp_id"], strict=True)) == {
        "LiCl": "mp-10",
        "NaCl": "mp-11",  # of two crystals the more stable one
        "Li2O": "mp-12",
    }
    assert fetched.card.files["candidates.csv"].left_out == {
        "a more stable crystal has the formula": 1,
        "no compound of Li or Na": 4,
    }
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "candidates.csv",
        "card.yaml",
        "elasticity.parquet",
        "structures.parquet",
        "thermo.parquet",
    ]


def test_the_card_says_what_the_tables_are(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path)
    card = yaml.safe_load((tmp_path / "card.yaml").read_text(encoding="utf-8"))
    assert card["licence"] == "CC-BY-4.0"
    assert card["database_version"] == materials_project.version
    assert card["client"].startswith("mp-api ")
    assert len(card["fetched"]) == 10
    assert card["query"]["chemical_systems"] == ["Cl", "Cl-Li", "Cl-Li-O", "Cl-O", "Li", "Li-O", "O"]
    assert card["files"]["thermo.parquet"]["rows"] == len(pd.read_parquet(tmp_path / "thermo.parquet"))
    for name in ("structures", "thermo", "elasticity", "candidates"):
        file = "candidates.csv" if name == "candidates" else f"{name}.parquet"
        assert list(load_fetched(tmp_path, name).columns) == list(card["files"][file]["columns"])


@pytest.mark.parametrize("tables", [["thermo"], ["elasticity"], ["structures"]])
def test_single_tables(materials_project: StandIn, tmp_path: Path, tables: list[str]) -> None:
    fetched = get(tmp_path, tables=tables)
    expected = {f"{tables[0]}.parquet"} | ({"candidates.csv"} if tables == ["structures"] else set())
    assert set(fetched.card.files) == expected
    asked = {kind for kind, _, _ in materials_project.pages()}
    assert (
        asked
        == {"thermo": {"thermo"}, "structures": {"summary"}, "elasticity": {"summary", "elasticity"}}[
            tables[0]
        ]
    )
    with pytest.raises(UserError, match="there is no table 'phonons'"):
        get(tmp_path / "other", tables=["phonons"])


def test_paging_and_filters_as_mp_api_sends_them(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path, tables=["thermo"], functional="R2SCAN")
    assert materials_project.log[0] == ("/heartbeat", {}, None)  # the key is not for everybody
    pages = [(query, key) for path, query, key in materials_project.log if path.startswith("/materials")]
    assert [query["_skip"] for query, _ in pages] == ["0", "2", "4"]
    assert all(query["_limit"] == "2" and key == KEY for query, key in pages)
    assert all(query["thermo_types"] == "r2SCAN" for query, _ in pages)
    thermo = load_fetched(tmp_path, "thermo").set_index("mp_id")
    assert set(thermo["functional"]) == {"R2SCAN"}
    pbe = {d["material_id"]: d for d in materials_project.documents["thermo"] if d["energy_type"] == "GGA"}
    assert thermo.loc["mp-10", "formation_energy_ev_atom"] == pytest.approx(
        pbe["mp-10"]["formation_energy_per_atom"] - 0.05
    )


def test_patterns_reach_the_server_one_by_one(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path, "Li-*", "Mg-*", tables=["structures"])
    assert set(load_fetched(tmp_path, "structures")["formula"]) == {"LiCl", "Li2O", "MgO"}


def test_nothing_found_is_an_empty_table_and_no_error(materials_project: StandIn, tmp_path: Path) -> None:
    fetched = get(tmp_path, "Rb-I")
    assert [file.rows for file in fetched.card.files.values()] == [0, 0, 0, 0]
    assert len(load_fetched(tmp_path, "thermo")) == 0


def test_what_may_not_or_cannot_be_used_is_left_out_with_its_reason(
    materials_project: StandIn, tmp_path: Path
) -> None:
    by_name = {
        d["material_id"]: d for d in materials_project.documents["thermo"] if d["energy_type"] == "GGA"
    }
    by_name["mp-10"]["builder_meta"] = {"license": "BY-NC"}
    by_name["mp-12"]["formation_energy_per_atom"] = None
    by_name["mp-1"]["deprecated"] = True
    by_name["mp-3"]["entries"]["GGA"]["structure"] = {"lattice": "none"}
    moduli = {d["material_id"]: d for d in materials_project.documents["elasticity"]}
    moduli["mp-10"]["state"] = "failed"
    moduli["mp-12"]["bulk_modulus"] = None
    files = get(tmp_path).card.files
    assert files["thermo.parquet"].left_out == {
        "deprecated by the Materials Project": 1,
        "licence CC BY-NC": 1,
        "no formation energy": 1,
        "unreadable structure": 1,
    }
    assert files["elasticity.parquet"].left_out == {
        "no moduli": 1,
        "the elastic tensor could not be fitted": 1,
    }


def test_a_server_that_ignores_the_filter_does_not_mix_functionals(
    materials_project: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = PatientSession.request

    def unfiltered(self: PatientSession, method: str, url: str, **options: Any) -> Any:
        (options.get("params") or {}).pop("thermo_types", None)
        return answer(self, method, url, **options)

    monkeypatch.setattr(PatientSession, "request", unfiltered)
    # Both energies of a material have its id: the server says that there are twice as many documents.
    with pytest.raises(UserError, match="10 thermo documents match and sent 5"):
        get(tmp_path, tables=["thermo"])
    for document in materials_project.documents["thermo"]:
        document["material_id"] += "" if document["energy_type"] == "GGA" else "0000"
    fetched = get(tmp_path, tables=["thermo"])
    assert fetched.card.files["thermo.parquet"].left_out == {"another functional": 5}


# Resuming


def test_pages_that_arrived_are_not_asked_for_again(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path / "whole")
    whole = materials_project.pages()
    materials_project.log.clear()
    materials_project.faults.append(Fault(500, "thermo", after=1))
    with pytest.raises(UserError, match=r"HTTP 500, 3 times"):
        get(tmp_path / "resumed")
    first = materials_project.pages()
    assert not (tmp_path / "resumed" / "card.yaml").exists()
    materials_project.faults.clear()
    materials_project.log.clear()
    get(tmp_path / "resumed")
    answered = first[: first.index(("thermo", "Cl,Cl-Li,Cl-Li-O,Cl-O,Li,Li-O,O", "2"))]
    assert materials_project.pages() == whole[len(answered) :]
    for name in ("structures.parquet", "thermo.parquet", "elasticity.parquet", "candidates.csv", "card.yaml"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_killed_run_goes_on_where_it_was(materials_project: StandIn, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    get(whole, page_size=1)
    expected = materials_project.pages()
    materials_project.log.clear()
    materials_project.faults.append(Fault("hang", "elasticity", after=1))
    script = (
        "import sys\nfrom softlyte.datasets.materials_project import fetch\n"
        f"fetch([{SYSTEM!r}], sys.argv[1], page_size=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, killed], stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    # The second page of the last table hangs: by then the other pages lie on the disk.
    while sum(kind == "elasticity" for kind, _, _ in materials_project.pages()) < 2:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = materials_project.pages()[:-1]
    materials_project.faults.clear()
    materials_project.log.clear()
    get(killed, page_size=1)
    assert before + materials_project.pages() == expected
    assert (killed / "elasticity.parquet").read_bytes() == (whole / "elasticity.parquet").read_bytes()


def test_a_damaged_page_is_fetched_again(materials_project: StandIn, tmp_path: Path) -> None:
    materials_project.faults.append(Fault(500, "elasticity"))
    with pytest.raises(UserError, match="HTTP 500"):
        get(tmp_path)
    page = sorted((tmp_path / "pages").glob("thermo-*"))[0]
    page.write_bytes(page.read_bytes()[:40])
    materials_project.faults.clear()
    materials_project.log.clear()
    get(tmp_path)
    assert sum(kind == "thermo" for kind, _, _ in materials_project.pages()) == 1


def test_a_new_database_version_starts_over(materials_project: StandIn, tmp_path: Path) -> None:
    materials_project.faults.append(Fault(500, "elasticity"))
    with pytest.raises(UserError, match="HTTP 500"):
        get(tmp_path)
    materials_project.faults.clear()
    materials_project.log.clear()
    materials_project.version = "2026.01.01"
    said: list[str] = []
    assert get(tmp_path, say=said.append).card.database_version == "2026.01.01"
    assert "starting over" in said[0]
    assert {kind for kind, _, _ in materials_project.pages()} == {"summary", "thermo", "elasticity"}


def test_a_finished_fetch_is_not_repeated_and_not_overwritten(
    materials_project: StandIn, tmp_path: Path
) -> None:
    first = get(tmp_path)
    materials_project.log.clear()
    again = get(tmp_path)
    assert not again.new
    assert again.card == first.card
    assert materials_project.pages() == []
    with pytest.raises(UserError, match="holds the answer to another query"):
        get(tmp_path, "Na-Cl")
    materials_project.version = "2026.01.01"
    with pytest.raises(UserError, match=r"holds version 2025\.09\.25 .* at 2026\.01\.01 now"):
        get(tmp_path)
    assert get(tmp_path, "Na-Cl", tables=["thermo"], overwrite=True).new
    assert not (tmp_path / "elasticity.parquet").exists()


def test_a_file_that_was_changed_is_noticed(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path)
    with (tmp_path / "candidates.csv").open("a") as handle:
        handle.write("Li2S,crystal,mp-0,x,0\n")
    with pytest.raises(UserError, match=r"candidates\.csv is not what was fetched"):
        load_fetched(tmp_path, "candidates")
    with pytest.raises(UserError, match=r"candidates\.csv in .* is not what was fetched"):
        get(tmp_path)
    (tmp_path / "card.yaml").write_text("title: [", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        get(tmp_path)
    assert get(tmp_path, overwrite=True).new
    with pytest.raises(UserError, match="holds no table 'phonons'"):
        load_fetched(tmp_path, "phonons")
    with pytest.raises(UserError, match=r"holds no card\.yaml"):
        load_fetched(tmp_path / "pages", "thermo")


def test_two_processes_do_not_share_a_folder(materials_project: StandIn, tmp_path: Path) -> None:
    materials_project.faults.append(Fault("hang", times=1))
    first = threading.Thread(
        target=lambda: get(tmp_path, patience=Patience(tries=2, first_wait_s=0.0, timeout_s=1.0))
    )
    first.start()
    while not materials_project.pages():
        time.sleep(0.01)
    with pytest.raises(UserError, match="another process is fetching"):
        get(tmp_path)
    first.join()
    assert (tmp_path / "card.yaml").exists()


def test_documents_that_change_between_pages_are_noticed(
    materials_project: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = PatientSession.request

    def shrinking(self: PatientSession, method: str, url: str, **options: Any) -> Any:
        if (options.get("params") or {}).get("_skip") == 2:
            materials_project.documents["thermo"].pop(0)
        return answer(self, method, url, **options)

    monkeypatch.setattr(PatientSession, "request", shrinking)
    with pytest.raises(UserError, match="it may be changing just now"):
        get(tmp_path, tables=["thermo"])
    monkeypatch.undo()


# Faults


@pytest.mark.parametrize(
    ("fault", "sentence", "requests"),
    [
        (Fault(401), r"refuses the key in MP_API_KEY \(HTTP 401\)", 1),
        (Fault(403), r"refuses the key in MP_API_KEY \(HTTP 403\)", 1),
        (Fault(404), r"knows no address /materials/thermo/ \(HTTP 404\)", 1),
        (Fault(400), r"does not accept the query .*HTTP 400: a fault 400", 1),
        (Fault(422), r"does not accept the query .*HTTP 422", 1),
        (Fault(429), r"asks to slow down \(HTTP 429, 3 times\)", 3),
        (Fault(429, retry_after="3600"), r"asks to slow down, for 3600 s", 1),
        (Fault(500), r"a fault of its own \(HTTP 500, 3 times\)", 3),
        (Fault(503, retry_after="Fri, 01 Jan 2027 00:00:00 GMT"), r"HTTP 503", 1),
        (Fault("hang"), r"did not answer within 0.5 s \(3 times\)", 3),
        (Fault("truncated"), r"half an answer or none that is JSON \(3 times\)", 3),
        (Fault("broken"), r"broke off in the middle of an answer \(3 times\)", 3),
        (Fault("html"), r"half an answer or none that is JSON", 3),
    ],
    ids=lambda value: f"{value.kind}-{value.retry_after}" if isinstance(value, Fault) else "",
)
def test_each_fault_is_one_sentence(
    materials_project: StandIn, tmp_path: Path, fault: Fault, sentence: str, requests: int
) -> None:
    if fault.retry_after and "2027" in fault.retry_after:
        fault.retry_after = "Fri, 01 Jan 2100 00:00:00 GMT"
    materials_project.faults.append(fault)
    with pytest.raises(UserError, match=sentence) as caught:
        get(tmp_path, tables=["thermo"])
    assert "\n" not in str(caught.value)
    assert len(materials_project.pages()) == requests
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("kind", [429, 500, 502, 503, 504, "hang", "truncated", "broken", "html"])
def test_a_fault_that_passes_is_waited_for(
    materials_project: StandIn, tmp_path: Path, kind: int | str
) -> None:
    materials_project.faults.append(Fault(kind, times=2))
    said: list[str] = []
    get(tmp_path, tables=["thermo"], say=said.append)
    assert len(load_fetched(tmp_path, "thermo")) == 5
    assert len(said) == 2
    assert all("trying again in" in sentence for sentence in said)


def test_waits_double_and_the_servers_wish_is_heard(materials_project: StandIn) -> None:
    waits: list[float] = []
    materials_project.faults += [
        Fault(429, "heartbeat", times=1, retry_after="7"),
        Fault(500, "heartbeat", times=3),
    ]
    session = PatientSession(Patience(tries=5, first_wait_s=1.0), wait=waits.append)
    assert session.get(materials_project.url + "heartbeat").ok
    assert waits == [7.0, 2.0, 4.0, 8.0]
    with pytest.raises(UserError, match="at least one"):
        Patience(tries=0)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://127.0.0.1:9/", r"http://127.0.0.1:9 cannot be reached \(3 times\)"),
        ("http://api.example.org/", "the key would travel readable to api.example.org"),
        ("ftp://api.example.org/", "is no web address"),
        ("https://me:secret@example.org/", "holds a user or password"),
    ],
)
def test_addresses(
    materials_project: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, sentence: str
) -> None:
    monkeypatch.setenv("MP_API_ENDPOINT", address)
    with pytest.raises(UserError, match=sentence) as caught:
        get(tmp_path)
    assert "secret" not in str(caught.value)


def test_another_servers_heartbeat_is_recognised(materials_project: StandIn, tmp_path: Path) -> None:
    materials_project.version = ""
    with pytest.raises(UserError, match="is no Materials Project server"):
        get(tmp_path)


# The key


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (None, "there is no key of the Materials Project"),
        ("", "there is no key"),
        ("tooShort", "holds no key of the Materials Project, which has 32"),
        ("0123456789abcdefghijKLMNOPQRST\nV", "holds no key"),
        ("wrong6789abcdefghijKLMNOPQRSTUV0", "refuses the key"),
    ],
)
def test_a_missing_or_wrong_key_is_said_without_showing_it(
    materials_project: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    sentence: str,
) -> None:
    monkeypatch.delenv("MP_API_KEY") if key is None else monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(UserError, match=sentence) as caught:
        get(tmp_path)
    if key:
        assert key not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", ["fine", 401, 500, "echo", "truncated", "hang", "bug"])
def test_the_key_is_nowhere_but_in_the_header(
    materials_project: StandIn,
    tmp_path: Path,
    kind: int | str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    if kind == "bug":
        monkeypatch.setattr(session_module.json, "loads", lambda text: 1 / 0)
    elif kind != "fine":
        materials_project.faults.append(Fault(kind, "elasticity"))
    try:
        shown = repr(get(tmp_path, say=print))
    except (UserError, ZeroDivisionError) as error:
        shown = "".join(traceback.format_exception(error))
    monkeypatch.undo()
    printed = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for text in (shown, printed.out, printed.err, caplog.text, written.decode("latin-1")):
        assert KEY not in text
    assert shown


def test_a_redirection_to_another_host_does_not_carry_the_key(
    materials_project: StandIn, tmp_path: Path
) -> None:
    with stand_in({"summary": [], "thermo": [], "elasticity": []}) as other:
        materials_project.faults.append(
            Fault("redirect", target=other.url + "materials/thermo/?formula=LiCl")
        )
        with pytest.raises(UserError, match="refuses the key"):
            get(tmp_path)
        assert [key for _, _, key in other.log] == [None]


# What the tables are for


def test_energies_make_a_hull(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path, tables=["thermo"])
    entries = read_entries(tmp_path / "thermo.parquet")
    assert entries.functional == "PBE"
    window = entries.store(cached=False).evaluate(entries.compositions[3:4], ["Li"])
    # LiCl against Li and Cl alone: the oxidation limit is -2 E(LiCl) per electron.
    energy = entries.energies[3]
    assert window.oxidation_v[0] == pytest.approx(-2 * energy, abs=1e-6)
    scanned = get(tmp_path / "scan", tables=["thermo"], functional="R2SCAN").folder / "thermo.parquet"
    assert read_entries(scanned).functional == "R2SCAN"
    with pytest.raises(FunctionalError, match="R2SCAN energies"):
        read_entries(scanned).added_to(entries.store(cached=False))
    (tmp_path / "half.parquet").write_bytes(scanned.read_bytes()[:200])
    with pytest.raises(UserError, match="no readable Parquet file"):
        read_entries(tmp_path / "half.parquet")
    with pytest.raises(UserError, match="there is no file"):
        read_entries(tmp_path / "none.parquet")


def test_entries_of_a_system_in_one_call(materials_project: StandIn) -> None:
    entries = fetch_entries(["Li", "Cl", "Li"], "GGA")
    assert entries.name == "the Materials Project's PBE energies of Cl-Li"
    assert entries.compositions.formulas() == ["Li", "Cl", "LiCl"]


def test_tables_train_a_crystal_network(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path, SYSTEM, "Na-Cl-O")
    tables = {"elasticity": tmp_path / "elasticity.parquet", "formation_energy": tmp_path / "thermo.parquet"}
    rows = load_crystal_rows(tables, CrystalFeaturizer(), folds=2)
    moduli, energies = load_fetched(tmp_path, "elasticity"), load_fetched(tmp_path, "thermo")
    assert np.bincount(rows.source).tolist() == [len(moduli), len(energies)]
    learned = 10.0 ** rows.targets[rows.source == 0, TARGET_NAMES.index("bulk_modulus_gpa")]
    np.testing.assert_allclose(learned, moduli["k_vrh_gpa"])
    assert not np.isnan(rows.targets[rows.source == 1, TARGET_NAMES.index("formation_energy_ev_atom")]).any()


def test_candidates_are_read_as_rows_to_screen(materials_project: StandIn, tmp_path: Path) -> None:
    get(tmp_path, tables=["structures"])
    rows = read_rows(tmp_path / "candidates.csv")
    assert rows.formula == ["LiCl", "Li2O"]
    assert rows.phase == ["crystal", "crystal"]


# The command


def test_the_command_fetches_and_says_what_for(materials_project: StandIn, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("mp-20\n")
    command = ["data", "fetch-mp", SYSTEM, "--file", str(words), "--out", str(tmp_path / "mp")]
    result = RUNNER.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "thermo.parquet" in result.stdout
    assert "CC-BY-4.0" in result.stdout
    assert f"softlyte screen --candidates {tmp_path / 'mp' / 'candidates.csv'}" in result.stderr.replace(
        "\n", ""
    )
    again = RUNNER.invoke(app, [*command, "--json"])
    assert again.exit_code == 0
    assert json.loads(again.stdout)["files"]["thermo.parquet"]["rows"] == 6
    assert "was in" in again.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "nothing was asked for"),
        (["Li-Qq"], "Qq is no element"),
        (["LiCl", "--table", "phonons"], "there is no table 'phonons'"),
    ],
)
def test_mistakes_end_with_exit_code_2(
    materials_project: StandIn, tmp_path: Path, words: list[str], sentence: str
) -> None:
    result = RUNNER.invoke(app, ["data", "fetch-mp", *words, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert materials_project.pages() == []


def test_a_folder_that_cannot_be_written(materials_project: StandIn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        get(tmp_path / "file" / "below")
    with pytest.raises(UserError, match="cannot be written"):
        get(tmp_path / "file")


def test_without_mp_api_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "mp_api":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mp_api", None)
    with pytest.raises(UserError, match=r"pip install 'softlyte\[mp\]'"):
        get(tmp_path)
