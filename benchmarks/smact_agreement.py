"""Oxidation-state and electronegativity tests beside SMACT's; writes a section of RESULTS.md.

python -m benchmarks.smact_agreement --python FOLDER/bin/python    # an environment with `pip install smact`

Without --python the running interpreter is asked. Half of the sample are candidates of the shipped spaces,
half the same formulas with one amount changed. Every difference is put down to the ingredient that makes it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import markdown_table, write_section
from benchmarks.smact_side import MISSING
from softlyte.datasets.formulas import Compositions, symbols
from softlyte.featurize.charge import (
    CHARGE_TOLERANCE,
    OXIDISED_HALOGENS,
    PAULING_TOLERANCE,
    electronegativities,
    is_charge_balanced,
    oxidation_states,
)
from softlyte.screening.enumerate import plan_candidates
from softlyte.screening.space import load_space

CANDIDATES = {"funnel-32m": 2000, "sodium": 1000, "oxychloride-glasses": 1000, "doped-li2zrcl6": 1000}
"""Formulas drawn from each space; as many again are changed."""

SHOWN = 12
"""Oxidation states named for each cause."""

UNEXPLAINED = "not explained"

States = dict[str, tuple[int, ...]]


def sample(seed: int = 0) -> tuple[Compositions, NDArray[np.bool_]]:
    """Return formulas in whole numbers and which of them are candidates, 10,000 rows."""
    rng = np.random.default_rng(seed)
    parts = []
    for name, count in CANDIDATES.items():
        plan = plan_candidates(load_space(name))
        drawn = plan.at(rng.choice(len(plan), size=2 * count, replace=False)).compositions
        # A glass is the same formula as its crystal: take each once.
        _, first = np.unique(drawn.keys(), return_index=True)
        parts.append(drawn[np.sort(first)[:count]])
    rows = Compositions.concatenate(parts)
    rows = Compositions(rows.atomic_numbers, rows.integer_amounts().astype(np.float64))
    changed = rows.amounts.copy()
    each = np.arange(len(rows))
    column = rng.integers((rows.atomic_numbers > 0).sum(axis=1))
    step = rng.integers(1, 4, size=len(rows)) * rng.choice([-1, 1], size=len(rows))
    wanted = changed[each, column] + step
    changed[each, column] = np.where(wanted > 0, wanted, changed[each, column] + np.abs(step))
    both = Compositions.concatenate([rows, Compositions(rows.atomic_numbers, changed)])
    return both, np.repeat([True, False], len(rows))


class Assignment(NamedTuple):
    """The admissible assignment of states to a formula's elements that holds fewest foreign states."""

    states: tuple[tuple[str, int], ...]
    foreign: tuple[tuple[str, int], ...]


def assign(
    names: list[str], amounts: NDArray[np.float64], states: States, known: States
) -> Assignment | None:
    """Return an exact assignment of whole states (neutral, cations below anions), None if there is none.

    Args:
        names: elements of one formula.
        amounts: whole numbers.
        states: states that may be used.
        known: states that count as not foreign.
    """
    options = list(product(*(states[name] for name in names)))
    if not options:
        return None
    table = np.array(options, dtype=np.float64)
    chi = electronegativities()[[symbols().index(name) for name in names]]
    highest = np.where(table > 0, chi, -np.inf).max(axis=1)
    lowest = np.where(table < 0, chi, np.inf).min(axis=1)
    good = np.flatnonzero((np.abs(table @ amounts) < 1e-9) & (highest < lowest))
    best: Assignment | None = None
    for row in good.tolist():
        chosen = tuple(zip(names, options[row], strict=True))
        foreign = tuple(pair for pair in chosen if pair[1] not in known[pair[0]])
        if best is None or len(foreign) < len(best.foreign):
            best = Assignment(chosen, foreign)
    return best


def whole_states(elements: list[str]) -> States:
    """Return Softlyte's states as whole numbers; a span of valences becomes every state in it."""
    return {
        e: tuple(sorted({q for low, high in oxidation_states(e) for q in range(low, high + 1) if q}))
        for e in elements
    }


