"""Networks that are no multilayer perceptrons, for tests: convolutions, particles, residual connections."""

from __future__ import annotations

import numpy as np

from qap.models.architecture import Architecture
from qap.models.layer import Layer
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

OUTPUT = Layer("output", 3, "linear")
NETWORKS = {
    "cnn_2d": Architecture(
        36, (Layer("conv1", 4, kernel=(3, 3), pool="max(2)"), Layer("fc1", 5), OUTPUT), (6, 6, 1)
    ),
    "cnn_1d": Architecture(
        24, (Layer("conv1", 4, kernel=(3,), strides=(2,), padding="same"), Layer("conv2", 3, kernel=(2,)), OUTPUT), (12, 2)
    ),
    "particles": Architecture(
        15,
        (Layer("phi1", 6, kernel=(1,)), Layer("phi2", 4, kernel=(1,), pool="global_average"), Layer("rho1", 5), OUTPUT),
        (5, 3),
    ),
    "residual": Architecture(6, (Layer("fc1", 5), Layer("fc2", 5, add="fc1"), Layer("fc3", 5, "linear", add="fc2"), OUTPUT)),
    "average": Architecture(
        36, (Layer("conv1", 4, kernel=(3, 3), padding="same", pool="average(3)"), Layer("fc1", 5), OUTPUT), (6, 6, 1)
    ),
}  # fmt: skip


def plan_of(architecture: Architecture, bits: int = 5, sparsity: float = 0.0) -> Plan:
    """The same bits in all layers."""

    def layer(one: Layer) -> LayerPlan:
        signed = one.activation == "linear"
        activation = None if one.name == "output" else Precision(bits + signed, 2, signed)
        return LayerPlan(Precision(bits, 0), Precision(10, 2), activation, sparsity)

    return Plan(tuple((one.name, layer(one)) for one in architecture.layers))


def weights_of(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """Random latent weights, a third of them zero."""
    generator, found = np.random.default_rng(seed), {}
    for name, shape in architecture.shapes.items():
        kernel = generator.normal(0, 0.5, shape).astype(np.float32)
        kernel[generator.random(shape) < 1 / 3] = 0
        found[f"{name}/kernel"], found[f"{name}/bias"] = kernel, generator.normal(0, 0.5, shape[-1]).astype(np.float32)
    return found
