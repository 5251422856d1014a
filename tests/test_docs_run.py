"""What the documents tell a reader to run is run: Python blocks and `softlyte` commands.

A comment `<!-- not run: REASON -->` on the line before a block, or `<!-- fails: -->` before commands that are
shown to fail, says so in the document. What is not run must still parse. Screenings are made small.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from softlyte.cli.app import app
from softlyte.datasets.tables import load_table

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "RESULTS.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
SMALL = {"screen": ["--limit", "60", "--refine", "10", "--top", "10", "--overwrite"]}
"""Options added to a verb: the same command on less."""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run|fails): ?(?P<reason>[^>]*)-->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document: its language, text, line, and why it is not run ("" if it is)."""

    kind: str
    body: str
    line: int
    mark: str
    reason: str

    def commands(self) -> list[list[str]]:
        """Return the arguments of each `softlyte` command in it."""
        lines = re.sub(r"\\\n\s*", " ", self.body).splitlines()
        found = [re.match(r"(?:\$ )?softlyte (.*)", line) for line in lines]
        split = [shlex.split(match.group(1), comments=True) for match in found if match]
        # What another program does with the output is not ours to test.
        return [words[: words.index("|")] if "|" in words else words for words in split]


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            m["kind"],
            m["body"],
            text.count("\n", 0, m.start()) + 1,
            m["mark"] or "",
            (m["reason"] or "").strip(),
        )
        for m in _BLOCK.finditer(text)
    ]


def runnable(document: Path) -> list[Block]:
    return [b for b in blocks(document) if b.kind == "python" or b.commands()]


WITH_BLOCKS = [document for document in DOCUMENTS if runnable(document)]


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.fixture(scope="module")
def predictor():
    from softlyte.models.predictor import Predictor

    return Predictor.load(device="cpu")


@pytest.fixture
def desk(tmp_path: Path, made_up_run, monkeypatch: pytest.MonkeyPatch, predictor) -> Path:
    """A folder with the files that documents name as the reader's own; weights are loaded once for all."""
    from softlyte.models.predictor import Predictor

    for name in ("examples", "models", "docs", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "examples" / "candidates.csv", tmp_path / "mine.csv")
    shutil.copy(ROOT / "examples" / "targets.toml", tmp_path / "my_targets.toml")
    prices = next(b for b in blocks(ROOT / "docs" / "cost.md") if b.body.startswith("formula,price_per_kg"))
    (tmp_path / "own_prices.csv").write_text(prices.body, encoding="utf-8")
    shutil.copytree(made_up_run(12), tmp_path / "my-run")
    monkeypatch.chdir(tmp_path)
    read = Predictor.load
    monkeypatch.setattr(
        Predictor, "load", lambda where=None, device="auto": read(where, device) if where else predictor
    )
    return tmp_path


@pytest.mark.parametrize("document", WITH_BLOCKS, ids=name_of)
def test_commands_and_code_of_documents_run(document: Path, desk: Path) -> None:
    names: dict[str, object] = given(document, desk)
    for block in runnable(document):
        if block.mark == "not run":
            continue
        where = f"{name_of(document)}, block at line {block.line}"
        if block.kind == "python":
            exec(compile(block.body, where, "exec"), names)  # noqa: S102 - our own documents
            continue
        for arguments in block.commands():
            result = CliRunner().invoke(app, [*arguments, *SMALL.get(arguments[0], [])])
            said = f"{where}: softlyte {shlex.join(arguments)}\n{result.output[-2000:]}"
            if block.mark == "fails":
                assert result.exit_code == 2, said
                for line in block.body.splitlines():
                    assert line.startswith("$ ") or line in result.output, f"{said}\nlacks: {line}"
            else:
                assert result.exit_code == 0, f"{said}\n{result.exception!r}"


