"""Training on single grids: against the engine's own training where the grids are equal, and against NumPy."""

from __future__ import annotations

import numpy as np

from qap.models.architecture import Architecture
from qap.models.builders import build
from qap.models.circuit import of_weights
from qap.plan import InputPlan, LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Job, event_order
from qap.training.population.circuits import Moments
from qap.training.population.engine import PopulationEngine, traced_events

from ...models.test_circuit import MLP, random_circuit, run

BATCH = 100


def _weights(architecture: Architecture, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    found = {}
    for name, shape in architecture.shapes.items():
        found[f"{name}/kernel"] = generator.normal(0, 0.4, shape).astype(np.float32)
        found[f"{name}/bias"] = generator.normal(0, 0.1, shape[1]).astype(np.float32)
    return found


def test_equal_grids_train_as_a_plan_of_that_grid_does(data) -> None:
    """Plan types of three integer bits for weights and eight for activations are the circuit's own limits."""
    engine, weights = PopulationEngine(), _weights(MLP, 0)
    hidden = LayerPlan(Precision(3 + 5 + 1, 3), Precision(3 + 7 + 1, 3), Precision(8 + 4, 8, signed=False))
    last = LayerPlan(hidden.weight, hidden.bias)
    plan = Plan((("fc1", hidden), ("fc2", hidden), ("output", last)), InputPlan(Precision(1 + 2 + 3, 2)))
    job = Job(MLP, plan, weights, 1, BATCH, 0.01, "constant", 5)
    trained = next(iter(engine.train([job], data)))
    circuit = of_weights(MLP, weights, weight=5, bias=7, activation=4, feature=3)
    order = event_order(len(data.train), BATCH, 1, 5)
    found, moments, loss = engine.trainer(data, None).epoch(
        circuit, Moments.zeros(circuit.layout.size), order, np.full(len(order), 0.01)
    )
    difference = np.abs(found.weights - circuit.layout.pack(trained.weights))
    assert difference.max() < 1e-5, f"{int((difference > 1e-5).sum())} of {difference.size} differ, at most by {difference.max()}"
    assert moments.steps == len(order)
    assert abs(loss - trained.loss) < 1e-4


def test_removed_weights_stay_zero_and_the_loss_falls(data) -> None:
    circuit, trainer = random_circuit(0, 0.3), PopulationEngine().trainer(data, None)
    moments, losses = Moments.zeros(circuit.layout.size), []
    for epoch in range(4):
        order = event_order(len(data.train), BATCH, 1, epoch)
        circuit, moments, loss = trainer.epoch(circuit, moments, order, np.full(len(order), 0.005))
        losses.append(loss)
    assert not circuit.weights[~circuit.alive].any()
    assert losses[-1] < losses[0], losses


def test_a_probe_sees_the_largest_values_and_the_squared_derivatives(data) -> None:
    circuit, trainer = random_circuit(4, 0.2), PopulationEngine().trainer(data, None)
    order = traced_events(data)
    seen = trainer.probe(circuit, order)
    x, y = data.train.x[order.ravel()], data.train.y[order.ravel()]
    outputs, largest = run(circuit, x)
    assert np.array_equal(seen.largest, largest)
    here, named = circuit.layout, circuit.layout.unpack(circuit.quantized)
    probability = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    slope = probability / probability.sum(axis=1, keepdims=True) - np.eye(3)[y]
    wanted = (slope @ named["output/kernel"].T) ** 2  # of the last hidden units
    found = seen.sensitivity[here.offsets[2] : here.offsets[3]]
    assert np.allclose(found, wanted.mean(axis=0), rtol=1e-4), np.abs(found - wanted.mean(axis=0)).max()


def test_the_engine_finds_the_same_largest_values_for_a_plan(data) -> None:
    weights = _weights(MLP, 3)
    hidden = LayerPlan(Precision(8, 2), Precision(10, 2), Precision(6, 3, signed=False))
    plan = Plan((("fc1", hidden), ("fc2", hidden), ("output", LayerPlan(Precision(8, 2), Precision(10, 2)))))
    found = PopulationEngine().largest(MLP, plan, weights, data)
    model = build(MLP, plan)
    for name, shape in MLP.shapes.items():
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
        assert len(found[list(MLP.shapes).index(name)]) == shape[0]
    from qap.backend import stack

    keras = stack().keras
    hidden_values = keras.Model(model.input, [model.get_layer(name).output for name in ("relu1", "relu2")])
    x = data.train.x[traced_events(data).ravel()]
    for part, values in zip(found[1:], hidden_values.predict(x, verbose=0), strict=True):
        assert np.array_equal(part, values.max(axis=0))
    assert np.array_equal(found[0], np.abs(x).max(axis=0))
