"""Train one HGQ2 network whose price of an EBOP rises, and keep the front that it sweeps.

    python3.11 -m venv hgq2-env
    hgq2-env/bin/pip install -r benchmarks/hgq2/requirements.txt
    hgq2-env/bin/python benchmarks/hgq2/train.py jets.npz front.npz --hidden 64 32 32 --seconds 60 --seed 11 \
        --settings benchmarks/hgq2/settings.json

HGQ2 has an environment of its own, since it needs Keras 3; this script knows nothing of qap. The data are the arrays
x_train, y_train, x_validation, y_validation, x_test and y_test of one .npz, the events already on their fixed-point grid.
The method is that of HGQ2's own jet tagger: Adam, cosine learning rate with restarts, beta constant at first and then
rising exponentially, every snapshot kept that no other beats in both validation accuracy and EBOPs. An epoch is one
compiled loop, which costs less CPU time than Keras's `fit`. The CPU seconds are those of the process, compilation included,
imports and the final export left out.

The result holds plain arrays, first axis: the snapshots, by rising EBOPs. `kernel_0`, `bias_0`, …: quantized weights;
`input_k_0`, `input_i_0`, `input_f_0`, `input_bits_0`, …: types of the elements that enter each layer, traced on the training and
validation split, and their bits without sign; `ebops`: as HGQ2 counts them; `validation_accuracy`, `validation_logits`,
`test_accuracy`, `test_logits`; `trained_0`, … and `other_0`, …: all variables of the network, for `rtl.py`. Besides,
`history`, an epoch a row: share of the time, price of an EBOP, native EBOPs, validation accuracy; and `meta`: a JSON text with
the settings and the CPU time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from model import State, build, elements, forget_ranges, layers, load, positions, state, tracing

# isort: split
import jax
import jax.numpy as jnp
import keras

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Settings:
    """How one run trains.

    Attributes
    ----------
    learning_rate : float
        Of Adam, at the start of the first cycle.
    cycles : int
        Cosine cycles over the whole time.
    decay : float
        Factor of the learning rate from cycle to cycle.
    floor : float
        Lowest learning rate of a cycle, as a share of its highest.
    beta : list of [float, float]
        Knots (share of the time, price of an EBOP), joined exponentially.
    back : list of [float, float]
        Pairs of shares of the time: at the first the state of the second comes back, so that a part of the front is swept again.
    batch : int
        Events in a step; never more than an eighth of the training events.
    weights, activations : list of float
        Widths at the start, see `model.build`.
    batchnorm : bool
        Batch normalisation in hidden layers.
    """

    learning_rate: float = 5e-3
    cycles: int = 6
    decay: float = 0.9
    floor: float = 0.01
    beta: list[list[float]] = field(default_factory=lambda: [[0.0, 5e-7], [0.1, 5e-7], [1.0, 2e-3]])
    back: list[list[float]] = field(default_factory=list)
    batch: int = 1024
    weights: list[float] = field(default_factory=lambda: [4, 0])
    activations: list[float] = field(default_factory=lambda: [3, 4])
    batchnorm: bool = False


@dataclass(frozen=True)
class Snapshot:
    """One point of the way: native EBOPs, validation accuracy, the state."""

    ebops: float
    accuracy: float
    values: State


def learning_rate(settings: Settings, share: float) -> float:
    """Return the learning rate after that share of the time."""
    cycle, place = divmod(min(share, 1 - 1e-9) * settings.cycles, 1.0)
    wave = 0.5 * (1 + np.cos(np.pi * place))
    return float(settings.learning_rate * settings.decay**cycle * (settings.floor + (1 - settings.floor) * wave))


def price(settings: Settings, share: float) -> float:
    """Return beta after that share of the time."""
    places, betas = np.array(settings.beta, float).T
    return float(np.exp(np.interp(share, places, np.log(betas))))


def make_epoch(model: keras.Model, optimizer: keras.Optimizer, x: jax.Array, y: jax.Array) -> Callable[..., Any]:
    """Return the compiled function that trains one epoch: batches of indices → new state of model and optimizer."""

    def loss(trained: list[jax.Array], other: list[jax.Array], events: jax.Array, labels: jax.Array) -> Any:
        logits, other, extra = model.stateless_call(trained, other, events, training=True, return_losses=True)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return sum(extra) - picked.mean(), other

    gradient = jax.grad(loss, has_aux=True)

    def step(carry: Any, batch: jax.Array) -> Any:
        trained, other, moments = carry
        slopes, other = gradient(trained, other, x[batch], y[batch])
        trained, moments = optimizer.stateless_apply(moments, slopes, trained)
        return (trained, other, moments), None

    return jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches)[0], donate_argnums=0)


def copy(values: Any) -> Any:
    """Return lists of variables as arrays of their own, since training reuses the memory of the old ones."""
    return tuple([np.array(value) for value in part] for part in values)


def add(front: list[Snapshot], ebops: float, accuracy: float, values: State) -> None:
    """Put a snapshot on the front unless another beats it; drop those that it beats."""
    if any(one.ebops <= ebops and one.accuracy >= accuracy for one in front):
        return
    front[:] = [one for one in front if one.ebops < ebops or one.accuracy > accuracy]
    front.append(Snapshot(ebops, accuracy, copy(values)))


def train(model: keras.Model, data: dict[str, np.ndarray], settings: Settings, seconds: float, seed: int, started: float) -> Any:
    """Train until the CPU seconds are used up; return the front and the history, see the module."""
    x, y = jnp.asarray(data["x_train"]), jnp.asarray(data["y_train"])
    xv, yv = jnp.asarray(data["x_validation"]), jnp.asarray(data["y_validation"])
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    optimizer.build(model.trainable_variables)
    betas, counts = positions(model, "_beta"), positions(model, "_ebops")
    rate = next(n for n, variable in enumerate(optimizer.variables) if variable is optimizer._learning_rate)
    epoch = make_epoch(model, optimizer, x, y)
    look = tracing(model)

    def judge(values: State) -> tuple[jax.Array, jax.Array]:
        logits, other = look(values, xv)
        return (logits.argmax(1) == yv).mean(), sum(other[place].astype(jnp.float32) for place in counts)

    judge = jax.jit(judge)
    batch = min(settings.batch, len(x) // 8)
    steps, random = len(x) // batch, np.random.default_rng(seed)
    trained, other = state(model)
    moments = [variable.value for variable in optimizer.variables]
    front: list[Snapshot] = []
    history: list[tuple[float, float, float, float]] = []
    kept: dict[float, Any] = {}
    back = sorted(settings.back)
    while (share := (time.process_time() - started) / seconds) < 1:
        for _, to in back:
            if to <= share and to not in kept:
                kept[to] = copy((trained, other, moments))
        if back and back[0][0] <= share:
            trained, other, moments = copy(kept[back.pop(0)[1]])
        beta = price(settings, share)
        for place in betas:
            other[place] = jnp.float32(beta)
        moments[rate] = jnp.float32(learning_rate(settings, share))
        order = random.permutation(len(x))[: steps * batch].astype(np.int32).reshape(steps, batch)
        trained, other, moments = epoch((trained, other, moments), order)
        accuracy, ebops = judge((trained, other))
        add(front, float(ebops), float(accuracy), (trained, other))
        history.append((share, beta, float(ebops), float(accuracy)))
    return sorted(front, key=lambda one: one.ebops), history


def export(model: keras.Model, data: dict[str, np.ndarray], front: list[Snapshot]) -> dict[str, np.ndarray]:
    """Trace every snapshot on the training and validation split and return the plain arrays of the result."""
    look = jax.jit(tracing(model))
    predict = jax.jit(lambda values, events: model.stateless_call(*values, events, training=False)[0])
    seen = jnp.concatenate([data["x_train"], data["x_validation"]])
    asked = jnp.concatenate([data["x_validation"], data["x_test"]])
    rows: list[dict[str, Any]] = []
    for one in front:
        trained, other = forget_ranges(model, one.values)
        _, other = look((trained, other), seen)
        load(model, (trained, other))
        row: dict[str, Any] = {"ebops": sum(float(layer.ebops) for layer in layers(model))}
        for number, layer in enumerate(layers(model)):
            kinds = elements(layer)
            row |= {f"kernel_{number}": np.asarray(layer.qkernel), f"bias_{number}": np.asarray(layer.qbias)}
            row |= {f"input_k_{number}": kinds.k, f"input_i_{number}": kinds.i, f"input_f_{number}": kinds.f}
            row[f"input_bits_{number}"] = kinds.bits
        logits = np.split(np.asarray(predict((trained, other), asked)), [len(data["x_validation"])])
        for name, values in zip(("validation", "test"), logits, strict=True):
            row |= {f"{name}_logits": values, f"{name}_accuracy": (values.argmax(1) == data[f"y_{name}"]).mean()}
        row |= {f"trained_{n}": np.asarray(v) for n, v in enumerate(trained)}
        row |= {f"other_{n}": np.asarray(v) for n, v in enumerate(other)}
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def choose(path: Path | None, seconds: float, changes: list[str]) -> Settings:
    """Return the settings of that budget from the file, with changes ``key=json`` on top."""
    chosen: dict[str, Any] = {}
    if path is not None:
        budgets = json.loads(path.read_text())["budgets"]
        chosen = dict(budgets[min(budgets, key=lambda name: abs(np.log(float(name) / seconds)))])
    for change in changes:
        key, _, value = change.partition("=")
        chosen[key] = json.loads(value)
    return Settings(**chosen)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--hidden", type=int, nargs="*", default=[64, 32, 32])
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", type=Path, help="file of settings; the budget nearest to --seconds is taken")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="settings that differ")
    options = parser.parse_args()
    settings = choose(options.settings, options.seconds, options.set)
    with np.load(options.data) as file:
        data = {key: file[key] for name in NAMES for key in (f"x_{name}", f"y_{name}")}
    started, wall = time.process_time(), time.perf_counter()
    keras.utils.set_random_seed(options.seed)
    classes = int(data["y_train"].max()) + 1
    model = build(
        data["x_train"].shape[1], options.hidden, classes,
        weights=settings.weights, activations=settings.activations, beta=settings.beta[0][1], batchnorm=settings.batchnorm,
    )  # fmt: skip
    front, history = train(model, data, settings, options.seconds, options.seed, started)
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    arrays = export(model, data, front)
    meta = {"settings": asdict(settings), "hidden": options.hidden, "classes": classes, "seed": options.seed}
    meta |= {"seconds": options.seconds, "cpu_seconds": cpu, "wall_seconds": wall, "epochs": len(history)}
    temporary = options.result.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, meta=json.dumps(meta), history=np.array(history), **arrays)
    temporary.replace(options.result)
    print(json.dumps({**meta, "snapshots": len(front)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
