"""JSON, TOML and YAML as users hand them in: plain data, or one kind of error whatever is wrong."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

import yaml

DEEPEST = 100
"""Nested deeper than this is no document of ours, and too deep to be shown in a message."""


class DocumentError(ValueError):
    """A text that is no document of its kind; the message says why, for a reader's own sentence."""


def read_json(text: str | bytes) -> Any:
    """Return a JSON document; raises DocumentError."""
    return _read(json.loads, text)


def read_toml(text: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return a TOML document.

    Args:
        text: of the file.
        parse_float: what makes a number of a decimal, such as decimal.Decimal.

    Raises:
        DocumentError: it is none.
    """
    content: dict[str, Any] = _read(lambda given: tomllib.loads(given, parse_float=parse_float), text)
    return content


def read_yaml(text: str) -> Any:
    """Return a YAML document of plain types; raises DocumentError."""
    return _read(yaml.safe_load, text)


def _read(load: Callable[[Any], Any], text: str | bytes) -> Any:
    try:
        content = load(text)
    except RecursionError:
        raise DocumentError("it is nested too deep") from None
    # Beside their own errors: whole numbers of thousands of digits, dates that are none, exponents that no
    # decimal has, keys that cannot be keys.
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, yaml.YAMLError) as error:
        raise DocumentError(" ".join(str(error).split())[:300] or type(error).__name__) from error
    if _deeper_than(content, DEEPEST):
        raise DocumentError(f"it is nested more than {DEEPEST} deep")
    return content


def _deeper_than(content: Any, depth: int) -> bool:
    """Tell whether values are nested deeper than so many levels; a value that holds itself is."""
    level = [content]
    for _ in range(depth):
        inner: dict[int, Any] = {}
        for value in level:
            if isinstance(value, dict | list):
                held = value.values() if isinstance(value, dict) else value
                inner |= {id(one): one for one in held if isinstance(one, dict | list)}
        if not inner:
            return False
        level = list(inner.values())
    return True
