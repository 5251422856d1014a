"""Candidate spaces: a TOML file of ions, families and mixtures, checked and compiled into arrays."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path

from softlyte.screening.element_policy import ElementPolicy, Exclusion, builtin_policies, exclusions
from softlyte.screening.patterns import (
    Pattern,
    ProvenanceBook,
    SpeciesTable,
    family_patterns,
    mixture_patterns,
)
from softlyte.screening.space_schema import SpaceError, SpaceFile, mistake, validate_space_file

__all__ = ["DEFAULT_SPACE", "Space", "SpaceError", "load_space", "space_names"]

DEFAULT_SPACE = "default"
"""Name of the shipped space that is used when none is given."""


@dataclass(frozen=True)
class Space:
    """A checked candidate space.

    Attributes:
        name: the space's own name.
        source: the file it was read from, for messages.
        sha256: checksum of the file's bytes.
        spec: the file's checked content.
        patterns: families and mixtures as arrays, in the order of the file.
        provenance: strings such as "family A3MX6" and "mixture Li2O-ZrCl4-AlCl3"; candidates hold indices.
        excluded: declared elements that a policy left out, each with its reason.
    """

    name: str
    source: str
    sha256: str
    spec: SpaceFile
    patterns: tuple[Pattern, ...]
    provenance: tuple[str, ...]
    excluded: tuple[Exclusion, ...]

    def count_upper_bound(self) -> int:
        """Return a number of candidates (composition + phase) that enumeration cannot exceed.

        Counts every pattern's element choices times templates in two phases, duplicates included;
        `softlyte.screening.enumerate.plan_candidates` counts exactly.
        """
        return 2 * sum(len(pattern.elements) * len(pattern.templates) for pattern in self.patterns)


def space_names() -> tuple[str, ...]:
    """Return the names of the shipped spaces."""
    folder = resources.files("softlyte.screening").joinpath("spaces")
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_space(path: Path | str | None = None) -> Space:
    """Read, check and compile a space.

    Args:
        path: a TOML file, or the name of a shipped space; None for the shipped default.

    Raises:
        SpaceError: one sentence for each mistake, with file, key, value and remedy.
    """
    raw, source = _read(path)
    try:
        # Decimals are read as written, so that steps of 0.05 stay exact.
        content = tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError:
        raise SpaceError(f"{source}: the file is not UTF-8 text; save it in that encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise SpaceError(f"{source}: the file is not valid TOML ({error}); correct that line") from None
    spec = validate_space_file(content, source)
    policies = _policies(spec, source)
    left_out = exclusions(policies, (*spec.exclude_policies, "exclude_elements"))
    table = SpeciesTable(spec, left_out, source)
    book = ProvenanceBook()
    patterns: list[Pattern] = []
    for number, family in enumerate(spec.families, start=1):
        limits = spec.limits.overridden_by(family.limits)
        patterns += family_patterns(family, f"families[{number}]", table, limits, book, source)
    for number, mixture in enumerate(spec.mixtures, start=1):
        limits = spec.limits.overridden_by(mixture.limits)
        patterns += mixture_patterns(mixture, f"mixtures[{number}]", table, limits, book, source)
    if not patterns:
        raise SpaceError(
            f"{source}: the space has neither families nor mixtures; add [[families]] or [[mixtures]]"
        )
    declared = (*spec.mobile_ions, *spec.cations, *spec.anions)
    return Space(
        name=spec.name,
        source=source,
        sha256=hashlib.sha256(raw).hexdigest(),
        spec=spec,
        patterns=tuple(patterns),
        provenance=book.strings(),
        excluded=tuple(left_out[element] for element in declared if element in left_out),
    )


def _read(path: Path | str | None) -> tuple[bytes, str]:
    name = DEFAULT_SPACE if path is None else str(path)
    if name in space_names():
        text = resources.files("softlyte.screening").joinpath("spaces", f"{name}.toml").read_bytes()
        return text, f"{name}.toml (shipped)"
    try:
        return Path(name).read_bytes(), name
    except OSError as error:
        shipped = ", ".join(space_names())
        reason = error.strerror or type(error).__name__
        raise SpaceError(
            f"{name}: the space file cannot be read ({reason}); "
            f"give a TOML file or a shipped space ({shipped})"
        ) from None


def _policies(spec: SpaceFile, source: str) -> dict[str, ElementPolicy]:
    """Return all policies by name, the file's own elements among them; raises SpaceError."""
    policies = dict(builtin_policies())
    for name, policy in spec.policies.items():
        if name in policies or name == "exclude_elements":
            raise mistake(
                source, f"policies.{name}", name, "the name is a shipped policy's", "choose another name"
            )
        policies[name] = policy
    for name in spec.exclude_policies:
        if name not in policies:
            remedy = f"use one of {', '.join(policies)} or add [policies.{name}]"
            raise mistake(source, "exclude_policies", name, "there is no such policy", remedy)
    policies["exclude_elements"] = ElementPolicy(
        elements=dict.fromkeys(spec.exclude_elements, ""), reason="named in exclude_elements"
    )
    return policies
