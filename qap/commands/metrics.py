"""``qap metrics``: what a file of predictions says about a classifier, as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    import numpy as np

EXAMPLES = """
examples:
  qap metrics predictions.npz
  qap metrics predictions.npz --kind logits --bins 20 --background-efficiency 0.001 --input-rate-khz 40000
  qap metrics predictions.npz --delta 0.01                   with the float model's scores as array `reference`
  qap metrics predictions.npz --edges 0 20 40 60 80 120      turn-on against the array `feature`, such as pT

PREDICTIONS.npz has the arrays `labels` (class numbers from 0) and `scores` (one column per class, or one alone for two
classes; logits or probabilities), optionally `weights` (one per event), `reference` (as scores) and `feature`.
The keys of the JSON are explained in docs/metrics.md.

exit codes: 0 done, 2 wrong input
"""
ARRAYS = ("labels", "scores", "weights", "reference", "feature")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("predictions", type=Path, metavar="PREDICTIONS.npz", help="arrays labels and scores; see below")
    add("--kind", choices=("auto", "logits", "probabilities"), default="auto", help="what the scores are (default: auto)")
    add("--bins", type=_whole, default=15, metavar="N", help="bins of the reliability diagram (default: 15)")
    add("--background-efficiency", type=_fraction, default=0.01, metavar="F", help="of the working points (default: 0.01)")
    add("--input-rate-khz", type=_positive, metavar="KHZ", help="rate of events that the other classes stand for, such as 40000")
    add("--delta", type=float, default=0.01, help="accuracy that may be lost against the reference (default: 0.01)")
    add("--edges", type=float, nargs="+", metavar="X", help="bin edges of the feature; default: 10 bins of equally many events")
    add("--output", type=Path, metavar="FILE", help="write the JSON into this file as well")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text}")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"expected 1 to 100000, received {text}")
    return value


def run(options: argparse.Namespace) -> int:
    """Print the metrics; return the exit code."""
    from qap.metrics.summary import Options, summary

    try:
        arrays = read_predictions(options.predictions)
        wanted = Options(
            options.kind, options.bins, options.background_efficiency, options.input_rate_khz, options.delta, options.edges
        )
        found = {"file": options.predictions.name, **summary(arrays, wanted)}
        text = json.dumps(found, indent=1, allow_nan=False)
        if options.output is not None:
            _write(options.output, text + "\n")
        _print(text)
    except KeyboardInterrupt:
        print("qap metrics: stopped", file=sys.stderr)
        return 1
    return 0


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough: nothing is left to flush at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(path: Path, text: str) -> None:
    from qap.files import write_text

    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(f"--output: {path}: cannot be written: {error.strerror}") from None


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file of predictions.

    Parameters
    ----------
    path : Path
        ``.npz``; arrays of other names are passed over.

    Raises
    ------
    InputError
        No such file, not an .npz file of plain arrays, an array missing, empty or not of numbers.
    """
    import tokenize
    import zipfile
    import zlib

    import numpy as np

    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: expected an .npz file with the arrays labels and scores, as numpy.savez writes it")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names: list[str] = list(file.files)
            arrays: dict[str, Any] = {name: file[name] for name in ARRAYS if name in names}
    except (OSError, ValueError, EOFError, TypeError, KeyError, RuntimeError, MemoryError, SyntaxError) as error:
        raise InputError(f"{path}: {_unreadable(error)}") from None
    except (tokenize.TokenError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {_unreadable(error)}") from None
    for name in ("labels", "scores"):
        if name not in arrays:
            raise InputError(f"{path}: expected the arrays labels and scores, received {', '.join(names) or 'none'}")
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            received = values.dtype if isinstance(values, np.ndarray) else "a file that is no array"
            raise InputError(f"{path}: {name}: expected numbers, received {received}")
        if values.ndim == 0 or values.size == 0:
            raise InputError(f"{path}: {name}: expected one entry per event, received shape {values.shape}")
    return arrays


def _unreadable(error: Exception) -> str:
    if "allow_pickle" in str(error):
        return "expected plain arrays of numbers, received Python objects; save them with a numeric dtype"
    return f"not a readable .npz file of plain arrays: {(str(error).splitlines() or [type(error).__name__])[0]}"
