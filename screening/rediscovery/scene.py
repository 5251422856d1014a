"""One cut-off year: what was judged, what was known, what was discovered, and how that compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlyte.screening.rediscovery.discoveries import NEAR_DUPLICATE, Discovery
from softlyte.screening.rediscovery.population import NEIGHBOURHOOD, Population
from softlyte.screening.rediscovery.ranks import RECALL_AT, SHARES, Ranks, ranks
from softlyte.screening.rediscovery.scoring import Judged, phase_name

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """One year: what was judged, what was known, what was discovered.

    Attributes:
        population: N candidates.
        judged: what the year's ensemble says of them.
        found: the year's D discoveries.
        everyone: discoveries of all years, whose neighbours the population holds.
        known: [N] candidates that count as one with something known.
    """

    population: Population
    judged: Judged
    found: tuple[Discovery, ...]
    everyone: tuple[Discovery, ...]
    known: NDArray[np.bool_]

    @property
    def place(self) -> NDArray[np.int64]:
        """[D] the discoveries among the candidates."""
        return self.population.listed[self._column]

    @property
    def _column(self) -> NDArray[np.int64]:
        names = [one.formula for one in self.everyone]
        return np.array([names.index(one.formula) for one in self.found], np.int64)

    @property
    def others(self) -> NDArray[np.bool_]:
        """[N] what the discoveries are ranked among: nothing known, no discovery and nothing alike."""
        alike = (self.population.distance[:, self._column] <= NEAR_DUPLICATE + 1e-9).any(axis=1)
        return ~self.known & ~alike

    def ranked(self, score: FloatArray, weighted: bool = True) -> Ranks:
        """Return where the discoveries stand by a score [N], in the whole spaces or among the listed."""
        weight = self.population.weight if weighted else np.ones(len(self.population))
        return ranks(score, weight, self.place, self.others)

    def report(self, scores: Sequence[FloatArray]) -> dict[str, Any]:
        """Return enrichment, recall and percentiles of a method, the mean over its seeds."""
        stands = [self.ranked(score) for score in scores]
        listed = [self.ranked(score, weighted=False) for score in scores]
        return {
            "enrichment": {str(part): _mean([one.enrichment(part) for one in stands]) for part in SHARES},
            "enrichment_90": {str(part): list(stands[0].enrichment_interval(part)) for part in SHARES},
            "enrichment_seeds": {
                str(part): float(np.std([one.enrichment(part) for one in stands])) for part in SHARES
            },
            "enrichment_among_listed": {
                str(part): _mean([one.enrichment(part) for one in listed]) for part in SHARES
            },
            "recall": {str(first): _mean([one.recall(first) for one in stands]) for first in RECALL_AT},
            "median_percent": _mean([100 * float(np.median(one.share)) for one in stands]),
            "seeds": len(scores),
        }

    def members(self) -> dict[str, Any]:
        """Return the enrichment by each network alone: how much chance there is in the training."""
        count = self.judged.probability.shape[1]
        alone = [self.ranked(self.judged.best(self.judged.joint([member]))) for member in range(count)]
        return {str(part): [one.enrichment(part) for one in alone] for part in SHARES}

    def neighbours(self, score: FloatArray) -> dict[str, Any]:
        """Return how the neighbours of each discovery stand: number, best and median rank in percent."""
        near = self.population.distance[:, self._column] <= NEIGHBOURHOOD + 1e-9
        out = {}
        for column, one in enumerate(self.found):
            place = np.flatnonzero(near[:, column] & self.others)
            if len(place):
                share = ranks(score, self.population.weight, place, self.others).share
                out[one.formula] = {
                    "count": len(place),
                    "best_percent": 100 * float(share.min()),
                    "median_percent": 100 * float(np.median(share)),
                    "in_first_percent": float((share < 0.01).mean()),
                }
        return out

    def held_back(self) -> dict[str, Any]:
        """Return how the discoveries would stand if one property of theirs were known to meet its target.

        `told`: the other candidates keep their predictions. `without` drops the target for every candidate
        instead.
        """
        joint = self.judged.best(self.judged.joint())
        out = {}
        for target in self.judged.targets:
            free = self.judged.best(self.judged.certain(target))
            told = joint.copy()
            told[self.place] = free[self.place]
            out[target] = {
                name: {
                    "enrichment": {str(part): stands.enrichment(part) for part in SHARES},
                    "median_percent": 100 * float(np.median(stands.share)),
                    "percent": (100 * stands.share).tolist(),
                }
                for name, stands in (("told", self.ranked(told)), ("without", self.ranked(free)))
            }
        return out

    def lines(self, year: int, scores: dict[str, list[FloatArray]]) -> list[dict[str, Any]]:
        """Return a row for each discovery: what it is, where methods put it, the chance of each target."""
        percent = {
            name: np.mean([100 * self.ranked(score).share for score in values], axis=0)
            for name, values in scores.items()
        }
        joint = self.judged.joint()
        rows = []
        for place, one in enumerate(self.found):
            best = self.judged.best_row(joint, int(self.place[place]))
            refused = best < 0
            line: dict[str, Any] = {
                "published_until": year,
                "formula": one.formula,
                "year_published": one.year,
                "measured_ms_cm": one.sigma_ms_cm,
                "measured_phase": one.phase,
                "in_space": bool(self.population.weight[self.place[place]] > 0),
                "judged_phase": "" if refused else phase_name(int(self.judged.phase[best])),
                "p_all_targets": 0.0 if refused else float(joint[best]),
            }
            for number, target in enumerate(self.judged.targets):
                met = np.nan if refused else self.judged.probability[number, :, best].mean()
                line[f"p_{target}"] = float(met)
                line[target] = np.nan if refused else float(self.judged.median[number, best])
            for name, values in percent.items():
                line[f"percent_{name.replace(' ', '_')}"] = float(values[place])
            rows.append(line)
        return rows


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
