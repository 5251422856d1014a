"""Write docs/licences.md: every package that Softlyte and its extras bring along, with its licence.

Run `python docs/site/licences.py` where all extras are installed.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"

NOT_STATED = {
    "dynesty": ("MIT", "its licence file"),
    "symfc": ("BSD-3-Clause", "its licence file"),
}
"""Licences that a package's metadata leave out, and where they were read."""

WORDS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
    "GNU LESSER GENERAL PUBLIC LICENSE": "LGPL-2.1",
}


def licence_of(package: metadata.PackageMetadata) -> str:
    """Return the licence that a package's metadata state."""
    name = package["Name"].lower()
    if name in NOT_STATED:
        return NOT_STATED[name][0]
    stated = package.get("License-Expression")
    classifiers = [
        text.rpartition("::")[2].strip()
        for text in package.get_all("Classifier") or ()
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    words = stated or "; ".join(classifiers) or (package.get("License") or "").strip().partition("\n")[0]
    return WORDS.get(words, words) or "not stated"


def walk(name: str, extras: tuple[str, ...], found: dict[str, metadata.PackageMetadata]) -> None:
    """Add a package and all that it needs."""
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    key = canonical(name)
    if key in found and not extras:
        return
    found[key] = package.metadata
    for text in package.requires or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras)):
            walk(one.name, tuple(one.extras), found)


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def page() -> str:
    """Return the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name != "dev"]
    groups = {"": project["dependencies"]} | {e: project["optional-dependencies"][e] for e in extras}
    brought: dict[str, list[str]] = {}
    packages: dict[str, metadata.PackageMetadata] = {}
    core: dict[str, metadata.PackageMetadata] = {}
    for extra, texts in groups.items():
        found: dict[str, metadata.PackageMetadata] = {}
        for text in texts:
            one = Requirement(text)
            walk(one.name, tuple(one.extras), found)
        if not extra:
            core = found
        for key in found:
            if not extra or key not in core:
                brought.setdefault(key, []).append(extra or "always")
        packages |= found
    rows = []
    for key, package in sorted(packages.items()):
        version = package["Version"].partition("+")[0]
        cells = (package["Name"], version, licence_of(package), ", ".join(brought[key]))
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


HEAD = """# Licences of what Softlyte brings along

Written by `python docs/site/licences.py` from the metadata of the installed packages. Softlyte's own code is
under MIT; the licences of the data stand in their cards (`softlyte data show NAME`).

None is under the GPL or AGPL. Under the LGPL are ase and matscipy (extra `physics`), under the MPL a few
small ones; both concern changes to those packages themselves, and Softlyte changes none.
bibtexparser may be used under BSD.

| package | version | licence | with |
|---|---|---|---|
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE}")
