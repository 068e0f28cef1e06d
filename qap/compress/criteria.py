"""Importance of every weight of a model, by the criteria that pruning knows.

With the mean loss L = Σ ω_n ℓ_n / Σ ω_n over the events n of weight ω_n, and g_n = ∂ℓ_n/∂w:

``magnitude``
    |w|.
``taylor``
    |w · ∂L/∂w|: first-order change of the loss when w goes to zero, the gradient averaged over the events before the
    absolute value is taken. Molchanov et al., arXiv:1906.10771, equation 8 for a weight, without the square (the group of a
    structured granularity sums it); arXiv:1611.06440 does the same for feature maps. Where a training has converged,
    ∂L/∂w is small and its noise counts.
``fisher``
    ½ · w² · E[g²]: second-order change with the diagonal of the empirical Fisher information for the Hessian. LeCun, Denker,
    Solla, "Optimal brain damage" (1990); Theis et al., arXiv:1801.05787.
``block_fisher``
    w² / (2 · [F⁻¹]ᵢᵢ), F = E[g gᵀ] + λ·1 in blocks of at most 64 weights of a unit: as if the others of the block were
    adjusted when w goes. Singh & Alistarh, "WoodFisher", arXiv:2004.14340 (λ here: `DAMPING` times the mean of the diagonal).
``activation``
    Mean absolute output of the unit on the data, after BatchNormalization and activation, spread evenly over its
    weights: for neurons and filters. In the spirit of Hu et al., "Network trimming", arXiv:1607.03250.

Gradients are those with respect to the latent weights, through the straight-through estimators of QKeras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Split
from qap.errors import InputError, suggestion

CRITERIA = ("magnitude", "taylor", "fisher", "block_fisher", "activation")
BLOCK = 64
DAMPING = 1e-3
LARGEST = 1 << 22
"""Numbers in the gradients by event that are held at a time."""
_FOLLOWING = ("BatchNormalization", "QBatchNormalization", "Activation", "QActivation", "ReLU", "LeakyReLU", "ELU", "Dropout")


def kernels(model: Any) -> dict[str, Any]:
    """Return the kernel variables of the Dense and convolution layers by layer name.

    Raises
    ------
    InputError
        A wrapper or a model within the model, or no such layer at all.
    """
    found = {}
    for layer in model.layers:
        if (hasattr(layer, "layer") or hasattr(layer, "layers")) and layer.weights:
            raise InputError(
                f"{layer.name}: cannot score the weights inside a {type(layer).__name__}: take the layers out of it first "
                "(strip_pruning for pruning wrappers)"
            )
        if hasattr(layer, "kernel") and len(layer.kernel.shape) >= 2:
            found[layer.name] = layer.kernel
    if not found:
        raise InputError(f"{model.name}: no layer with a kernel to score")
    return found


def scores(
    model: Any, split: Split, criterion: str, *, task: str, batch: int = 1024, events: int | None = None
) -> dict[str, np.ndarray]:
    """Score the weights of every kernel.

    Parameters
    ----------
    model : keras.Model
        Of Dense and convolution layers, from Keras or QKeras, with one input and one output: logits, or probabilities where
        it ends in a softmax.
    split : Split
        Features are brought to the shape of the model's input.
    criterion : {'magnitude', 'taylor', 'fisher', 'block_fisher', 'activation'}
    task : {'classification', 'regression'}
        Cross-entropy, or squared error averaged over the targets.
    batch : int, default 1024
        Events at a time; fewer where gradients by event would not fit.
    events : int, optional
        The first so many events of the split (None: all).

    Returns
    -------
    dict of str to float64 array
        One score a weight, 0 or more, in the shape of the kernel, by layer name.

    Raises
    ------
    InputError
        Unknown criterion or task, no events, a model that the data does not fit.
    """
    if criterion not in CRITERIA:
        raise InputError(
            f"criterion: expected one of {', '.join(CRITERIA)}, received {criterion!r}{suggestion(criterion, CRITERIA)}"
        )
    found = kernels(model)
    values = {name: np.asarray(kernel, np.float64) for name, kernel in found.items()}
    if criterion == "magnitude":
        return {name: np.abs(value) for name, value in values.items()}
    if batch < 1 or (events is not None and events < 1):
        raise InputError(f"criterion: expected at least one event and a batch from 1, received {events} and {batch}")
    part = split if events is None else split.head(events)
    x = _inputs(model, part)
    if criterion == "activation":
        return _activation(model, values, x, part, batch)
    losses = _losses(model, task, part)
    if criterion == "taylor":
        gradient = _gradient(model, found, losses, x, part, batch)
        return {name: np.abs(value * gradient[name]) for name, value in values.items()}
    if criterion == "fisher":
        squares = _squares(model, found, losses, x, part, batch)
        return {name: 0.5 * value**2 * squares[name] for name, value in values.items()}
    blocks = _blocks(model, found, losses, x, part, batch)
    return {name: _block_scores(value, blocks[name]) for name, value in values.items()}


def _inputs(model: Any, split: Split) -> np.ndarray:
    shape = model.input_shape[1:] if isinstance(model.input_shape, tuple) else None
    if not len(split) or shape is None or None in shape or np.prod(shape) != split.x[:1].size:
        raise InputError(
            f"{model.name}: expected events for one input of the shape {model.input_shape}, received {split.x.shape}"
        )
    return np.reshape(split.x, (-1, *shape)).astype(np.float32)


def _losses(model: Any, task: str, split: Split) -> Callable[[Any, Any], Any]:
    """Return (targets, outputs) → loss of each event."""
    losses, outputs = stack().keras.losses, model.output_shape[-1]
    if task == "regression":
        if split.y.shape[1:] != (outputs,):
            raise InputError(f"{model.name}: expected {outputs} targets an event, received the shape {split.y.shape}")
        return losses.mean_squared_error
    if task != "classification":
        raise InputError(f"task: expected classification or regression, received {task!r}")
    if split.y.ndim != 1 or split.y.max() >= outputs:
        raise InputError(f"{model.name}: expected classes below {outputs}, its outputs, received {split.y.max()}")
    last = model.output._keras_history.layer
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__)
    logits = activation.lower() != "softmax"
    return lambda y, z: losses.sparse_categorical_crossentropy(y, z, from_logits=logits)


def _batches(x: np.ndarray, split: Split, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield x, y and event weights in parts of one shape: the last one is filled up with events of weight 0."""
    for start in range(0, len(x), batch):
        index = np.arange(start, start + batch)
        inside = index < len(x)
        index = np.where(inside, index, 0)
        yield x[index], split.y[index], np.where(inside, split.weight[index], 0).astype(np.float64)


