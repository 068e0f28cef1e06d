"""What the package's parsers make of damaged and made-up inputs: read, refused in a sentence, or a mistake of the package.

    python benchmarks/fuzz.py --inputs 10000 [--parser plan --parser csv] [--seed 1] [--json]
    python benchmarks/fuzz.py --parser plan --only 1234       one input: what it is and what becomes of it

A good sample of each kind of file is changed at random: bytes flipped, cut, repeated, spliced; numbers, keys and branches of a
tree replaced by hostile ones; members of an archive changed or left out. Input i of a parser depends on seed, parser and i only.
Counted are: accepted; refused (an error that the package shows as one sentence); traceback (any other error, or the death of the
process); hang (more than 5 s); wrong (accepted, but with a number that cannot be one, or not the same when it is written and read
again).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_files  # noqa: F401  adds its parsers, as the next one does
import fuzz_reports  # noqa: F401
from fuzz_changes import of_bytes
from fuzz_parsers import PARSERS, Parser

from qap.errors import QapError

SECONDS = 5.0
"""After these an input hangs."""
PATIENCE = 60.0
"""Seconds after which a process that says nothing hangs in compiled code; it starts within these too."""
MEMORY = 12 << 30
"""Bytes of address space: what asks for more gets a MemoryError, as on a small machine."""
OUTCOMES = ("accepted", "refused", "traceback", "hang", "wrong")
SHOWN = 20


class HangError(BaseException):
    """Raised by the alarm; no parser catches it."""


def _alarm(number: int, frame: FrameType | None) -> NoReturn:
    raise HangError


def outcome(parser: Parser, data: bytes, folder: Path) -> tuple[str, str]:
    """Return what becomes of an input, and the message."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        value = parser.read(data, folder)
        wrong = parser.wrong(value)
        return ("wrong", wrong) if wrong else ("accepted", "")
    except QapError as error:
        lines = str(error).splitlines()
        return ("refused", lines[0] if lines else "") if len(lines) == 1 else ("wrong", f"a message of {len(lines)} lines")
    except HangError:
        return "hang", f"more than {SECONDS:g} s"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in where if "/qap/" in frame.filename] or list(where)
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return "traceback", f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:120]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def inputs(parser: Parser, samples: list[bytes], seed: int, numbers: Iterable[int]) -> Iterable[tuple[int, bytes]]:
    """Yield changed samples by their numbers; a few stay as they are."""
    for number in numbers:
        rng = random.Random(f"{seed} {parser.name} {number}")
        data = rng.choice(samples)
        try:
            yield number, data if number < len(samples) else parser.mutate(data, rng, samples)
        except Exception:  # a change that the tree's own writer refuses, such as half a character
            yield number, of_bytes(data, rng, samples)


def work(parser: Parser, seed: int, first: int, stop: int) -> None:
    """Run inputs in this process, a line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    said = os.fdopen(os.dup(1), "w", buffering=1)
    with Path(os.devnull).open("w") as null:  # libraries print
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        samples = parser.samples(folder)
        for sample in samples:
            outcome(parser, sample, folder)  # imports are no hang
        for number, data in inputs(parser, samples, seed, range(first, stop)):
            print(json.dumps([number, *outcome(parser, data, folder)]), file=said)


def run(parser: Parser, count: int, seed: int) -> tuple[Counter[str], list[tuple[int, str, str]]]:
    """Run inputs in processes that may die or hang; return the counts and what is to be mended."""
    counts: Counter[str] = Counter()
    bad: list[tuple[int, str, str]] = []
    done = 0
    while done < count:
        command = [sys.executable, __file__, "--parser", parser.name, "--work", str(seed), str(done), str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            kind = "traceback"
            while True:
                ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
                line = process.stdout.readline() if ready else ""
                if not line:
                    kind = "hang" if not ready else kind
                    break
                number, found, message = json.loads(line)
                counts[found] += 1
                done = number + 1
                if found not in ("accepted", "refused"):
                    bad.append((number, found, message))
            process.kill()
        if done < count:  # the process died, or hung in compiled code
            counts[kind] += 1
            bad.append((done, kind, f"the process ended with {process.wait()}"))
            done += 1
    return counts, bad


def show(parser: Parser, seed: int, number: int) -> None:
    """Say what an input is, and what becomes of it."""
    with tempfile.TemporaryDirectory() as temporary:
        samples = parser.samples(Path(temporary))
        for _, data in inputs(parser, samples, seed, [number]):
            sys.stdout.buffer.write(data[:20_000] + b"\n")
            print(*outcome(parser, data, Path(temporary)), sep=": ", flush=True)
            parser.read(data, Path(temporary))


def main() -> None:
    """Run the parsers and print a table."""
    parse = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parse.add_argument("--inputs", type=int, default=10_000)
    parse.add_argument("--parser", action="append", choices=list(PARSERS))
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--only", type=int)
    parse.add_argument("--json", action="store_true")
    parse.add_argument("--work", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parse.parse_args()
    chosen = [PARSERS[name] for name in options.parser or PARSERS]
    if options.work:
        work(chosen[0], *options.work)
        return
    if options.only is not None:
        show(chosen[0], options.seed, options.only)
        return
    rows = {}
    if not options.json:
        print(f"{'parser':20}" + "".join(f"{name:>11}" for name in OUTCOMES), flush=True)
    for parser in chosen:
        counts, bad = run(parser, options.inputs, options.seed)
        rows[parser.name] = {**{name: counts[name] for name in OUTCOMES}, "mend": bad[:SHOWN]}
        if not options.json:
            print(f"{parser.name:20}" + "".join(f"{counts[name]:>11,}" for name in OUTCOMES), flush=True)
            kinds = Counter(f"{kind}: {message}" for _, kind, message in bad)
            first = {f"{kind}: {message}": number for number, kind, message in reversed(bad)}
            for text, times in kinds.most_common(SHOWN):
                print(f"  {times:>6} × {text} (first: {first[text]})", flush=True)
    if options.json:
        print(json.dumps({"inputs": options.inputs, "seed": options.seed, "parsers": rows}, indent=1))
    sys.exit(any(row[name] for row in rows.values() for name in OUTCOMES[2:]))


if __name__ == "__main__":
    main()
