"""Fetch tables of the Materials Project into a folder: resumable, the same bytes for the same database."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import AcquireReturnProxy, FileLock, Timeout

from softlyte.datasets.materials_project import records
from softlyte.datasets.materials_project.card import (
    CARD_FILE,
    CAUTIONS,
    DOI,
    LICENCE,
    SOURCE,
    SOURCE_URL,
    FetchCard,
    FileCard,
    damaged_files,
    read_fetch_card,
    write_card,
)
from softlyte.datasets.materials_project.client import Client
from softlyte.datasets.materials_project.pages import PageStore
from softlyte.datasets.materials_project.query import FUNCTIONALS, Query, batched
from softlyte.datasets.materials_project.records import Rows
from softlyte.datasets.materials_project.session import MaterialsProjectError, Patience
from softlyte.datasets.writing import spreadsheet_safe, write_bytes

TABLES = ("structures", "thermo", "elasticity")
CANDIDATES_FILE = "candidates.csv"
PAGES_FOLDER = "pages"
PAGE_SIZE = 200
"""Documents of one request: with their structures about a megabyte."""

_GNOME = "gnome_r2scan_statics"  # the one batch under CC BY-NC, as mp-api names it
_STATE = "query.json"

Progress = Callable[[str, int, int], None]
"""Called with a table's name, its documents that are there and those that there are in all."""


@dataclass(frozen=True)
class Fetched:
    """What lies in a folder.

    Attributes:
        folder: holds the tables and card.yaml.
        card: of the tables.
        new: False if all was there before.
    """

    folder: Path
    card: FetchCard
    new: bool


