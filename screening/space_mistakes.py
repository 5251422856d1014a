"""Mistakes in a space file as sentences: file, key, value, problem, remedy; all of a file's at once."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from softlyte.datasets.errors import UserError

_SHOWN = 80
"""Longest value that a message repeats."""


class SpaceError(UserError):
    """A space file that cannot be used: one sentence for each mistake, with file, key, value, remedy."""


class ConsequentError(SpaceError):
    """A mistake that may only follow from another, such as an empty family after a mistyped charge."""


def mistake(
    source: str, key: str, value: object, problem: str, remedy: str, consequent: bool = False
) -> SpaceError:
    """Return the error of one mistake; `consequent` marks one that may only follow from another."""
    shown = str(value) if isinstance(value, Decimal) else repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    kind = ConsequentError if consequent else SpaceError
    return kind(f"{source}: the key `{key}` has the value {shown}, but {problem}; {remedy}")


class Mistakes:
    """Collects the mistakes of one file, or of one part of it, each sentence once."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}
        self._all_consequent = True

    def __bool__(self) -> bool:
        return bool(self._sentences)

    def add(self, *sentences: str) -> None:
        """Note sentences."""
        self._sentences |= dict.fromkeys(sentences)
        self._all_consequent &= not sentences

    @contextmanager
    def noted(self, consequent: bool = True) -> Iterator[None]:
        """Note the mistake that the block raises and go on after it.

        Args:
            consequent: False leaves out a mistake that may only follow from another.
        """
        try:
            yield
        except ConsequentError as error:
            if consequent:
                self._sentences |= dict.fromkeys(str(error).splitlines())
        except SpaceError as error:
            self.add(*str(error).splitlines())

    def raise_any(self) -> None:
        """Raise one SpaceError with a line for each mistake, if there are any."""
        if self:
            kind = ConsequentError if self._all_consequent else SpaceError
            raise kind("\n".join(self._sentences))


def schema_sentences(schema: type[BaseModel], error: ValidationError, source: str) -> list[str]:
    """Return one sentence for each mistake that the schema found."""
    entries: list[dict[str, Any]] = [dict(entry) for entry in error.errors(include_url=False)]
    misspelt = {_meant(schema, e["loc"]) for e in entries if e["type"] == "extra_forbidden"}
    # A misspelt key is one mistake, not an unknown key and a missing one.
    kept = [e for e in entries if e["type"] != "missing" or e["loc"] not in misspelt]
    # A list counts as too short for every item that is wrong; those have sentences of their own.
    inside = {e["loc"][:depth] for e in kept for depth in range(len(e["loc"]))}
    kept = [e for e in kept if e["type"] != "too_short" or e["loc"] not in inside]
    return list(dict.fromkeys(_sentence(schema, source, e) for e in kept))


def _sentence(schema: type[BaseModel], source: str, entry: dict[str, Any]) -> str:
    location = tuple(part for part in entry["loc"] if part != "[key]")
    key = _dotted(location)
    kind, value = entry["type"], entry["input"]
    if kind == "missing":
        return f"{source}: the key `{key}` is missing; add it"
    if kind == "extra_forbidden":
        meant = _meant(schema, location)
        known = ", ".join(_known_keys(schema, location[:-1]))
        remedy = f"did you mean `{meant[-1]}`?" if meant else f"remove it or use one of {known}"
        return f"{source}: the key `{key}` with the value {value!r} is not known; {remedy}"
    if kind == "value_error":
        problem, _, remedy = str(entry["ctx"]["error"]).partition("; ")
        if isinstance(value, dict) and len(repr(value)) > _SHOWN:
            return f"{source}: in `{key}` {problem}; {remedy}"
        return str(mistake(source, key, value, problem, remedy))
    message = str(entry["msg"])
    return str(mistake(source, key, value, message[0].lower() + message[1:], "change it accordingly"))


def _meant(schema: type[BaseModel], location: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the place of the known key that a misspelt one resembles, empty if none."""
    close = difflib.get_close_matches(str(location[-1]), _known_keys(schema, location[:-1]), n=1)
    return (*location[:-1], close[0]) if close else ()


def _dotted(location: Sequence[Any]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _known_keys(schema: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the keys that the schema allows at a location."""
    model: Any = schema
    for part in location:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
        else:
            # A position in a list or a name in a table: step to what it holds.
            arguments = typing.get_args(model)
            model = (
                arguments[-1] if arguments and arguments[-1] is not Ellipsis else (arguments or (None,))[0]
            )
        while typing.get_origin(model) in (types.UnionType, typing.Union, Annotated):
            model = next(a for a in typing.get_args(model) if a is not type(None))
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []
