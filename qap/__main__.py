"""The command line: ``qap VERB …``, the same as ``python -m qap VERB …``.

Exit codes: 0 done, 1 failed on the way, 2 wrong input, 3 a tool is missing.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from qap.commands.options import EXIT_CODES, Parser
from qap.errors import QapError, suggestion

VERBS = {
    "init": "look at a file of events and write a study file for it",
    "search": "search bit widths and sparsities, prove the front against its firmware, write the report",
    "train": "train one plan and prove its firmware",
    "compare": "train and judge every compression method on the same model, data and budget, with several seeds",
    "firmware": "prove the firmware of a model or of a study's candidate, and deliver project, emulator and test vectors",
    "estimate": "say what an hls4ml project costs: operations, LUT, FF, DSP, BRAM, latency and II, without a vendor's tools",
    "report": "draw the report of a study again from what it has stored",
    "metrics": "judge a file of predictions beyond accuracy: AUC per class, calibration, working points",
    "export": "write a model as TFLite, ONNX, QONNX or fixed-point integers, run it and compare",
    "anomaly": "judge anomaly triggers: signal efficiency against accepted fraction, with rates of minimum bias",
    "data": "make jets or Level-1 events on this machine with Pythia 8, a detector model and FastJet",
    "doctor": "list libraries, tools, memory and disk, and what is missing with its cure",
}
"""Verb → what it does; the module of the same name in `qap.commands` is loaded only when its verb is used."""
EXAMPLES = f"""
examples:
  qap init jets.csv && qap search study.yaml        from a table of events to a front of proven networks
  qap search study.yaml search.trials=100           any key of a study file can be set here
  qap VERB --help                                   examples and options of a verb

{EXIT_CODES}
"""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Of the machine, not of qap: no room, no permission."""


def _parser(verb: str | None) -> tuple[Parser, Parser | None]:
    """Return the parser of all verbs and that of one."""
    parser = Parser(
        prog="qap", description="Quantization-aware pruning for FPGA triggers.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = None
    for name, text in VERBS.items():
        command = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == verb:
            import_module(f"qap.commands.{name}").add_arguments(command)
            chosen = command
    return parser, chosen


def _options(arguments: list[str]) -> argparse.Namespace:
    verb = arguments[0] if arguments else None
    parser, command = _parser(verb)
    if verb is not None and not verb.startswith("-") and command is None:
        parser.error(f"unknown verb {verb!r}{suggestion(verb, VERBS)}")
    options, rest = parser.parse_known_args(arguments)
    if rest and all(re.match(r"[A-Za-z_][\w.]*=", text) for text in rest) and hasattr(options, "overrides"):
        options.overrides += rest  # argparse takes key=value only before the options
    elif rest:
        (command or parser).refuse(rest)
    return options


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
    if arguments == ["--version"]:
        from qap import __version__

        print(f"qap {__version__}")
        return 0
    options = _options(arguments)
    try:
        return import_module(f"qap.commands.{options.verb}").run(options)
    except QapError as error:
        print(f"qap {options.verb}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"qap {options.verb}: {where}{error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"qap {options.verb}: stopped", file=sys.stderr)
        return 1


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