def given(document: Path, desk: Path) -> dict[str, object]:
    """Return the names that a document's code takes from the reader's own work."""
    if document.name == "training.md":
        formulas = [f"Li{n}AlCl{n + 3}" for n in range(1, 11)]
        return {"formulas": formulas, "y": np.linspace(1.0, 2.0, 10)}
    if document.name == "scale.md":
        small = ["screen", "doped-li2zrcl6", "--out", "big", *SMALL["screen"]]
        assert CliRunner().invoke(app, small).exit_code == 0
    if document.name == "own-data.md":
        (desk / "more.csv").write_text(
            "formula,phase,conductivity (mS/cm),temperature (C),source\nLi3YCl6,crystal,0.51,25,notebook 7\n"
        )
    if document.name == "next-experiments.md":
        prices = load_table("precursors")["formula"]
        (desk / "shelf.txt").write_text("\n".join(prices), encoding="utf-8")
        (desk / "results.csv").write_text(
            "formula,phase,conductivity (mS/cm),temperature (C)\nLi3YCl6,crystal,0.51,25\n", encoding="utf-8"
        )
        for words in (
            ["data", "add", "examples/measurements.csv", "--to", "my-data"],
            ["adapt", "--own-data", "my-data", "--out", "my-weights", "--device", "cpu"],
        ):
            assert CliRunner().invoke(app, words).exit_code == 0
    if document.name == "pressure.md":
        from pymatgen.core import Lattice, Structure

        # Rock salt with yttrium on one and vacancies on two of six cation sites.
        cell = Structure(
            Lattice([[0, 2.7, 2.7], [2.7, 0, 2.7], [2.7, 2.7, 0]]), ["Li", "Cl"], [[0] * 3, [0.5] * 3]
        )
        cell.make_supercell([1, 2, 3])
        cell.replace(0, "Y")
        cell.remove_sites([1, 3])
        cell.to(str(desk / "Li3YCl6.cif"))
    if document.name == "spaces.md":
        # The file that the page explains, with the mistakes that the page shows the messages of.
        text = next(b.body for b in blocks(document) if b.kind == "toml")
        for right, wrong in (
            ('exclude_policies = ["toxic"', 'exclude_policies = ["toxik"'),
            ("\nAl = 3\n", "\nAl = -3\n"),
            ('M = { species = "trivalent"', 'M = { species = ["trivalnt"]'),
        ):
            assert text.count(right) == 1
            text = text.replace(right, wrong)
        (desk / "mine.toml").write_text(text, encoding="utf-8")
    if document.name == "crystals.md":
        from pymatgen.core import Lattice, Structure

        for name, length in (("LiCl", 5.13), ("NaCl", 5.64)):
            cell = Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(length), [name[:2], "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
            )
            cell.to(str(desk / f"{name}.cif"))
        return {"paths": [desk / "LiCl.cif", desk / "NaCl.cif"]}
    return {}


@pytest.mark.parametrize("document", WITH_BLOCKS, ids=name_of)
def test_what_is_not_run_says_why_and_parses(document: Path) -> None:
    root = get_command(app)
    for block in runnable(document):
        if block.mark == "not run":
            assert len(block.reason) > 10, f"{name_of(document)}, line {block.line}: no reason is given"
        if block.kind == "python":
            compile(block.body, f"{name_of(document)}, line {block.line}", "exec")
        for arguments in block.commands():
            parse(root, arguments)


def parse(command, arguments: list[str]) -> None:
    """Parse the arguments of a verb without running it."""
    rest = list(arguments)
    if rest[0].startswith("--"):
        assert any(rest[0] in parameter.opts for parameter in command.params), rest[0]
        return
    while hasattr(command, "commands"):
        assert rest, f"no verb after {command.name}"
        assert rest[0] in command.commands, f"there is no verb {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_verbs_and_make_targets_named_in_the_text_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    root = get_command(app)
    for line in re.findall(r"`softlyte ([a-z][^`]*)`", text):
        words = line.split()
        verb = root.commands.get(words[0])
        assert verb is not None, f"{name_of(document)}: softlyte {line}"
        if hasattr(verb, "commands") and len(words) > 1 and words[1].islower():
            assert words[1] in verb.commands, f"{name_of(document)}: softlyte {line}"
            verb = verb.commands[words[1]]
        for option in re.findall(r"--[a-z-]+", line):
            assert option == "--help" or any(option in p.opts + p.secondary_opts for p in verb.params), line
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"`make ([a-z]+)`", text)) | set(
        re.findall(r"^(?:\$ )?make ([a-z]+)\b", text, re.M)
    )
    assert named <= made, f"{name_of(document)}: {named - made}"