def ask_smact(python: str, formulas: list[str], states: States) -> dict[str, Any]:
    """Return SMACT's answer; ends with a message if there is no SMACT."""
    side = Path(__file__).with_name("smact_side.py")
    asked = json.dumps({"formulas": formulas, "states": states})
    done = subprocess.run([python, str(side)], input=asked, capture_output=True, text=True)
    if done.returncode == MISSING:
        raise SystemExit(
            f"{done.stderr.strip()}; make an environment with `python -m venv smact && smact/bin/pip install "
            "smact` and pass --python smact/bin/python"
        )
    if done.returncode:
        raise SystemExit(f"SMACT's half failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Compare and explain."""
    parser = argparse.ArgumentParser(description="agreement with SMACT's tests")
    parser.add_argument("--python", default=sys.executable, help="interpreter of an environment with SMACT")
    parser.add_argument("--limit", type=int, help="compare only so many formulas (not written to RESULTS.md)")
    chosen = parser.parse_args()
    rows, is_candidate = sample()
    if chosen.limit:
        picked = np.linspace(0, len(rows) - 1, chosen.limit).astype(np.int64)
        rows, is_candidate = rows[picked], is_candidate[picked]
    formulas = rows.formulas()
    elements = [symbols()[z] for z in np.unique(rows.atomic_numbers) if z]
    ours = whole_states(elements)
    answer = ask_smact(chosen.python, formulas, ours)
    theirs: States = {element: tuple(states) for element, states in answer["states"].items()}
    verdicts = {name: np.array(values) for name, values in answer["verdicts"].items()}
    balanced = is_charge_balanced(rows)

    exact, causes = np.zeros(len(rows), dtype=bool), Counter[tuple[str, str]]()
    examples: dict[tuple[str, str], str] = {}
    states_of: dict[str, set[tuple[str, int]]] = {}
    for row in range(len(rows)):
        present = rows.atomic_numbers[row] > 0
        names = [symbols()[z] for z in rows.atomic_numbers[row][present]]
        amounts = rows.amounts[row][present]
        mine = assign(names, amounts, ours, theirs)
        exact[row] = mine is not None
        smact = bool(verdicts["own, charge and order"][row])
        if balanced[row] == smact:
            continue
        if balanced[row]:
            side = "Softlyte yes, SMACT no"
            found = mine
        else:
            side = "Softlyte no, SMACT yes"
            found = assign(names, amounts, theirs, ours)
        if found is None:
            cause = "within Softlyte's tolerances, not exact" if balanced[row] else UNEXPLAINED
        elif not found.foreign:
            halate = any(e in OXIDISED_HALOGENS and q > 0 for e, q in found.states) and not balanced[row]
            cause = "an oxidised halogen with fewer than three oxygen to each" if halate else UNEXPLAINED
        else:
            whose = "Softlyte" if balanced[row] else "SMACT"
            cause = f"{whose} alone lists a needed state of {' and '.join(e for e, _ in found.foreign)}"
            states_of.setdefault(cause, set()).update(found.foreign)
        causes[side, cause] += 1
        examples.setdefault((side, cause), formulas[row])
    text = "\n".join(
        [
            *_comparison(answer["version"], is_candidate, balanced, verdicts, exact),
            "",
            f"What the {sum(causes.values()):,} differences with each one's own states rest on "
            f"({sum(n for (_, cause), n in causes.items() if cause == UNEXPLAINED)} are not explained):",
            "",
            _explanation(causes, examples, states_of),
        ]
    )
    chi = electronegativities()
    differing = {
        e: (value, float(chi[symbols().index(e)]))
        for e, value in answer["electronegativity"].items()
        if value is None or abs(value - chi[symbols().index(e)]) > 1e-9
    }
    named = ", ".join(f"{e} {smact} in SMACT and {own} here" for e, (smact, own) in differing.items())
    text += f"\n\nElectronegativities of the {len(elements)} elements: {named or 'equal'}."
    print(text)
    if not chosen.limit:
        write_section("smact-agreement", text)


def _comparison(
    version: str,
    is_candidate: NDArray[np.bool_],
    balanced: NDArray[np.bool_],
    verdicts: dict[str, NDArray[np.bool_]],
    exact: NDArray[np.bool_],
) -> list[str]:
    """Return the introduction and the table of agreement."""

    def line(name: str, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> list[str]:
        counts = [(first & second), (~first & ~second), (first & ~second), (~first & second)]
        return [name, *(f"{int(c.sum()):,}" for c in counts), f"{(first == second).mean():.2%}"]

    own, given = verdicts["own, charge and order"], verdicts["given, charge and order"]
    head = ["comparison", "both yes", "both no", "Softlyte yes, SMACT no", "Softlyte no, SMACT yes", "agree"]
    body = [
        line("same oxidation states, exact charge and order", exact, given),
        line("same oxidation states, with Softlyte's tolerances", balanced, given),
        line("each with its own states, candidates", balanced[is_candidate], own[is_candidate]),
        line("each with its own states, changed formulas", balanced[~is_candidate], own[~is_candidate]),
    ]
    order = int((verdicts["own, charge"] != own).sum())
    return [
        f"`python -m benchmarks.smact_agreement`: SMACT {version}, {len(balanced):,} formulas, "
        f"{int(is_candidate.sum()):,} candidates of the shipped spaces and the same with the amount of one "
        "element changed by 1 to 3. *Same oxidation states*: SMACT is given Softlyte's list. Softlyte's "
        f"tolerances: {CHARGE_TOLERANCE:.0%} of the anions' charge, {PAULING_TOLERANCE} on Pauling's scale, "
        "and any mean valence within the span of a d-block element. In SMACT the electronegativity test "
        f"changes the verdict on {order:,} formulas.",
        "",
        markdown_table(head, body),
    ]


def _explanation(
    causes: Counter[tuple[str, str]],
    examples: dict[tuple[str, str], str],
    states_of: dict[str, set[tuple[str, int]]],
) -> str:
    """Return the table of causes, the SHOWN most frequent of each side by name."""
    body = []
    for side in sorted({side for side, _ in causes}):
        ranked = sorted(
            ((cause, n) for (of, cause), n in causes.items() if of == side), key=lambda item: (-item[1], item)
        )
        for cause, count in ranked[:SHOWN]:
            ions = ", ".join(
                f"{e}{abs(q)}{'+' if q > 0 else '-'}" for e, q in sorted(states_of.get(cause, ()))
            )
            body.append([side, cause, ions, f"{count:,}", examples[side, cause]])
        if rest := sum(n for _, n in ranked[SHOWN:]):
            body.append([side, "the same of other elements", "", f"{rest:,}", ""])
    return markdown_table(["difference", "cause", "states", "formulas", "example"], body)


if __name__ == "__main__":
    main()
