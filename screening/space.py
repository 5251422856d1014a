"""Candidate spaces: a TOML file of ions, families and mixtures, checked and compiled into arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path

from softlyte.datasets.documents import DocumentError, read_toml
from softlyte.screening.element_policy import ElementPolicy, Exclusion, builtin_policies, exclusions
from softlyte.screening.patterns import Compiler, Pattern, ProvenanceBook
from softlyte.screening.space_mistakes import Mistakes, SpaceError, mistake
from softlyte.screening.space_schema import ENTRIES, ReadFile, SpaceFile, read_space_file
from softlyte.screening.species import SpeciesTable
from softlyte.screening.substitution import substitution_patterns

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
        patterns: families, mixtures and substitutions as arrays, in that order, each in the file's order.
        provenance: strings such as "family A3MX6" and "mixture Li2O-ZrCl4-AlCl3"; candidates hold indices.
        excluded: declared elements that a policy left out, each with its reason.
        out_of_order: declared cation and anion that never share a composition, because the cation is the
            more electronegative one.
    """

    name: str
    source: str
    sha256: str
    spec: SpaceFile
    patterns: tuple[Pattern, ...]
    provenance: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    out_of_order: tuple[tuple[str, str], ...] = ()

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
        content = read_toml(raw.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError:
        raise SpaceError(f"{source}: the file is not UTF-8 text; save it in that encoding") from None
    except DocumentError as error:
        raise SpaceError(f"{source}: the file is not valid TOML ({error}); correct that line") from None
    mistakes = Mistakes()
    read = read_space_file(content, source, mistakes)
    if read is None:
        mistakes.raise_any()
        raise AssertionError("a file that cannot be read on has mistakes")
    spec = read.spec
    policies = _policies(spec, source, mistakes)
    judged = [name for name in (*spec.exclude_policies, "exclude_elements") if name in policies]
    declared = (*spec.mobile_ions, *spec.cations, *spec.anions)
    left_out = exclusions(policies, judged, declared, (*spec.mobile_ions, *spec.cations))
    table = SpeciesTable(spec, left_out, source, mistakes)
    book = ProvenanceBook()
    patterns = _compile(read, Compiler(table, book, source), mistakes)
    if not any(content.get(key) for key in ENTRIES):
        mistakes.add(
            f"{source}: the space has neither families nor mixtures nor substitutions; "
            "add [[families]], [[mixtures]] or [[substitutions]]"
        )
    mistakes.raise_any()
    return Space(
        name=spec.name,
        source=source,
        sha256=hashlib.sha256(raw).hexdigest(),
        spec=spec,
        patterns=tuple(patterns),
        provenance=book.strings(),
        excluded=tuple(left_out[element] for element in declared if element in left_out),
        out_of_order=table.out_of_order(),
    )


def _compile(read: ReadFile, compiler: Compiler, mistakes: Mistakes) -> list[Pattern]:
    """Return the patterns of all entries, in the order of the file, and note the mistakes in them."""
    spec, patterns = read.spec, list[Pattern]()
    # An entry that comes out empty says nothing while a charge or a limit may be mistyped.
    sound = read.whole and not mistakes
    for number, family in zip(read.numbers["families"], spec.families, strict=True):
        with mistakes.noted(sound):
            limits = spec.limits.overridden_by(family.limits)
            patterns += compiler.family(family, f"families[{number}]", limits)
    for number, mixture in zip(read.numbers["mixtures"], spec.mixtures, strict=True):
        with mistakes.noted(sound):
            limits = spec.limits.overridden_by(mixture.limits)
            patterns += compiler.mixture(mixture, f"mixtures[{number}]", limits)
    for number, entry in zip(read.numbers["substitutions"], spec.substitutions, strict=True):
        with mistakes.noted(sound):
            limits = spec.limits.overridden_by(entry.limits)
            patterns += substitution_patterns(entry, f"substitutions[{number}]", limits, compiler)
    return patterns


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


def _policies(spec: SpaceFile, source: str, mistakes: Mistakes) -> dict[str, ElementPolicy]:
    """Return all policies by name, the file's own elements among them; notes mistakes in their names."""
    policies = dict(builtin_policies())
    for name, policy in spec.policies.items():
        if name in policies or name == "exclude_elements":
            problem, remedy = "the name is a shipped policy's", "choose another name"
            mistakes.add(str(mistake(source, f"policies.{name}", name, problem, remedy)))
            continue
        policies[name] = policy
    for name in spec.exclude_policies:
        if name not in policies:
            remedy = f"use one of {', '.join(policies)} or add [policies.{name}]"
            problem = "there is no such policy"
            mistakes.add(str(mistake(source, "exclude_policies", name, problem, remedy)))
    policies["exclude_elements"] = ElementPolicy(
        elements=dict.fromkeys(spec.exclude_elements, ""), reason="named in exclude_elements"
    )
    return policies
