"""The half of the comparison with SMACT that runs where SMACT is installed; imports nothing of Softlyte.

Reads {"formulas": [...], "states": {element: [...]}} from standard input and prints as JSON what SMACT says:
the verdict on each formula (charge alone, and with the electronegativity test) by SMACT's own oxidation
states and by the given ones, and SMACT's states and electronegativities of the elements.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

MISSING = 3
"""Exit code where SMACT cannot be imported."""


def main() -> int:
    """Answer one request."""
    try:
        from smact import Element
        from smact.screening import smact_validity
        from smact.utils.oxidation import ICSD24OxStatesFilter
    except ImportError as error:
        print(f"SMACT cannot be imported here ({error})", file=sys.stderr)
        return MISSING
    asked = json.load(sys.stdin)
    listed = ICSD24OxStatesFilter().filter(consensus=3, commonality="low")
    own = dict(zip(listed["element"], listed["oxidation_state"], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "states.txt"
        lines = [" ".join([symbol, *map(str, states)]) for symbol, states in asked["states"].items()]
        given.write_text("\n".join(lines) + "\n", encoding="utf-8")
        verdicts = {
            f"{name}, {'charge and order' if ordered else 'charge'}": [
                bool(
                    smact_validity(
                        formula, use_pauling_test=ordered, include_alloys=False, oxidation_states_set=states
                    )
                )
                for formula in asked["formulas"]
            ]
            for name, states in (("own", None), ("given", str(given)))
            for ordered in (False, True)
        }
    answer = {
        "version": version("smact"),
        "electronegativity": {s: Element(s).pauling_eneg for s in asked["states"]},
        "states": {s: [int(q) for q in str(own.get(s, "")).split()] for s in asked["states"]},
        "verdicts": verdicts,
    }
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
