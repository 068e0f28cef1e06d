"""``qap metrics``: what a file of predictions says about a classifier, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, fraction, number, positive, print_lines, whole
from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    import numpy as np

EXAMPLES = f"""
examples:
  qap metrics predictions.npz
  qap metrics predictions.npz --kind logits --bins 20 --background-efficiency 0.001 --input-rate-khz 40000
  qap metrics predictions.npz --delta 0.01                   with the float model's scores as array `reference`
  qap metrics predictions.npz --edges 0 20 40 60 80 120      turn-on against the array `feature`, such as pT

PREDICTIONS.npz has the arrays `labels` (class numbers from 0) and `scores` (one column per class, or one alone for two
classes; logits or probabilities), optionally `weights` (one per event), `reference` (as scores) and `feature`.
The keys of the JSON are explained in docs/metrics.md.

{EXIT_CODES}
"""
ARRAYS = ("labels", "scores", "weights", "reference", "feature")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("predictions", type=Path, metavar="PREDICTIONS.npz", help="arrays labels and scores; see below")
    add("--kind", choices=("auto", "logits", "probabilities"), default="auto", help="what the scores are (default: auto)")
    add("--bins", type=whole(100_000), default=15, metavar="N", help="bins of the reliability diagram (default: 15)")
    add("--background-efficiency", type=fraction, default=0.01, metavar="F", help="of the working points (default: 0.01)")
    add("--input-rate-khz", type=positive, metavar="KHZ", help="rate of events that the other classes stand for, such as 40000")
    add("--delta", type=number, default=0.01, help="accuracy that may be lost against the reference (default: 0.01)")
    add("--edges", type=number, nargs="+", metavar="X", help="bin edges of the feature; default: 10 bins of equally many events")
    add("--output", type=Path, metavar="FILE", help="write the JSON into this file as well")
    add_shown(parser, "what is printed in any case, unless --quiet")


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
        if not options.quiet:
            print_lines(text)
    except KeyboardInterrupt:
        print("qap metrics: stopped", file=sys.stderr)
        return 1
    return 0


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

    from qap.archive import check_zip

    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: expected an .npz file with the arrays labels and scores, as numpy.savez writes it")
        check_zip(path, str(path))
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
