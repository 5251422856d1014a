"""Mutants of the modules that decide and of those that hold the physics of pressure: do the tests notice?

pip install --target FOLDER cosmic-ray
python -m benchmarks.mutation --cosmic-ray FOLDER --work WORK

Cosmic Ray (MIT licence) makes the mutants. Each is tested in a fork of a process that has imported all
libraries, with the mutated source in the place of the module's; so a mutant costs a second or two, and no
file is touched. WORK keeps what was tried: the same call goes on. What survives and why that is no gap stands
in mutation_survivors.toml.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.abc
import importlib.util
import json
import os
import re
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.report import markdown_table, write_section

ROOT = Path(__file__).parent.parent
SURVIVORS = Path(__file__).with_name("mutation_survivors.toml")
PACKAGE = "softlyte.screening"
WANTED = 0.85
MOST = 60
"""Mutants tried of a module; of more a seeded sample."""

TESTS: dict[str, tuple[str, ...]] = {
    "contact": ("test_mechanics.py",),
    "mechanics": ("test_mechanics.py",),
    "pellet": ("test_pellet.py", "test_decision.py"),
    "pressure": ("test_pressure.py", "test_decision.py"),
    "glass_transition": ("test_glass_transition.py",),
    "fusion": ("test_glass_transition.py",),
    "sampled": ("test_mechanics.py", "test_decision.py"),
    "shared": ("test_decision.py",),
    "targets": ("test_decision.py",),
    "decision": ("test_decision.py",),
    "front": ("test_stream.py::test_the_front_of_a_stream_is_that_of_everything",),
    "ranking": ("test_ranking.py",),
    "transport": ("test_cost.py",),
    "linear_programme": ("test_recipes.py",),
    "cost": ("test_cost.py", "test_costing.py"),
}
"""Module of softlyte.screening -> what it is tested by, the quickest first."""

_ARITHMETIC = (
    "Add_Sub",
    "Add_Mul",
    "Sub_Add",
    "Sub_Mul",
    "Mul_Div",
    "Mul_Add",
    "Div_Mul",
    "Div_Sub",
    "Pow_Mul",
)
_MASKS = ("BitAnd_BitOr", "BitOr_BitAnd")
_COMPARISONS = (
    *("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
    *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
)
OPERATORS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in (*_ARITHMETIC, *_MASKS)),
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS),
    *(
        "ReplaceUnaryOperator_USub_UAdd",
        "ReplaceUnaryOperator_Delete_Not",
        "ReplaceUnaryOperator_Invert_UAdd",
    ),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "AddNot"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop"),
)
"""Cosmic Ray's operators without those whose mutants end in a TypeError at once (shifts, bits of floats)."""


@dataclass(frozen=True)
class Mutant:
    """A changed source.

    Attributes:
        key: operator, the changed line before and after, and which of several that are alike; it stays the
            same when other lines of the module change.
        before, after: the changed line.
        line: its number.
        source: the whole module.
    """

    key: str
    before: str
    after: str
    line: int
    source: str