def _gradient(
    model: Any, found: Mapping[str, Any], losses: Callable[[Any, Any], Any], x: np.ndarray, split: Split, batch: int
) -> dict[str, np.ndarray]:
    """Return ∂L/∂w by layer."""
    tf = stack().tf

    @tf.function
    def step(x: Any, y: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(losses(y, model(x, training=False)) * tf.cast(weight, model.compute_dtype))
        return tape.gradient(total, list(found.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)

    sums = {name: np.zeros(kernel.shape) for name, kernel in found.items()}
    for part in _batches(x, split, min(batch, len(x))):
        for name, gradient in zip(found, step(*map(tf.constant, part)), strict=True):
            sums[name] += np.asarray(gradient, np.float64)
    return {name: value / split.weight.sum(dtype=np.float64) for name, value in sums.items()}


def _by_event(
    model: Any, found: Mapping[str, Any], losses: Callable[[Any, Any], Any], x: np.ndarray, split: Split, batch: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield the event weights, and ∂ℓ_n/∂w by layer as (events, *kernel) arrays."""
    tf = stack().tf

    def one(event: tuple[Any, Any]) -> Any:
        x, y = event
        with tf.GradientTape() as tape:
            loss = losses(y[None], model(x[None], training=False))
        return tape.gradient(loss, list(found.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        return tf.vectorized_map(one, (x, y))

    size = sum(int(np.prod(kernel.shape)) for kernel in found.values())
    for x_part, y_part, weight in _batches(x, split, max(1, min(batch, len(x), LARGEST // size))):
        rows = step(tf.constant(x_part), tf.constant(y_part))
        yield weight, {name: np.asarray(row, np.float64) for name, row in zip(found, rows, strict=True)}


def _squares(model: Any, found: Mapping[str, Any], losses: Callable[[Any, Any], Any], *data: Any) -> dict[str, np.ndarray]:
    """Return E[g²] by layer."""
    sums = {name: np.zeros(kernel.shape) for name, kernel in found.items()}
    total = 0.0
    for weight, rows in _by_event(model, found, losses, *data):
        total += weight.sum()
        for name, row in rows.items():
            sums[name] += np.tensordot(weight, row**2, axes=1)
    return {name: value / total for name, value in sums.items()}


def _in_blocks(rows: np.ndarray) -> np.ndarray:
    """Cut (events, …, units) arrays into (units · blocks, events, weights of a block), filled up with zeros."""
    events, units = len(rows), rows.shape[-1]
    columns = rows.reshape(events, -1, units).transpose(2, 0, 1)
    size = min(BLOCK, columns.shape[2])
    blocks = -(-columns.shape[2] // size)
    columns = np.pad(columns, ((0, 0), (0, 0), (0, blocks * size - columns.shape[2])))
    return columns.reshape(units, events, blocks, size).transpose(0, 2, 1, 3).reshape(units * blocks, events, size)


def _blocks(model: Any, found: Mapping[str, Any], losses: Callable[[Any, Any], Any], *data: Any) -> dict[str, np.ndarray]:
    """Return E[g gᵀ] by layer, one matrix a block."""
    sums: dict[str, Any] = dict.fromkeys(found, 0.0)
    total = 0.0
    for weight, rows in _by_event(model, found, losses, *data):
        total += weight.sum()
        for name, row in rows.items():
            blocks = _in_blocks(row)
            sums[name] = sums[name] + (blocks * weight[:, None]).transpose(0, 2, 1) @ blocks
    return {name: value / total for name, value in sums.items()}


def _block_scores(kernel: np.ndarray, fisher: np.ndarray) -> np.ndarray:
    """Return w² / (2 [F⁻¹]ᵢᵢ) with damped blocks; 0 where no event depends on the kernel."""
    inputs, units = int(np.prod(kernel.shape[:-1])), kernel.shape[-1]
    damping = DAMPING * fisher.trace(axis1=1, axis2=2).sum() / kernel.size
    if damping == 0:
        return np.zeros(kernel.shape)
    inverse = np.linalg.inv(fisher + damping * np.eye(fisher.shape[1]))
    diagonal = inverse.diagonal(axis1=1, axis2=2).reshape(units, -1)[:, :inputs].T
    return kernel**2 / (2 * diagonal.reshape(kernel.shape))


def _unit_outputs(model: Any, names: Iterable[str]) -> list[Any]:
    """Return the tensors in which the units of layers end: after BatchNormalization and activation."""
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]
    calls: dict[str, list[Any]] = {}
    users: dict[int, list[Any]] = {}
    for node in nodes:
        calls.setdefault(node.layer.name, []).append(node)
        for tensor in node.keras_inputs:
            users.setdefault(id(tensor), []).append(node)
    ends = []
    for name in names:
        if len(calls[name]) != 1:
            raise InputError(f"{name}: is used {len(calls[name])} times in the model: the activation criterion needs one use")
        tensor = calls[name][0].outputs
        while len(users.get(id(tensor), ())) == 1 and type(users[id(tensor)][0].layer).__name__ in _FOLLOWING:
            tensor = users[id(tensor)][0].outputs
        ends.append(tensor)
    return ends


def _activation(model: Any, values: Mapping[str, np.ndarray], x: np.ndarray, split: Split, batch: int) -> dict[str, np.ndarray]:
    keras = stack().keras
    probe = keras.Model(model.inputs, _unit_outputs(model, values))
    sums = {name: np.zeros(value.shape[-1]) for name, value in values.items()}
    for x_part, _, weight in _batches(x, split, min(batch, len(x))):
        outputs = probe(x_part, training=False)
        for name, output in zip(values, outputs if len(values) > 1 else [outputs], strict=True):
            units = np.abs(np.asarray(output, np.float64)).reshape(len(x_part), -1, values[name].shape[-1]).mean(axis=1)
            sums[name] += weight @ units
    mean = {name: value / split.weight.sum(dtype=np.float64) for name, value in sums.items()}
    return {
        name: np.broadcast_to(mean[name] / (value.size / value.shape[-1]), value.shape).copy() for name, value in values.items()
    }
