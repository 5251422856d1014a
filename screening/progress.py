"""Progress of long work for scripts and notebooks: one text bar for each stage."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Bars:
    """Draws a bar for each stage; pass one as `progress` of `screen` and other long functions.

    Lines are redrawn at most once in `seconds`, so a saved notebook stays small.

    Args:
        seconds: least time between two drawings of one bar.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self._bars: dict[str, tqdm] = {}
        self._finished: dict[str, int] = {}
        self._since = time.time()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Draw how far a stage is: its name, the pieces done and the pieces in all."""
        bar = self._bars.get(stage)
        if bar is None:
            if self._finished.get(stage) == total and done >= total:
                return  # told a second time
            bar = tqdm(
                total=total,
                desc=f"{stage:<9}",
                mininterval=self.seconds,
                file=sys.stdout,  # a notebook shows standard error on a red ground
                ascii=" #",
                ncols=80,
                bar_format="{desc}|{bar}| {n_fmt} of {total_fmt}, {elapsed}, left {remaining}",
            )
            # A stage reports when its first piece is done; it began when the one before it ended.
            bar.start_t = self._since
            self._bars[stage] = bar
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()
            self._finished[stage] = total
            self._since = time.time()
            del self._bars[stage]
