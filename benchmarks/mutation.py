"""Mutants of the modules that decide and of those that hold the physics of pressure: do the tests notice?

pip install --target FOLDER cosmic-ray
python -m benchmarks.mutation --cosmic-ray FOLDER --work WORK

Cosmic Ray (MIT licence) makes the mutants, `benchmarks.mutation_run` runs the tests in a fork for each: a
mutant costs a second or two, and no file is touched. WORK keeps what was tried: the same call goes on. What
survives and why that is no gap stands in mutation_survivors.toml.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.mutation_run import PLUGINS, ROOT, Mutation, prepare
from benchmarks.report import markdown_table, write_section

SURVIVORS = Path(__file__).with_name("mutation_survivors.toml")
WANTED = 0.85
MOST = 40
"""Mutants tried of a module; of more a seeded sample."""

TESTS: dict[str, tuple[str, ...]] = {
    "contact": ("test_mechanics.py",),
    "mechanics": ("test_mechanics.py",),
    "pellet": ("test_pellet.py",),
    "pressure": ("test_pressure.py",),
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
}
"""Module of softlyte.screening -> what it is tested by, the quickest first."""

CHOSEN = {
    "contact": "contact or copper or resistance",
    "mechanics": "not neighbours and not large_sample",
    "pressure": "not leave_one and not shipped_law and not explains and not upper_bound and not panel",
}
"""Which of them, where not all have to do with the module."""

WORDS = ("-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-profile=mutation")

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
        in_function: True if only the body of a function differs.
    """

    key: str
    before: str
    after: str
    line: int
    source: str
    in_function: bool


def main() -> None:
    """Try all mutants that have not been tried, print and write the counts."""
    parser = argparse.ArgumentParser(description="mutants of the decision and of the physics of pressure")
    parser.add_argument("--cosmic-ray", type=Path, required=True, help="folder that pip put cosmic-ray into")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--modules", nargs="*", default=list(TESTS), help="only these; writes no section")
    parser.add_argument("--most", type=int, default=MOST)
    parser.add_argument("--again", action="store_true", help="try survivors without a reason once more")
    parser.add_argument("--list", action="store_true", help="count the mutants, try none")
    chosen = parser.parse_args()
    sys.path.append(str(chosen.cosmic_ray))
    chosen.work.mkdir(parents=True, exist_ok=True)
    if not chosen.list:
        prepare()
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


def _mutants(path: Path) -> Iterator[Mutant]:
    """Yield every mutant whose meaning differs: one that only changes an annotation does not."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    source = path.read_text(encoding="utf-8")
    meaning, frame = _meaning(source), _meaning(source, bodies=False)
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
                outside = _meaning(changed, bodies=False) != frame
                yield Mutant(key, before, after, line, changed, not outside)
            number += 1


def _meaning(source: str, bodies: bool = True) -> str | None:
    """Return the syntax without annotations and, if wanted, without functions' bodies; None if it is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(0)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
            if not bodies:
                node.body = []
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
    """Return a seeded sample in the order of the mutants; a smaller one is part of a larger one."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(mutants), min(len(mutants), max(most, 60)), replace=False)
    return [mutants[i] for i in sorted(drawn[:most])]


def _judged(name: str, mutants: Sequence[Mutant], log: Path, again: bool) -> dict[str, str]:
    """Return "killed", "timeout" or "survived" for each mutant by key; what is in the log is not tried."""
    known = {}
    if log.is_file():
        lines = (json.loads(line) for line in log.read_text().splitlines())
        known = {line["key"]: line["outcome"] for line in lines}
        if again:
            why = _explanations()
            for mutant in mutants:
                if known.get(mutant.key) == "survived" and not _reason(mutant, name, why):
                    del known[mutant.key]
    tests = [f"tests/{test}" for test in TESTS[name]]
    words = [*WORDS, *tests, *(("-k", CHOSEN[name]) if name in CHOSEN else ())]

    def judge(run: Mutation) -> None:
        for mutant in mutants:
            if mutant.key not in known:
                begun = time.perf_counter()
                known[mutant.key] = run.outcome(mutant.source, mutant.in_function, words)
                line = {"key": mutant.key, "line": mutant.line, "outcome": known[mutant.key]}
                with log.open("a") as handle:
                    handle.write(json.dumps(line | {"seconds": round(time.perf_counter() - begun, 2)}) + "\n")

    if any(mutant.key not in known for mutant in mutants):
        pytest.main([*PLUGINS, *words], plugins=[Mutation(name, judge)])
    return {mutant.key: known[mutant.key] for mutant in mutants}


def _report(body: list[list[str]], survivors: list[tuple[str, Mutant]], whole: bool) -> None:
    why = _explanations()
    lines = []
    for name, mutant in survivors:
        reason = _reason(mutant, name, why)
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


def _explanations() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]
    return found


def _reason(mutant: Mutant, module: str, why: list[dict[str, str]]) -> str:
    """Return why a mutant may survive: by its line, and by what became of it where that is stated."""
    for entry in why:
        same = entry.get("module", module) == module and entry["before"] == mutant.before
        if same and entry.get("after", mutant.after) == mutant.after:
            return entry["why"]
    return ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
