"""A predictor whose worker runs out of memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from dask.utils import parse_bytes

from softlyte.models.predictor import Predictor


class HungryPredictor(Predictor):
    """Predicts a few times, then takes memory until its worker is killed for it."""

    hungry_bytes = 0
    after = 0

    @classmethod
    def of(cls, predictor: Predictor, size: str, after: int) -> HungryPredictor:
        """Return a predictor that takes so much memory once it has been asked `after` times."""
        hungry = cls.__new__(cls)
        hungry.__dict__.update(copy.copy(predictor).__dict__)
        hungry.hungry_bytes, hungry.after = int(parse_bytes(size)), after
        return hungry

    def raw(self, *arguments: Any, **options: Any) -> Any:
        """Predict, or take memory in steps until this process is ended."""
        self.after -= 1
        held = []
        while self.after < 0:
            held.append(np.ones(self.hungry_bytes // 80))
            if len(held) > 40:  # whoever should have stopped it has not
                raise MemoryError(f"{len(held)} pieces of {self.hungry_bytes // 10:,} bytes")
        return super().raw(*arguments, **options)
