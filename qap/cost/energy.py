"""Energy per inference by QKeras's QTools."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.candidate import Cost, Figure
from qap.errors import InputError
from qap.precision import Precision

SOURCE = (
    "QTools, operations only: multiplications × (energy of a multiplication of √(b_x·b_w) bits + energy of an addition of the "
    "accumulator's bits), 45 nm CMOS after Horowitz, ISSCC 2014, p. 10; no FPGA, for comparison only"
)
NONZERO = f"{SOURCE}; multiplications by zero weights left out"
MULTIPLIES = ("QDense", "QConv2D")
PASSES = ("InputLayer", "QActivation", "Flatten", "Reshape", "MaxPooling2D", "Dropout")


def _check(model: Any) -> None:
    """Refuse layers that QTools takes for 8 bits without a word, leaves out, or counts in another way than firmware has them."""
    for layer in model.layers:
        name = type(layer).__name__
        if name not in (*MULTIPLIES, *PASSES):
            raise InputError(
                f"energy: {layer.name}: QTools has no sound figure for {name}, only for {', '.join(MULTIPLIES)} and QActivation"
            )
        activation: Any = getattr(layer, "activation", None)
        if name in MULTIPLIES and layer.kernel_quantizer_internal is None:
            raise InputError(f"energy: {layer.name}: expected a quantized kernel, received a float one")
        if name in MULTIPLIES and getattr(activation, "__name__", "") not in ("", "linear") and not hasattr(activation, "bits"):
            raise InputError(f"energy: {layer.name}: expected a quantizer as activation, received {activation.__name__}")


@contextlib.contextmanager
def _settings(module: Any) -> Iterator[None]:
    """Give QTools' settings, one object for the whole process, back as they were."""
    before = dict(vars(module.cfg))
    try:
        yield
    finally:
        vars(module.cfg).update(before)


def energy(model: Any, inputs: Precision | Sequence[Precision]) -> Cost:
    """Return the energy of the multiplications and additions of one inference.

    QTools knows memories of an ASIC only. Firmware has its weights in the logic and its activations in registers, so the
    energy of weights, inputs and outputs is left out (``weights_on_memory`` and ``activations_on_memory`` ``'fixed'``; the
    network's own inputs and outputs, which QTools reads from an SRAM even so, are not summed). It counts every weight, zero
    or not, and takes the accumulator wide enough for any weights: b_x + b_w + ⌈log2(products per output + 1)⌉ bits; biases
    cost nothing. Multiplications by binary or ternary weights are multiplexers of 0.3 and 0.6 times an addition of b_x bits
    (their products have b_x bits, one more where b_x has no sign), by powers of two shifters.

    Parameters
    ----------
    model : keras.Model
        Of QKeras, for example from `qap.models.builders.build` with a plan; its weights count for ``energy_nonzero_pJ``.
    inputs : Precision or sequence of Precision
        Type of the network's inputs, one for each.

    Returns
    -------
    Cost
        ``energy_pJ`` and ``energy_nonzero_pJ`` (multiplications by zero weights, and their additions, left out), in total
        and by layer.

    Raises
    ------
    InputError
        A layer for which QTools has no sound figure: a float one, batch normalisation, recurrent layers.

    Notes
    -----
    C. Coelho et al., Nature Machine Intelligence 3 (2021) 675, arXiv:2006.10159.
    """
    _check(model)
    get = stack().qkeras.get_quantizer  # a quantizer given as text would be taken for 8 bits
    sources = [get(one.quantizer) for one in ([inputs] if isinstance(inputs, Precision) else inputs)]
    if len(sources) != len(model.inputs):
        raise InputError(f"energy: expected the precisions of {len(model.inputs)} inputs, received {len(sources)}")
    names = ("run_qtools", "config_public", "settings")
    run, public, settings = (importlib.import_module(f"qkeras.qtools.{name}") for name in names)
    with _settings(settings):
        tools = run.QTools(model, process="horowitz", source_quantizers=sources, is_inference=False)
        found = tools.pe(weights_on_memory="fixed", activations_on_memory="fixed", min_sram_size=0, rd_wr_on_io=False)
        profile = tools.extract_energy_profile(public.config_settings["include_energy"], found)
    layers = {}
    for layer in model.layers:
        if type(layer).__name__ in MULTIPLIES:
            used = profile[layer.name]["energy"]["op_cost"]
            kernel = np.asarray(layer.kernel_quantizer_internal(layer.kernel))
            layers[layer.name] = _figures(used, used * float(np.count_nonzero(kernel)) / kernel.size)
    totals = [sum(figures[name].value for figures in layers.values()) for name in ("energy_pJ", "energy_nonzero_pJ")]
    return Cost(_figures(*totals), layers)


def _figures(used: float, nonzero: float) -> dict[str, Figure]:
    return {
        "energy_pJ": Figure(round(used, 2), SOURCE, "pJ"),
        "energy_nonzero_pJ": Figure(round(nonzero, 2), NONZERO, "pJ"),
    }
