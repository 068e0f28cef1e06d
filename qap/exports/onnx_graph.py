"""An ONNX graph of a plain Keras model, layer by layer; a hook may put quantizers after weights and layers.

Keras keeps channels last, ONNX first: convolutions and pooling stand between transpositions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qap.errors import InputError, suggestion
from qap.firmware.graph import Call, flatten

OPSET = 13
IR_VERSION = 8


@dataclass(frozen=True, eq=False)
class Node:
    """A tensor of the graph that is being written: its name and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]


@dataclass(eq=False)
class Graph:
    """An ONNX graph in the making.

    Parameters
    ----------
    batch : str or int
        First axis of every tensor: a name, or a fixed number of events.
    weights : callable, optional
        (graph, layer's name, which weight, values in Keras's layout, function to ONNX's layout) → tensor name.
    results : callable, optional
        (graph, layer's name, tensor) → tensor that takes its place.
    """

    batch: str | int
    weights: Callable[[Graph, str, str, np.ndarray, Layout], str] | None = None
    results: Callable[[Graph, str, Node], Node] | None = None
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    infos: list[Any] = field(default_factory=list)

    def constant(self, name: str, values: Any) -> str:
        """Add a constant: float32, or int64 where integers are given.

        Raises
        ------
        InputError
            A float64 that float32 does not hold exactly, where quantizers are written.
        """
        import onnx

        array = np.asarray(values)
        kind = np.int64 if array.dtype.kind in "iu" else np.float32
        if self.weights is not None and not np.array_equal(array.astype(kind).astype(array.dtype), array):
            raise InputError(f"{name}: needs more than the 24 bits of ONNX's float32: use fewer bits")
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array, kind).reshape(array.shape), name))
        return name

    def weight(self, layer: str, what: str, values: np.ndarray, layout: Layout | None = None) -> str:
        """Add a weight tensor."""
        layout = layout or _same
        if self.weights is not None:
            return self.weights(self, layer, what, values, layout)
        return self.constant(f"{layer}_{what}", layout(values))

    def node(
        self,
        op: str,
        name: str,
        inputs: Sequence[Node | str],
        shape: tuple[int, ...],
        *,
        domain: str = "",
        constant: bool = False,
        **attributes: Any,
    ) -> Node:
        """Add a node with one output; that of a constant has no batch axis."""
        import onnx

        helper = onnx.helper
        names = [item if isinstance(item, str) else item.name for item in inputs]
        output = f"{name}_out"
        self.nodes.append(helper.make_node(op, names, [output], name=name, domain=domain, **attributes))
        self.infos.append(self.info(output, shape, constant))
        return Node(output, shape)

    def info(self, name: str, shape: tuple[int, ...], constant: bool = False) -> Any:
        """Describe a tensor: events on its first axis, unless it is constant."""
        import onnx

        sizes = shape if constant else (self.batch, *shape)
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)

    def transposed(self, name: str, source: Node, order: Sequence[int]) -> Node:
        """Permute the axes after the batch axis."""
        shape = tuple(source.shape[axis] for axis in order)
        return self.node("Transpose", name, [source], shape, perm=[0, *(axis + 1 for axis in order)])


Layout = Callable[[np.ndarray], np.ndarray]
Rule = Callable[[Graph, Call, list[Node]], Node]
"""(graph, layer call, input tensors) → output tensor."""


def _same(values: np.ndarray) -> np.ndarray:
    return values


def build_graph(model: Any, graph: Graph, rules: Mapping[str, Rule]) -> bytes:
    """Write a Keras model as an ONNX file.

    Parameters
    ----------
    model : keras.Model
        Channels last; inference behaviour.
    graph : Graph
        New; its hooks decide on quantizers.
    rules : mapping of layer class to Rule

    Raises
    ------
    InputError
        A layer without a rule.
    """
    import onnx

    flat = flatten(model)
    tensors: dict[str, Node] = {}
    for call in flat.calls:
        if call.name in flat.inputs:
            tensors[call.name] = Node(call.name, call.shape)
        else:
            kind = type(call.layer).__name__
            if kind not in rules:
                raise InputError(
                    f"ONNX: {call.layer.name}: the layer {kind} is not written{suggestion(kind, rules)}: use one of these"
                )
            tensors[call.name] = rules[kind](graph, call, [tensors[name] for name in call.inputs])
        if graph.results is not None:
            tensors[call.name] = graph.results(graph, call.name, tensors[call.name])
    outputs = [tensors[name].name for name in flat.outputs]
    shapes = {call.name: call.shape for call in flat.calls}
    helper, known = onnx.helper, {info.name: info for info in graph.infos}
    if not graph.nodes or len(set(outputs)) < len(outputs):
        raise InputError(f"ONNX: {model.name}: expected layers and distinct outputs, received {', '.join(flat.outputs)}")
    domains = sorted({node.domain for node in graph.nodes} - {""})
    written = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "qap",
            [graph.info(name, shapes[name]) for name in flat.inputs],
            [known.pop(name) for name in outputs],
            graph.constants,
            value_info=list(known.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)],
        ir_version=IR_VERSION,
        producer_name="qap",
    )
    onnx.checker.check_model(written)
    return bytes(written.SerializeToString())
