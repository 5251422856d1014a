"""10,000 malformed inputs to every reader; writes a section of RESULTS.md.

python -m benchmarks.fuzz

Inputs are seeded mutations of valid ones (`benchmarks.fuzz_inputs`); what must hold whatever comes in stands
in `benchmarks.fuzz_judge`. Every 20th input of a reader also goes through the command line. Each input that
breaks a promise is written into --failures, from where it belongs into tests/corpus/READER/ once mended.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.fuzz_inputs import malformed
from benchmarks.fuzz_judge import Fault, Reader, commanded, judged
from benchmarks.fuzz_readers import READERS
from benchmarks.report import markdown_table, write_section

INPUTS = 10_000
COMMAND_EVERY = 20


def main() -> None:
    """Feed all readers, print and write what became of the inputs."""
    parser = argparse.ArgumentParser(description="malformed inputs")
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*", help="only these; writes no section")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    chosen = parser.parse_args()
    readers = [r for r in READERS if not chosen.readers or r.name in chosen.readers]
    body, faults = [], 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for reader in readers:
            line, wrong = _fed(reader, chosen.inputs, chosen.seed, Path(scratch), chosen.failures)
            body.append(line)
            faults += wrong
            print(*line, sep="  ", flush=True)
    total = sum(int(line[1]) for line in body)
    commands = sum(int(line[5]) for line in body)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    head = ["reader", "inputs", "accepted", "partly", "refused", "commands", "faults"]
    text = (
        f"`python -m benchmarks.fuzz` (seed {chosen.seed}): {total:,} inputs, {commands:,} of them through "
        f"the command line too, {time.perf_counter() - start:.0f} s, {peak_mib:.0f} MiB at most; **{faults} "
        "faults** (an exception that is no UserError, an exit code other than 0 or 2, a row unaccounted for, "
        "no answer in 30 s). Accepted: the change left a valid input. Partly: some rows were refused with "
        "reasons.\n\n" + markdown_table(head, body)
    )
    print(text)
    if chosen.inputs == INPUTS and not chosen.readers and not faults:
        write_section("fuzz", text)


def _fed(reader: Reader, inputs: int, seed: int, scratch: Path, failures: Path) -> tuple[list[str], int]:
    """Return the line of one reader and its number of faults."""
    seeds, counts = reader.seeds(), Counter[str]()
    count = max(1, reader.share * inputs // INPUTS)
    seen: set[str] = set()
    for number in range(count):
        # The name's checksum keeps a reader's inputs the same whatever other readers there are.
        name = int.from_bytes(hashlib.sha256(reader.name.encode()).digest()[:4])
        content = malformed(seeds, np.random.default_rng([seed, name, number]))
        through = reader.words is not None and number % COMMAND_EVERY == 0
        try:
            counts[judged(reader, content, scratch / "read")] += 1
            if through:
                counts["command"] += 1
                commanded(reader, content, scratch / "command")
        except Fault as fault:
            counts["fault"] += 1
            said = str(fault)
            place = said.split(": ")[0]
            if place not in seen:
                seen.add(place)
                (failures / reader.name).mkdir(parents=True, exist_ok=True)
                path = failures / reader.name / hashlib.sha256(content).hexdigest()[:12]
                path.write_bytes(content)
                print(f"FAULT {path}: {said}", flush=True)
    words = ("accepted", "partly", "refused", "command", "fault")
    return [reader.name, str(count), *(str(counts[word]) for word in words)], counts["fault"]


if __name__ == "__main__":
    main()
