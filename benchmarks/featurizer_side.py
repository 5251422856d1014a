"""The peers' half of `featurizer_peers`: runs where the peer is installed, imports nothing of Softlyte.

python featurizer_side.py matminer < formulas.json     # time of the Magpie preset
python featurizer_side.py smact < systems.json         # compositions that SMACT generates, and their time

Prints {"version", "count", "seconds"} as JSON; exit code 3 where the peer cannot be imported.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

MISSING = 3


def matminer(formulas: list[str]) -> dict[str, Any]:
    """Featurize formulas by the Magpie preset on one process."""
    import pandas as pd
    from matminer.featurizers.base import MultipleFeaturizer
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    featurizer = MultipleFeaturizer([ElementProperty.from_preset("magpie")])
    featurizer.set_n_jobs(1)
    featurizer.featurize(Composition(formulas[0]))  # tables are read once
    start = time.process_time()
    frame = pd.DataFrame({"composition": [Composition(formula) for formula in formulas]})
    featurizer.featurize_dataframe(frame, "composition", pbar=False)
    return {"count": len(formulas), "seconds": time.process_time() - start}


def smact(systems: list[list[str]]) -> dict[str, Any]:
    """Generate the neutral compositions of chemical systems, amounts up to 8."""
    from smact import Element
    from smact.screening import smact_filter

    elements = [[Element(symbol) for symbol in system] for system in systems]
    start = time.process_time()
    count = sum(len(smact_filter(system, threshold=8, species_unique=False)) for system in elements)
    return {"count": count, "seconds": time.process_time() - start}


def main() -> int:
    """Answer one request."""
    peer = sys.argv[1]
    try:
        answer = {"matminer": matminer, "smact": smact}[peer](json.load(sys.stdin))
    except ImportError as error:
        print(f"{peer} cannot be imported here ({error})", file=sys.stderr)
        return MISSING
    json.dump({"version": version(peer), **answer}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
