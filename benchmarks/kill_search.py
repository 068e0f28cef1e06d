"""Kill a search and its workers at random moments, resume it, and compare with a search that was left alone.

    python benchmarks/kill_search.py --kills 200 --json

Each time a process is drawn, the driver or one of its workers, and sent SIGKILL. After a kill of the driver every training
that was in the store before must still be there, and the search is resumed. A study that ends before the kills are used up
is followed by one with the next seed; Ctrl-C ends it with the figures of the studies that are whole. ``lost`` counts trainings
that were in the store once and are not in the end, ``duplicates`` trainings that are there twice, ``orphans`` workers that
outlive their driver for more than ten seconds; ``front_equal`` says whether every front, and every line of every store but for
the times, is that of a search in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

SMALL = [
    "model.hidden=[8]", "train.batch=512", "train.parent_epochs=3", "train.epochs=2", "search.population=8", "search.window=8",
    "search.trials=120", "search.space.weight_bits=[2,3,4,5,6,7,8]", "search.space.sparsity=[0.0,0.25,0.5,0.75]",
    "search.hybrid.supernet_epochs=0", "firmware.build=false", "report.bootstrap=20",
]  # fmt: skip
WORKERS = 2
EARLY, LONGEST, MOST = 0.2, 15.0, 5
"""Part of the kills that come at any time after the one before, and the seconds in which they come; the others come after one
training or more, at most so many."""
ORPHAN_SECONDS = 10.0


def write_study(folder: Path, events: int) -> Path:
    """Write a study file on the first events of the embedded jets."""
    from qap.config.schema import Data
    from qap.datasets.load import load_table

    table = load_table(Data())
    np.savez(folder / "jets.npz", features=table.features[:events], labels=table.labels[:events])
    study = folder / "study.yaml"
    study.write_text("data: {name: jets.npz}\n")
    return study


def command(study: Path, output: Path, seed: int, *more: str) -> list[str]:
    """Return the command line of a search."""
    words = [f"seed={seed}", *SMALL, "--output", str(output), "--quiet", *more]
    return [sys.executable, "-m", "qap.search", str(study), *words]


def lines(output: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a store without their times, in the order of asking."""
    path = output / "candidates.jsonl"
    found = []
    for text in path.read_text().split("\n") if path.is_file() else ():
        try:
            found.append(json.loads(text))
        except ValueError:
            continue  # being written
    bare = [{key: value for key, value in line.items() if key != "crc32" and not key.endswith("seconds")} for line in found]
    return sorted(bare, key=lambda line: line["number"])


def keys(output: Path) -> list[tuple[str, int]]:
    """Return the trainings in a store."""
    return [(line["id"], line["rung"]) for line in lines(output)]


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes of a search."""
    try:
        return [child for child in driver.children() if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def orphans(workers: list[psutil.Process]) -> int:
    """Wait for workers to end by themselves; count, and end, those that do not."""
    _, alive = psutil.wait_procs(workers, timeout=ORPHAN_SECONDS)
    for process in alive:
        process.kill()
    return len(alive)


def awaited(process: subprocess.Popen[str], output: Path, draw: random.Random) -> bool:
    """Wait for a random moment, at the start or after some trainings; False where the search ends before."""
    early, before = draw.random() < EARLY, len(keys(output))
    until = time.monotonic() + draw.uniform(0, LONGEST if early else 4 * LONGEST)
    wanted = before + draw.randint(1, MOST)
    while time.monotonic() < until and (early or len(keys(output)) < wanted):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(draw.random())
        return False
    return True


def killed_search(study: Path, output: Path, seed: int, left: int, draw: random.Random) -> Counter[str]:
    """Run one search to its end, killed on the way at most so many times."""
    counts: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    while True:
        resume = ["--resume"] if (output / "config.yaml").is_file() else []
        words = command(study, output, seed, "--workers", str(WORKERS), *resume)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        driver = psutil.Process(process.pid)
        while process.poll() is None and counts["kills"] < left:
            if not awaited(process, output, draw):
                break
            workers = workers_of(driver)
            victim = draw.choice([driver, *workers])
            seen |= set(keys(output))
            counts["kills"] += 1
            if victim is driver:
                process.kill()
                process.wait()
                counts["drivers"] += 1
                counts["orphans"] += orphans(workers)
                break
            counts["workers"] += 1
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        else:
            process.wait()
        _, errors = process.communicate()
        print(f"seed {seed}: {counts['kills']} kills, {len(keys(output))} trained", file=sys.stderr)
        if process.returncode == 0:
            found = Counter(keys(output))
            counts["finished"] += len(found)
            counts["lost"] += len(seen - set(found))
            counts["duplicates"] += sum(found.values()) - len(found)
            return counts
        if process.returncode > 0:
            raise SystemExit(f"seed {seed}: the search ended with {process.returncode}: {errors}")


def equal(one: Path, other: Path) -> bool:
    """Tell whether two studies have the same trainings and the same front."""
    return lines(one) == lines(other) and (one / "front.csv").read_bytes() == (other / "front.csv").read_bytes()


def main() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the victims; the studies have seeds from 1")
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    draw, total, same, began = random.Random(options.seed), Counter[str](), [], time.monotonic()
    with TemporaryDirectory() as name:
        folder = Path(name)
        study = write_study(folder, options.events)
        with contextlib.suppress(KeyboardInterrupt):
            while total["kills"] < options.kills:
                seed = len(same) + 1
                output, alone = folder / f"killed{seed}", folder / f"alone{seed}"
                counts = killed_search(study, output, seed, options.kills - total["kills"], draw)
                subprocess.run(command(study, alone, seed), check=True, stdout=subprocess.DEVNULL)
                total += counts
                same.append(equal(output, alone))
    names = ("kills", "drivers", "workers", "finished", "lost", "duplicates", "orphans")
    result = {**{key: total[key] for key in names}, "studies": len(same), "front_equal": all(same)}
    result["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(json.dumps(result) if options.json else "\n".join(f"{key:12} {value}" for key, value in result.items()))
    if result["lost"] or result["duplicates"] or not result["front_equal"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
