"""Table cards: what a table is, where it comes from, what may be done with it, how to check it.

A card is a YAML file beside its table. It is the single place for units, ranges, licence, checksum and
row count; loading, checking and rebuilding all read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from softlyte.datasets.columns import COLUMNS
from softlyte.datasets.documents import DocumentError, read_yaml
from softlyte.datasets.errors import UserError

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class CardError(UserError):
    """A card that is missing or does not follow the schema; the message names the field."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnCard(_Frozen):
    """One column of a table.

    Attributes:
        meaning: one sentence.
        unit: plain text, empty if the quantity has none.
        dtype: text | number (float64, empty allowed) | integer (int64) | boolean.
        required: True if no row may be empty.
        unique: True if no value may occur twice.
        range: lowest and highest value that may occur, except in rows flagged as a whole.
        allowed: the only values that may occur (text columns).
    """

    meaning: str = Field(min_length=5)
    unit: str = ""
    dtype: Literal["text", "number", "integer", "boolean"] = "number"
    required: bool = False
    unique: bool = False
    range: tuple[float, float] | None = None
    allowed: tuple[str, ...] | None = None


class Artifact(_Frozen):
    """A file of a package registry that a table is built from.

    Attributes:
        package, version: what pip downloads.
        kind: wheel | sdist.
        filename: name of the file that the registry serves.
        sha256: checksum of that file.
        members: paths inside it that are read.
        python_version: interpreter to ask for where the wheel refuses newer ones.
    """

    package: str
    version: str
    kind: Literal["wheel", "sdist"]
    filename: str
    sha256: Sha256
    members: tuple[str, ...] = Field(min_length=1)
    python_version: str | None = None


class TableCard(_Frozen):
    """Everything about one table except its rows.

    Attributes:
        origin: artifact (rebuilt from a published file), curated (collected by hand, the CSV is the source)
            or computed (by a script named in how_built).
        licence: SPDX name or words; licence_notice names a file beside the table that must travel with it.
        rows, flagged_rows, sha256: of the table as shipped; the checksum is over the uncompressed CSV.
        dropped: rows of the source that are not in the table, by reason.
        flags: every flag code that may occur, with its meaning. In the table an entry `code` says that the
            row as a whole is unfit for training; an entry `column:code=value` says that this one value was
            taken out (the cell is empty) and that the rest of the row stands.
    """

    name: Name
    title: str
    description: str = Field(min_length=20)
    source: str
    source_url: str
    doi: tuple[str, ...] = ()
    licence: str
    licence_notice: str | None = None
    version: str
    origin: Literal["artifact", "curated", "computed"]
    artifact: Artifact | None = None
    how_built: str = Field(min_length=20)
    rows: int = Field(ge=1)
    flagged_rows: int = Field(ge=0)
    sha256: Sha256
    dropped: dict[str, int] = {}
    columns: dict[Name, ColumnCard] = Field(min_length=1)
    flags: dict[Name, str] = {}
    cautions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> TableCard:
        if (self.origin == "artifact") != (self.artifact is not None):
            raise ValueError("artifact must be given exactly where origin is 'artifact'")
        if bool(self.flags) != ("flag" in self.columns):
            raise ValueError("a table has a flag column exactly where the card explains flags")
        for name, column in self.columns.items():
            known = COLUMNS.get(name)
            if known is not None and known.unit != column.unit:
                raise ValueError(f"{name} has the unit {column.unit!r}, the vocabulary says {known.unit!r}")
            if column.range is not None and column.dtype not in ("number", "integer"):
                raise ValueError(f"{name} is {column.dtype} and cannot have a range")
        return self


def read_card(path: Path) -> TableCard:
    """Read one YAML card; raises CardError naming the file, the field and the problem."""
    try:
        fields = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(f"the card {path} is missing; write one like its neighbours") from None
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        raise CardError(f"the card {path} is not readable YAML: {error}") from error
    try:
        card = TableCard.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "card"
        raise CardError(
            f"the card {path.name} breaks the schema at {where}: {first['msg']}; correct that field"
        ) from error
    if card.name != path.stem:
        raise CardError(f"the card {path.name} calls itself {card.name!r}; name and file must agree")
    return card
