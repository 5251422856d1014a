"""`softlyte adapt` on measured rows: what a laboratory's few rows tell of the rest of its group of materials.

python -m benchmarks.adaptation [--draws 20]

A group are the measured materials of one family and phase. A number of its compositions are drawn as the
laboratory's own; the others are predicted by networks that have not seen the conductivity of any material of
their chemical system, with and without the process fitted to the drawn rows alone.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.measured import BY, load_measured
from benchmarks.near_neighbours import HALF, spread_factor
from benchmarks.report import markdown_table, write_section
from softlyte.datasets.columns import PHASES
from softlyte.models.residual_process import ResidualProcess
from softlyte.screening.families import FAMILIES, classify_family

SIZES = (5, 10, 20, 50)
FEWEST_LEFT = 10
"""Compositions that must remain to be predicted."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="adaptation to a few rows of a group of materials")
    parser.add_argument("--draws", type=int, default=20)
    draws = parser.parse_args().draws
    measured = load_measured()
    value, rows = measured.value(), measured.rows
    means, sds = measured.out_of_fold("chemical system")
    mean = means.mean(axis=0)
    factor = spread_factor(measured, 0)[measured.fold[BY.index("chemical system")]]
    sd = factor * np.sqrt((sds**2).mean(axis=0) + means.var(axis=0))
    known = ~np.isnan(value)
    family = classify_family(rows.compositions)
    key = np.unique(rows.compositions.keys(), return_inverse=True)[1].ravel()
    body = []
    for code in np.unique(family[known]):
        for phase in range(len(PHASES)):
            group = np.flatnonzero(known & (family == code) & (rows.phase == phase))
            formulas = np.unique(key[group])
            for size in SIZES:
                if len(formulas) < size + FEWEST_LEFT:
                    continue
                found = []
                for draw in range(draws):
                    own = np.random.default_rng(draw).permutation(formulas)[:size]
                    lab, rest = group[np.isin(key[group], own)], group[~np.isin(key[group], own)]
                    process = ResidualProcess.fit(
                        rows.compositions[lab], rows.phase[lab], (value[lab] - mean[lab]) / sd[lab]
                    )
                    shift, narrowed = process.predict(rows.compositions[rest], rows.phase[rest])
                    before, after = value[rest] - mean[rest], value[rest] - mean[rest] - shift * sd[rest]
                    found.append(
                        [
                            np.abs(before).mean(),
                            np.abs(after).mean(),
                            (np.abs(before) <= HALF * sd[rest]).mean(),
                            (np.abs(after) <= HALF * sd[rest] * narrowed).mean(),
                        ]
                    )
                a = np.array(found)
                better = int((a[:, 1] < a[:, 0]).sum())
                body.append(
                    [
                        f"{FAMILIES[code]}, {PHASES[phase]}",
                        str(len(formulas)),
                        str(size),
                        f"{a[:, 0].mean():.2f} ± {a[:, 0].std():.2f}",
                        f"{a[:, 1].mean():.2f} ± {a[:, 1].std():.2f}",
                        f"{better} of {draws}",
                        f"{a[:, 2].mean():.0%}",
                        f"{a[:, 3].mean():.0%}",
                    ]
                )
                print(*body[-1], flush=True)
    head = [
        "materials",
        "compositions",
        "own",
        "error before",
        "error after",
        "better in",
        "in 90% before",
        "after",
    ]
    text = markdown_table(head, body)
    print(text)
    write_section("adaptation", text)


if __name__ == "__main__":
    main()
