"""Published computed windows beside ours; writes a section of RESULTS.md.

    python -m benchmarks.windows_published

The published values are checks: nothing was fitted to them.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from benchmarks.report import markdown_table, write_section
from softlyte.datasets.formulas import Compositions
from softlyte.datasets.tables import load_table
from softlyte.featurize.phase_diagram import HullStore
from softlyte.models.predictor import Predictor
from softlyte.screening.families import MOBILE_IONS, mobile_ion_of
from softlyte.screening.stability import HULL_BASES, stability
from softlyte.screening.window import window

TOLERANCE_V = 0.20
"""V within which a phase of the formation-energy table has to agree."""


def compared(corrections: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a row for each published computed window: published and computed limits with 90% intervals."""
    cited = load_table("windows_cited")
    cited = cited[(cited["computed"] == "yes") & (cited["formula"] != "")].reset_index(drop=True)
    compositions = Compositions.from_formulas(cited["formula"])
    predictor = Predictor.load(device="cpu")
    said = predictor.predict(compositions)
    store = HullStore.from_table(corrections=corrections)
    ions = cited["mobile_ion"].tolist()
    own = np.array([*MOBILE_IONS])[mobile_ion_of(compositions)].tolist()
    if own != ions:
        raise SystemExit("a cited window counts against another ion than the heads have learned")
    # The heads have learned uncorrected energies.
    heads = None if corrections else (said["reduction_v"], said["oxidation_v"])
    found = stability(compositions, said["formation_energy_ev_atom"], store, ions=ions, heads=heads)
    frame = cited[
        ["formula", "name", "mobile_ion", "reduction_v", "oxidation_v", "source_title", "flag"]
    ].copy()
    frame["basis"] = np.array(HULL_BASES)[found.basis]
    frame["above_hull"] = found.e_above_hull.mean()
    for name, limit in (("reduction", found.reduction_v), ("oxidation", found.oxidation_v)):
        frame[f"our_{name}"] = limit.median()
        frame[f"{name}_low"], frame[f"{name}_high"] = limit.interval()
    return frame


def verdicts(frame: pd.DataFrame) -> list[str]:
    """Return one sentence for each claim, with the number of published limits that it holds for."""
    lines = []
    for basis, claim in (("known", f"within {TOLERANCE_V:.2f} V"), ("predicted", "inside our 90% interval")):
        near = inside = count = 0
        errors: list[float] = []
        far: list[str] = []
        for name in ("reduction", "oxidation"):
            rows = frame[(frame["basis"] == basis) & frame[f"{name}_v"].notna()]
            error = rows[f"our_{name}"] - rows[f"{name}_v"]
            errors += error.abs().tolist()
            count += len(rows)
            near += int((error.abs() <= TOLERANCE_V).sum())
            within = (rows[f"{name}_low"] <= rows[f"{name}_v"]) & (rows[f"{name}_v"] <= rows[f"{name}_high"])
            inside += int(within.sum())
            missed = rows[error.abs() > TOLERANCE_V] if basis == "known" else rows[~within]
            far += [
                f"{f} {name} ({v:.2f} V)" for f, v in zip(missed["formula"], missed[f"{name}_v"], strict=True)
            ]
        what = "in the formation-energy table" if basis == "known" else "absent from it"
        lines.append(
            f"- Phases {what}: {count} published limits, mean absolute difference {np.mean(errors):.2f} V, "
            f"{near} within {TOLERANCE_V:.2f} V, {inside} inside our 90% interval. Asked for: {claim}; "
            + (f"missed by {', '.join(far)}." if far else "missed by none.")
        )
    return lines


def table(frame: pd.DataFrame, corrected: pd.DataFrame) -> str:
    """Return the comparison as a Markdown table."""
    body = []
    for row, other in zip(frame.to_dict("records"), corrected.to_dict("records"), strict=True):
        cells = [row["formula"], row["basis"], f"{1e3 * row['above_hull']:.0f}"]
        for name in ("reduction", "oxidation"):
            published = row[f"{name}_v"]
            cells += [
                "" if published != published else f"{published:.2f}",
                f"{row[f'our_{name}']:.2f} [{max(row[f'{name}_low'], 0):.2f}, {row[f'{name}_high']:.2f}]",
                "" if published != published else f"{row[f'our_{name}'] - published:+.2f}",
            ]
        body.append([*cells, f"{other['our_oxidation']:.2f}", row["source_title"].split("(")[0].strip()[:48]])
    head = ["formula", "energy", "meV above hull", "red. published", "red. ours", "diff."]
    head += ["ox. published", "ox. ours", "diff.", "ox. corrected", "source"]
    return markdown_table(head, body)


BAD = (
    "AlCl3",
    "K3YCl6",
    "LiHeCl",
    "Li2RnO3",
    "LiXx2",
    "Li3YCl6)",
    "Li",
    "LiNaKRbCsMgCaSrBaScYLaZrHfNbTaWCl",
    "Li99999YCl6",
)
"""No mobile ion, elements without entries, no formulas, the bare metal, too many elements, a typo."""


def bad_input() -> str:
    """Return what `softlyte window` answers to formulas that it cannot place, as a Markdown table."""
    report = window([*BAD, "Li3InCl6"], cathodes=["LCO"])
    assert set(report.profiles) == {"Li3InCl6"}, "a bad formula got a window, or hurt the good one"
    numbers = report.windows.iloc[:-1][["reduction_v", "oxidation_v", "e_above_hull_ev_atom"]]
    assert numbers.isna().all(axis=None), "a bad formula got a number"
    body = [[f"`{f}`", r] for f, r in zip(BAD, report.windows["reason"], strict=False)]
    return markdown_table(["formula", "answer"], body)


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(description="published computed windows beside ours").parse_args()
    frame = compared()
    corrected = compared(("oxidised_halogens", "chloride_valence"))
    text = "\n".join(verdicts(frame)) + "\n\n" + table(frame, corrected)
    print(text)
    write_section("windows-published", text)
    print(answers := bad_input())
    write_section("windows-bad-input", answers)


if __name__ == "__main__":
    main()
