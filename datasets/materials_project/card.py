"""The card of fetched tables: source, licence, database version, day, query, and a checksum for each file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from softlyte.datasets.cards import Sha256
from softlyte.datasets.documents import DocumentError, read_yaml
from softlyte.datasets.materials_project.session import MaterialsProjectError
from softlyte.datasets.writing import write_bytes

CARD_FILE = "card.yaml"
SOURCE = "The Materials Project"
SOURCE_URL = "https://next-gen.materialsproject.org"
DOI = "10.1063/1.4812323"
LICENCE = "CC-BY-4.0"
CAUTIONS = (
    "Credit the Materials Project (CC BY 4.0) where you publish these data or what is learned from them.",
    "Moduli are those of PBE; energies are of the functional that the query names: never mix two on a hull.",
    "A structure's e_above_hull_ev_atom is the Materials Project's own and mixes functionals.",
    "Documents under CC BY-NC (GNoME) and deprecated ones are left out.",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileCard(_Frozen):
    """One file.

    Attributes:
        rows: without the header.
        sha256: of the file's bytes.
        left_out: documents that made no row, by reason.
        columns: name and meaning, with the unit.
    """

    rows: int = Field(ge=0)
    sha256: Sha256
    left_out: dict[str, int] = {}
    columns: dict[str, str]


class FetchCard(_Frozen):
    """All that is to be known about fetched tables.

    Attributes:
        database_version: of the Materials Project.
        fetched: day, UTC.
        client: version of mp-api.
        query: what was asked for.
        files: by file name.
    """

    title: str
    source: str
    source_url: str
    doi: tuple[str, ...]
    licence: str
    database_version: str
    fetched: str
    client: str
    query: dict[str, Any]
    files: dict[str, FileCard]
    cautions: tuple[str, ...] = ()


def write_card(folder: Path, card: FetchCard) -> None:
    """Write card.yaml, whole or not at all."""
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
    write_bytes(folder / CARD_FILE, text.encode("utf-8"))


def read_fetch_card(folder: Path | str) -> FetchCard:
    """Return the card of a folder; raises MaterialsProjectError if there is none or it is broken."""
    path = Path(folder) / CARD_FILE
    try:
        return FetchCard.model_validate(read_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise MaterialsProjectError(
            f"{folder} holds no {CARD_FILE}; fetch with `softlyte data fetch-mp --out {folder}`"
        ) from None
    except (OSError, UnicodeDecodeError, DocumentError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise MaterialsProjectError(
            f"the card {path} is damaged ({reason}); fetch again with --overwrite"
        ) from None


def damaged_files(folder: Path, card: FetchCard) -> list[str]:
    """Return the files of a card that are missing or whose bytes are not those that were written."""
    wrong = []
    for name, file in card.files.items():
        try:
            same = hashlib.sha256((folder / name).read_bytes()).hexdigest() == file.sha256
        except OSError:
            same = False
        if not same:
            wrong.append(name)
    return wrong


def load_fetched(folder: Path | str, name: str) -> pd.DataFrame:
    """Return one fetched table, its checksum verified.

    Args:
        folder: what `fetch` wrote into.
        name: structures, thermo, elasticity or candidates.

    Raises:
        MaterialsProjectError: no such table, or it is not what was fetched.
    """
    card = read_fetch_card(folder)
    file = next((f for f in card.files if f.partition(".")[0] == name), None)
    if file is None:
        raise MaterialsProjectError(f"{folder} holds no table {name!r}; there are {', '.join(card.files)}")
    if file in damaged_files(Path(folder), card):
        raise MaterialsProjectError(
            f"{Path(folder) / file} is not what was fetched; fetch again with --overwrite"
        )
    path = Path(folder) / file
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
