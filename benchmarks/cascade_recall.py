"""Recall of the student against the networks asked of everything; writes a section of RESULTS.md.

python -m benchmarks.cascade_recall --work FOLDER                # about ten minutes on two free cores
python -m benchmarks.cascade_recall --work FOLDER --whole DIR    # with a screening of the whole space, too

A random sample of a space is screened twice, once exhaustively. Both screenings keep their pieces in FOLDER:
stopped at any moment, the same command goes on. `--whole` takes the folder of a screening of the whole space
with the same targets and weights: those of the sample that belong to its best by the exhaustive screening are
an audit that it knows nothing of.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta

from benchmarks.report import markdown_table, write_section
from softlyte.screening.export import check_writable
from softlyte.screening.funnel import screen
from softlyte.screening.query import query_results

SPACE, LIMIT, SEED = "funnel-32m", 1_000_000, 0
RANKS = (1_000, 10_000, 20_000)
ASKED = "SELECT place, formula, phase, p_without_hull FROM evaluated ORDER BY p_without_hull DESC, place"


def main() -> None:
    """Run both screenings and compare what they put first."""
    parser = argparse.ArgumentParser(description="recall of the student of the networks")
    parser.add_argument("--work", type=Path, required=True, help="folder for both screenings, kept")
    parser.add_argument("--space", default=SPACE)
    parser.add_argument("--limit", type=int, default=LIMIT, help="size of the random sample")
    parser.add_argument("--whole", type=Path, help="folder of a screening of the whole space")
    chosen = parser.parse_args()
    check_writable(chosen.work)
    common = {"limit": chosen.limit, "seed": SEED, "report": False}
    for name, exhaustive in (("cascade", False), ("exhaustive", True)):
        screen(
            chosen.space, out=chosen.work / name, exhaustive=exhaustive, progress=_progress(name), **common
        )
    truth, found = (query_results(chosen.work / name, sql=ASKED) for name in ("exhaustive", "cascade"))
    asked = np.isin(truth["place"], found["place"])
    body = [
        [f"best {count:,} by the networks", f"{asked[:count].sum():,}", f"{asked[:count].mean():.4%}"]
        for count in RANKS
    ]
    ranked = [pd.read_csv(chosen.work / name / "candidates.csv") for name in ("exhaustive", "cascade")]
    keys = [set(zip(table["formula"], table["phase"], strict=True)) for table in ranked]
    body.append(
        [
            f"the {len(keys[0]):,} ranked in candidates.csv",
            f"{len(keys[0] & keys[1]):,}",
            f"{len(keys[0] & keys[1]) / len(keys[0]):.4%}",
        ]
    )
    counts = json.loads((chosen.work / "cascade" / "run.json").read_text())["counts"]
    rounds = ", ".join(map(str, counts["entered_by_round"]))
    text = (
        f"`python -m benchmarks.cascade_recall`: {chosen.limit:,} random candidates of `{chosen.space}` "
        f"(seed {SEED}), of which {len(truth):,} pass the cheap filters. Exhaustively, the networks are "
        f"asked of all; by the student, of {len(found):,} ({len(found) / len(truth):.1%}). Candidates that "
        f"entered the best {RANKS[-1]:,} by round: {rounds}. The screening's own audit says "
        f"{counts['audit_chosen']} of {counts['audit_best']}.\n\n"
    )
    text += markdown_table(["of the exhaustive screening's", "the student's has", "recall"], body)
    if chosen.whole is not None:
        text += "\n\n" + _audit(truth, chosen.whole)
    print(text)
    if (chosen.space, chosen.limit) == (SPACE, LIMIT):
        write_section("cascade-recall", text)


def _audit(truth: pd.DataFrame, whole: Path) -> str:
    """Return how many of the sample's candidates that belong to the best of the whole space were asked about.

    Args:
        truth: `ASKED` of the exhaustive screening of a random sample.
        whole: folder of the screening of the whole space.
    """
    asked = query_results(whole, sql=ASKED)
    counts = json.loads((whole / "run.json").read_text())["counts"]
    body = []
    for count in RANKS:
        last = float(asked["p_without_hull"][count - 1])
        best = truth[truth["p_without_hull"] >= last]
        hit = int(np.isin(best["place"], asked["place"]).sum())
        # Clopper & Pearson, one-sided.
        least = float(beta.ppf(0.05, hit, len(best) - hit + 1)) if hit else 0.0
        body.append([f"{count:,}", f"{len(best):,}", f"{hit:,}", f"{least:.2%}"])
    lead = (
        f"The whole space, {counts['candidates']:,} candidates, of which the networks were asked of "
        f"{counts['predicted']:,}. Entered the best {RANKS[-1]:,} by round: "
        f"{', '.join(map(str, counts['entered_by_round']))}; its own audit says {counts['audit_chosen']} of "
        f"{counts['audit_best']}. The exhaustively screened sample as an audit:\n\n"
    )
    head = ["best of the whole space", "of them in the sample", "asked about", "recall at least (95%)"]
    return lead + markdown_table(head, body)


def _progress(name: str):
    """Return a progress callback that prints a line for each tenth."""
    last: dict[str, int] = {}

    def show(tier: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if last.get(tier) != tenth:
            last[tier] = tenth
            print(f"{name} {tier} {done:,}/{total:,}", flush=True)

    return show


if __name__ == "__main__":
    main()
