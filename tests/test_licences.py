"""The list of licences names every direct requirement, and none that could not be used."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs" / "site" / "licences.py"))
ROWS = {
    SCRIPT["canonical"](name): licence
    for name, licence in re.findall(
        r"^\| (\S+) \| \S+ \| (.+?) \|", (ROOT / "docs" / "licences.md").read_text(encoding="utf-8"), re.M
    )
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [
    *PROJECT["dependencies"],
    *(t for texts in PROJECT["optional-dependencies"].values() for t in texts),
]


@pytest.mark.parametrize("name", sorted({Requirement(text).name for text in DIRECT} - {"softlyte"}))
def test_every_requirement_is_listed_with_its_licence(name: str) -> None:
    # Tools of the extra dev are not part of what a user installs.
    tools = {Requirement(text).name for text in PROJECT["optional-dependencies"]["dev"]}
    assert name in tools or SCRIPT["canonical"](name) in ROWS


def test_no_licence_is_unknown_or_forbids_use() -> None:
    assert len(ROWS) > 150
    for name, licence in ROWS.items():
        assert licence != "not stated", name
        assert not re.search(r"(?<!L)GPL|AGPL|non-?commercial", licence, re.IGNORECASE), (name, licence)
