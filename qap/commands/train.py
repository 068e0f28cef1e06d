"""``qap train``: one plan through the study's methods, with the same proof and deliverables as a candidate of a search."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from qap.commands.options import EXIT_CODES, add_shown, add_study, new_directory
from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from qap.config.schema import Study

EXAMPLES = f"""
examples:
  qap train configs/jets.yaml --plan studies/jets/candidates/3f2a91c07b55/plan.yaml train.epochs=40
  qap train study.yaml --plan mine.yaml firmware.ReuseFactor=4 --output trained/mine

A plan names for each layer the type of weights, bias and output, and the part of the weights that pruning removes:

  fc1:    {{weight: 'quantized_bits(6,0)', bias: 'quantized_bits(10,2)', activation: 'quantized_relu(6,2)', sparsity: 0.5}}
  output: {{weight: 'quantized_bits(6,0)', bias: 'quantized_bits(10,2)', sparsity: 0.5}}

It is trained from the float network for train.epochs by the methods of `compress`, and scored on the whole validation
split. No constraint of the study file holds: one plan is not chosen among others.

{EXIT_CODES}
"""


HELD = ("objectives", "signal", "final_epochs")
"""Keys of the section `search` that say something of one plan too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add_study(parser)
    parser.add_argument("--plan", type=Path, required=True, metavar="PLAN.yaml", help="bits and sparsities by layer")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the results go (default: trained/NAME-PLAN's id)")
    add_shown(parser, "print the candidate as JSON, its row of front.csv")


def run(options: argparse.Namespace) -> int:
    """Train, judge, report; return the exit code."""
    from qap.commands.search import run_and_show
    from qap.config.load import load_config
    from qap.plan import Plan

    config = single(load_config(options.study, options.overrides))
    for text in options.overrides:
        key = text.partition("=")[0]
        if key.startswith("search.") and key.split(".")[1] not in HELD:
            raise InputError(f"{key}: one plan is trained, nothing is searched: leave it out")
    plan = Plan.load(options.plan)
    output = options.output or Path("trained") / f"{config.name}-{plan.id}"
    new_directory(output)
    where = (["--output", str(options.output)] if options.output else []) + ["--trust"] * options.trust
    words = ["qap", "train", str(options.study), *options.overrides, "--plan", str(options.plan), *where]
    again = f"Begin again with another --output, or remove {output}"
    return run_and_show(config, output, options, shlex.join(words), again, plans=[plan])


def single(config: Study) -> Study:
    """Return a study's configuration for one plan: a budget of one training, nothing to choose."""
    search = {
        "strategy": "random", "trials": 1, "seconds": None, "holdback": 0.0, "constraints": {}, "keep_timing": False,
        "anchors": False,
    }  # fmt: skip
    return config.model_copy(update={"search": config.search.model_copy(update=search)})