def fetch(
    words: Iterable[str],
    out: Path | str,
    tables: Iterable[str] = TABLES,
    functional: str = "PBE",
    subsystems: bool = True,
    endpoint: str | None = None,
    patience: Patience | None = None,
    overwrite: bool = False,
    page_size: int = PAGE_SIZE,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Fetched:
    """Fetch what words ask for and write it as Parquet tables with a card.

    The same call after an interruption goes on with the page that it had reached.

    Args:
        words: chemical systems (Li-Y-Cl, Li-*-Cl), formulas (Li3YCl6) and ids (mp-149).
        out: folder for the tables and card.yaml.
        tables: of TABLES; candidates.csv comes with the structures.
        functional: of the energies, PBE or R2SCAN.
        subsystems: with every subsystem of a system, as a hull needs.
        endpoint: another server; None takes $MP_API_ENDPOINT, else the Materials Project.
        patience: time limits and tries.
        overwrite: replace what another query, or another version of the database, left in the folder.
        page_size: documents of one request.
        progress: see `Progress`.
        say: is told of waits, in a sentence.

    Raises:
        UserError: query, folder or key cannot be used, or the server gives no usable answer.
    """
    query = Query.of(words, functional, subsystems)
    wanted = [name for name in TABLES if name in set(tables)]
    unknown = sorted(set(tables) - set(TABLES))
    if unknown or not wanted:
        raise MaterialsProjectError(
            f"there is no table {', '.join(map(repr, unknown)) or 'wanted'}; choose from {', '.join(TABLES)}"
        )
    folder = Path(out)
    show = progress or (lambda name, done, total: None)
    tell = say or (lambda sentence: None)
    with _locked(folder), _disk(folder), Client(endpoint, patience, say) as client:
        asked: dict[str, Any] = query.record() | {"tables": wanted}
        state = {"query": asked, "database_version": client.database_version}
        there = _what_is_there(folder, state, overwrite)
        if there is not None:
            return Fetched(folder, there, False)
        pages = PageStore(folder / PAGES_FOLDER, client, page_size)
        before = _read_state(folder)
        if before != state:
            if before is not None and before.get("query") == asked:
                tell("the Materials Project has a new version since the interruption; starting over")
            pages.clear()
            write_bytes(folder / _STATE, json.dumps(state, indent=1).encode())
        made = _fetch_tables(query, wanted, client, pages, show)
        card = _write(folder, made, asked, client.database_version)
        pages.clear()
        (folder / _STATE).unlink(missing_ok=True)
    return Fetched(folder, card, True)


def _fetch_tables(
    query: Query, wanted: list[str], client: Client, pages: PageStore, show: Progress
) -> dict[str, Rows]:
    """Return the tables; what has the moduli is known from the summaries."""
    made: dict[str, Rows] = {}
    criteria = query.criteria()
    if "structures" in wanted or "elasticity" in wanted:
        plain = {"deprecated": "False", "batch_id_not_eq": _GNOME}
        fields = records.FIELDS["summary"]
        if "structures" not in wanted:
            fields = tuple(name for name in fields if name != "structure")
        summaries = pages.documents(
            "summary", [one | plain for one in criteria], fields, lambda *d: show("structures", *d)
        )
        if "structures" in wanted:
            made["structures"] = records.structure_rows(summaries)
            made["candidates"] = records.candidate_rows(made["structures"].frame)
    if "thermo" in wanted:
        kind = {"thermo_types": client.thermo_type(FUNCTIONALS[query.functional])}
        documents = pages.documents(
            "thermo",
            [one | kind for one in criteria],
            records.FIELDS["thermo"],
            lambda *d: show("thermo", *d),
        )
        made["thermo"] = records.thermo_rows(documents, query.functional)
    if "elasticity" in wanted:
        ids = sorted(str(s["material_id"]) for s in summaries if _has(s, "elasticity"))
        documents = pages.documents(
            "elasticity",
            [{"material_ids": ",".join(part)} for part in batched(ids)],
            records.FIELDS["elasticity"],
            lambda *d: show("elasticity", *d),
        )
        made["elasticity"] = records.elasticity_rows(documents)
    return made


def _has(summary: dict[str, Any], name: str) -> bool:
    """Return whether a material has documents of a kind: a mapping to booleans, once a list of names."""
    props = summary.get("has_props") or ()
    return bool(props.get(name)) if isinstance(props, dict) else name in props


def _write(folder: Path, made: dict[str, Rows], asked: dict[str, Any], version: str) -> FetchCard:
    """Write the tables, then the card that vouches for them."""
    meanings = {
        "structures": records.STRUCTURES,
        "thermo": records.THERMO,
        "elasticity": records.ELASTICITY,
        "candidates": records.CANDIDATES,
    }
    files = {}
    for name, rows in made.items():
        file = CANDIDATES_FILE if name == "candidates" else f"{name}.parquet"
        content = _bytes(rows.frame, file)
        write_bytes(folder / file, content)
        files[file] = FileCard(
            rows=len(rows.frame),
            sha256=hashlib.sha256(content).hexdigest(),
            left_out=dict(sorted(rows.left_out.items())),
            columns=dict(meanings[name]),
        )
    card = FetchCard(
        title="Materials Project: " + ", ".join(made),
        source=SOURCE,
        source_url=SOURCE_URL,
        doi=(DOI,),
        licence=LICENCE,
        database_version=version,
        fetched=datetime.now(UTC).date().isoformat(),
        client=f"mp-api {metadata.version('mp-api')}",
        query=asked,
        files=files,
        cautions=CAUTIONS,
    )
    write_card(folder, card)
    return card


def _bytes(frame: pd.DataFrame, file: str) -> bytes:
    if file.endswith(".csv"):
        return spreadsheet_safe(frame).to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _what_is_there(folder: Path, state: dict[str, Any], overwrite: bool) -> FetchCard | None:
    """Return the card of a finished fetch of the same state; other results are refused or removed."""
    if not (folder / CARD_FILE).exists():
        return None
    try:
        card = read_fetch_card(folder)
    except MaterialsProjectError:
        if not overwrite:
            raise
        card = None
    if card is not None and not overwrite:
        if card.query != state["query"]:
            raise MaterialsProjectError(
                f"{folder} holds the answer to another query; give another --out or add --overwrite"
            )
        if card.database_version != state["database_version"]:
            raise MaterialsProjectError(
                f"{folder} holds version {card.database_version} of the database, which is at "
                f"{state['database_version']} now; add --overwrite to fetch it anew"
            )
        wrong = damaged_files(folder, card)
        if wrong:
            raise MaterialsProjectError(
                f"{', '.join(wrong)} in {folder} is not what was fetched; add --overwrite to fetch it anew"
            )
        return card
    for name in () if card is None else card.files:
        (folder / Path(name).name).unlink(missing_ok=True)
    (folder / CARD_FILE).unlink()
    return None


def _read_state(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a sentence; the pages that were written stay."""
    try:
        yield
    except OSError as error:
        raise MaterialsProjectError(
            f"a file in {folder} cannot be written ({error.strerror or error}); mend that and run the same "
            "command again, it goes on where it was"
        ) from error


def _locked(folder: Path) -> AcquireReturnProxy:
    """Return the folder's lock, taken; it is free again when its block ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".softlyte.lock").acquire(timeout=0)
    except Timeout:
        raise MaterialsProjectError(
            f"another process is fetching into {folder}; wait until it ends or give another --out"
        ) from None
    except OSError as error:
        raise MaterialsProjectError(
            f"the folder {folder} cannot be written ({error.strerror or error}); give another --out"
        ) from None
