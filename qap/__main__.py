"""The command line: ``qap VERB …``, the same as ``python -m qap VERB …``.

Exit codes: 0 done, 1 failed on the way, 2 wrong input, 3 an optional tool is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from qap.errors import QapError

VERBS = {
    "search": "search bit widths and sparsities, prove the front against its firmware, write the report",
    "compare": "train and judge every compression method on the same model, data and budget, with several seeds",
    "estimate": "say what an hls4ml project costs: operations, LUT, FF, DSP, BRAM, latency and II, without a vendor's tools",
    "metrics": "judge a file of predictions beyond accuracy: AUC per class, calibration, working points",
    "data": "make jets or Level-1 events on this machine with Pythia 8, a detector model and FastJet",
    "export": "write a model as TFLite, ONNX, QONNX or fixed-point integers, run it and compare",
    "firmware": "prove the firmware of a model or of a study's candidate, and deliver project, emulator and test vectors",
}
"""Verb → what it does; the module of the same name in `qap.commands` is loaded only when its verb is used."""


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qap", description="Quantization-aware pruning for FPGA triggers.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        command = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == verb:
            import_module(f"qap.commands.{name}").add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name (default: those of the process).

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else None
    parser = _parser(verb)
    options, rest = parser.parse_known_args(arguments)
    if rest and all(re.match(r"[A-Za-z_][\w.]*=", text) for text in rest) and hasattr(options, "overrides"):
        options.overrides += rest  # argparse takes key=value only before the options
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return import_module(f"qap.commands.{verb}").run(options)
    except QapError as error:
        print(f"qap {verb}: {error}", file=sys.stderr)
        return error.exit_code


def command(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and leave the process at once.

    After a search Python spends minutes on taking down the graphs that TensorFlow has kept; every file is on the disk by then.
    """
    code = 1
    try:
        code = main(argv)
    except SystemExit as stop:  # argparse: help, or wrong words
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # the process ends here in any case: nothing is swallowed
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
