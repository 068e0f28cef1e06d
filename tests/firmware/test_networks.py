"""Networks with convolutions, particles and residual connections, pruned at random, against their C-simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qap.config.schema import Firmware
from qap.firmware.convert import convert
from qap.firmware.csim import build_all
from qap.firmware.parity import compare
from qap.models.builders import build, set_weights
from qap.precision import Precision

from ..models.networks import NETWORKS, plan_of, weights_of

INPUT = Precision(7, 1)
CASES = [(name, io) for name in NETWORKS for io in ("io_parallel", "io_stream")]
QUICK = {("average", "io_stream"), ("residual", "io_parallel"), ("particles", "io_parallel")}


@pytest.mark.parametrize(
    ("name", "io_type"), [pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow]) for case in CASES]
)
def test_the_firmware_of_a_network_is_bit_exact(name: str, io_type: str, tmp_path: Path) -> None:
    architecture = NETWORKS[name]
    model = build(architecture, plan_of(architecture))
    set_weights(model, weights_of(architecture, 3))
    project = convert(model, INPUT, tmp_path / name, Firmware(IOType=io_type))
    built = build_all([project])[0]
    assert isinstance(built, Path), built
    x = INPUT.quantize(np.random.default_rng(4).normal(0, 1, (500, architecture.inputs)))
    parity = compare(model, project, x.astype(np.float32)).parity
    assert parity.proven, f"{parity.exact} of {parity.events} exact, first {parity.first_layer}, {parity.max_difference}"