class MutatedModule(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds one module and gives another source for it."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        """Return where the module comes from, None for any other one."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_filename(self, fullname: str) -> str:
        """Return the file that the module seems to come from."""
        return str(self.path)

    def get_data(self, path: str) -> bytes:
        """Return the source; there is no compiled file."""
        if path != str(self.path):
            raise OSError(path)
        return self.source.encode()


def main() -> None:
    """Try all mutants that have not been tried, print and write the counts."""
    parser = argparse.ArgumentParser(description="mutants of the decision and of the physics of pressure")
    parser.add_argument("--cosmic-ray", type=Path, required=True, help="folder that pip put cosmic-ray into")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--modules", nargs="*", default=list(TESTS), help="only these; writes no section")
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--again", action="store_true", help="try what survived once more: tests were added")
    parser.add_argument("--list", action="store_true", help="count the mutants, try none")
    chosen = parser.parse_args()
    sys.path.append(str(chosen.cosmic_ray))
    chosen.work.mkdir(parents=True, exist_ok=True)
    if not chosen.list:
        _prepare()
    body, survivors = [], []
    for name in chosen.modules:
        mutants = list(_mutants(ROOT / "screening" / f"{name}.py"))
        tried = _sample(mutants, chosen.most)
        if chosen.list:
            print(name, len(mutants), len(tried), flush=True)
            continue
        outcome = _judged(name, tried, chosen.work / f"{name}.jsonl", chosen.again)
        alive = [mutant for mutant in tried if outcome[mutant.key] == "survived"]
        survivors += [(name, mutant) for mutant in alive]
        share = 1 - len(alive) / len(tried)
        body.append([name, str(len(mutants)), str(len(tried)), str(len(tried) - len(alive)), f"{share:.0%}"])
        print(*body[-1], flush=True)
    if not chosen.list:
        _report(body, survivors, chosen.modules == list(TESTS))


def _prepare() -> None:
    """Import what mutants do not change, so that their processes need not."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    sys.path[:0] = [str(ROOT / "tests" / "support")]
    os.chdir(ROOT)
    import hypothesis
    import torch

    torch.set_num_threads(1)
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    for module in ("pytest", "typer.testing", "scipy.stats", "pandas", "softlyte.models.predictor"):
        importlib.import_module(module)
    for path in sorted((ROOT / "screening").glob("*.py")):
        if path.stem not in ("__init__", "cluster"):
            importlib.import_module(f"{PACKAGE}.{path.stem}")


def _mutants(path: Path) -> Iterator[Mutant]:
    """Yield every mutant whose meaning differs: one that only changes an annotation does not."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    source = path.read_text(encoding="utf-8")
    meaning = _meaning(source)
    provider = OperatorProvider()
    alike = Counter[tuple[str, ...]]()
    for operator in OPERATORS:
        number = 0
        while True:
            changed = mutate_code(source, provider[operator](), number)
            if changed is None:
                break
            if _meaning(changed) not in (meaning, None):
                before, after, line = _difference(source, changed)
                alike[operator, before, after] += 1
                key = f"{operator}|{before}|{after}|{alike[operator, before, after]}"
                yield Mutant(key, before, after, line, changed)
            number += 1


def _meaning(source: str) -> str | None:
    """Return the syntax without docstrings and annotations, None if it is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(0)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def _difference(source: str, changed: str) -> tuple[str, str, int]:
    """Return the line that differs, before and after, and its number."""
    lines, others = source.splitlines(), changed.splitlines()
    for tag, begin, end, start, stop in difflib.SequenceMatcher(None, lines, others, False).get_opcodes():
        if tag != "equal":
            before, after = (
                " ".join(part.strip() for part in text) for text in (lines[begin:end], others[start:stop])
            )
            return before, after, begin + 1
    raise AssertionError("nothing differs")


def _sample(mutants: Sequence[Mutant], most: int) -> list[Mutant]:
    if len(mutants) <= most:
        return list(mutants)
    rng = np.random.default_rng(0)
    return [mutants[i] for i in sorted(rng.choice(len(mutants), most, replace=False))]


def _judged(name: str, mutants: Sequence[Mutant], log: Path, again: bool) -> dict[str, str]:
    """Return "killed", "timeout" or "survived" for each mutant by key; what is in the log is not tried."""
    path = ROOT / "screening" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    known = {}
    if log.is_file():
        lines = (json.loads(line) for line in log.read_text().splitlines())
        known = {line["key"]: line["outcome"] for line in lines}
        known = {key: found for key, found in known.items() if found != "survived" or not again}
    outcome = {}
    start = time.perf_counter()
    limit_s = 600.0
    if any(mutant.key not in known for mutant in mutants):
        if _tested(name, path, source, limit_s) != "survived":
            raise SystemExit(f"the tests of {name} fail without any change")
        limit_s = 5 * (time.perf_counter() - start) + 10
    for mutant in mutants:
        if mutant.key not in known:
            begun = time.perf_counter()
            known[mutant.key] = _tested(name, path, mutant.source, limit_s)
            line = {"key": mutant.key, "line": mutant.line, "outcome": known[mutant.key]}
            with log.open("a") as handle:
                handle.write(json.dumps(line | {"seconds": round(time.perf_counter() - begun, 2)}) + "\n")
        outcome[mutant.key] = known[mutant.key]
    return outcome


def _tested(name: str, path: Path, source: str, limit_s: float) -> str:
    """Run the tests of a module with a source in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            code = _run(name, path, source)
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _run(name: str, path: Path, source: str) -> int:
    import pytest

    full = f"{PACKAGE}.{name}"
    sys.meta_path.insert(0, MutatedModule(full, path, source))
    for module in _dependants(name):
        sys.modules.pop(module, None)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    words = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"]
    return int(pytest.main([*words, *(f"tests/{test}" for test in TESTS[name])]))


def _dependants(name: str) -> set[str]:
    """Return the module and all loaded modules of ours that import it, directly or not."""
    imported = {
        module: set(re.findall(r"^\s*(?:from|import) (softlyte[\w.]*)", Path(file).read_text(), re.MULTILINE))
        for module, loaded in list(sys.modules.items())
        if module.startswith("softlyte") and (file := getattr(loaded, "__file__", None)) is not None
    }
    found = {f"{PACKAGE}.{name}"}
    while True:
        more = {module for module, names in imported.items() if names & found} | found
        if more == found:
            return found
        found = more


def _report(body: list[list[str]], survivors: list[tuple[str, Mutant]], whole: bool) -> None:
    why = {}
    if SURVIVORS.is_file():
        listed = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]
        why = {(entry["module"], entry["before"], entry["after"]): entry["why"] for entry in listed}
    lines = []
    for name, mutant in survivors:
        reason = why.get((name, mutant.before, mutant.after), "")
        if not reason:
            print(f"SURVIVED {name}:{mutant.line}  {mutant.before}  ->  {mutant.after}")
        lines.append(
            [name, f"`{_cell(mutant.after)}`", f"`{_cell(mutant.before)}`", reason or "not explained"]
        )
    tried, killed = (sum(int(row[column]) for row in body) for column in (2, 3))
    explained = sum(line[-1] != "not explained" for line in lines)
    head = ["module", "mutants", "tried", "killed", "share"]
    text = (
        f"`python -m benchmarks.mutation`: of {tried} mutants (Cosmic Ray's operators; of modules with more "
        f"than {MOST} a seeded sample) the tests named in the script kill {killed}, **{killed / tried:.1%}** "
        f"(wanted: {WANTED:.0%}); {explained} of the {len(lines)} survivors are explained below.\n\n"
        + markdown_table(head, body)
        + "\n\n<details><summary>Survivors</summary>\n\n"
        + markdown_table(["module", "mutant", "in place of", "why no test is missing"], lines)
        + "\n\n</details>"
    )
    print(text)
    if whole:
        write_section("mutation", text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
