"""Live as many simulated lives as one likes: `python -m tests.core.simulate 10000 [FIRST SEED]`.

Prints what was met, and how often; stops with the seed at the first promise that is broken.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.core.simulation import Simulation

TURNS = 30


def main(lives: int, first: int = 0) -> None:
    counts: Counter[str] = Counter()
    started, computed = time.perf_counter(), time.process_time()
    for seed in range(first, first + lives):
        simulation = Simulation(seed)
        try:
            simulation.run(TURNS)
        except Exception:
            print(f"seed {seed}:", file=sys.stderr)
            raise
        counts.update(simulation.ledger.counts)
        counts["turns"] += simulation.turns
    seconds, computed = time.perf_counter() - started, time.process_time() - computed
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{count:>9,}  {name}")
    print(f"{lives:,} lives in {seconds:.1f} s ({computed:.1f} s of CPU), {1000 * computed / lives:.1f} ms each")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
