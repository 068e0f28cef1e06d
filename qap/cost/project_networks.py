"""The matrix multiplications of an hls4ml project, as the csynth-equivalent model takes them, and what it has no numbers for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qap.cost.features import layer_features
from qap.cost.hls_project import HLSProject, Layer
from qap.cost.hls_settings import read_text
from qap.cost.hls_source import structs
from qap.cost.hls_weights import DENSE
from qap.cost.terms import REFERENCE_CLOCK, Network, widths

_SMALL = re.compile(
    r"linear|(thresholded_|leaky_|p)?relu\w*|s?elu|(hard_)?sigmoid|(hard_|dense_)?tanh|softplus|softsign|"
    r"(normalize_)?(binary|ternary)_tanh|unary_lut|softmax\w*|argmax|normalize|"
    r"add|subtract|multiply|average|maximum|minimum|concatenate\dd|"
    r"(global_)?pooling\dd_\w+|zeropad\dd_\w+|cropping\dd_\w+|resize_\w+|transpose(_\dd)?|flatten|"
    r"(clone|repack|broadcast)_stream"
)
"""Functions of nnet:: that are little beside a matrix multiplication: their figures are left out."""
_OTHERS = (
    (r"(pointwise_|depthwise_|separable_)?conv_?\dd\w*|conv\dd\w*", "no report of a convolution is at hand"),
    (r"(lstm|gru|simple_rnn)\w*|bidirectional\w*", "no report of a recurrent layer is at hand"),
    (r"\w*da_\d+\w*|\w*_da_kernel", "no report of distributed arithmetic is at hand"),
)


@dataclass(frozen=True)
class Networks:
    """What a project is made of.

    Parameters
    ----------
    layers : tuple of Network
        One for each matrix multiplication that the csynth-equivalent model has numbers for, in the order of the calls.
    names : tuple of str
        Of these layers.
    softmax : int
        Outputs of all softmax functions that have tables, 0 for none.
    outside : tuple of str
        The other layers that need much logic, each with the reason why the model has no number for it.
    """

    layers: tuple[Network, ...]
    names: tuple[str, ...]
    softmax: int
    outside: tuple[str, ...]


def _reason(layer: Layer, io_type: str) -> str | None:
    """Say why a layer has no number; None for one that has or is small."""
    if _SMALL.fullmatch(layer.kind):
        return None
    if layer.kind not in DENSE:
        known = (reason for pattern, reason in _OTHERS if re.fullmatch(pattern, layer.kind))
        return next(known, "no report of such a layer is at hand")
    if io_type != "io_parallel":
        return f"no report with {io_type} is at hand"
    if layer.kernel is None or layer.weight is None or layer.inputs is None:
        return "its weights are no constants of the project"
    if layer.strategy is None:
        return "the project does not state its strategy"
    if "compressed" in layer.kind or layer.arrays[layer.operands[2]].size != layer.kernel.size:
        return "no report of compressed weights is at hand"
    return None


def _softmax(project: HLSProject) -> int:
    """Count the outputs of the softmax functions; one that only tells the largest input has no tables."""
    found = [layer for layer in project.layers if layer.kind.startswith("softmax")]
    if not found:
        return 0
    declared, _ = structs(read_text(project.directory / "firmware" / "parameters.h"))
    words = {layer.config: declared[layer.config].constants.get("implementation", "") for layer in found if layer.config}
    return sum(layer.sizes.get("n_in", 0) for layer in found if not words.get(layer.config, "").endswith("argmax"))


def networks(project: HLSProject) -> Networks:
    """Take the matrix multiplications out of a project.

    Parameters
    ----------
    project : HLSProject
        Where it states no clock, 5 ns are taken.

    Returns
    -------
    Networks
        Activations, normalisations, merges and pooling are neither among the layers nor outside.

    Raises
    ------
    InputError
        A kernel with values that are not finite.
    """
    layers, names, outside = [], [], []
    for layer in project.layers:
        reason = _reason(layer, project.io_type)
        if reason:
            outside.append(f"{layer.name} (nnet::{layer.kind}): {reason}")
        elif layer.kind in DENSE and layer.strategy is not None:
            clock = project.clock_ns or REFERENCE_CLOCK
            features = widths(layer_features(layer))
            layers.append(Network(features, layer.strategy, layer.reuse_factor, clock_ns=clock, multipliers=project.multipliers))
            names.append(layer.name)
    return Networks(tuple(layers), tuple(names), _softmax(project), tuple(outside))
