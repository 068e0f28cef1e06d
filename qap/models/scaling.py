"""Powers of two moved from layer to layer: a plan's exponents in the weights of a network, the function unchanged.

A unit's weights and bias times 2**−k, the following weights times 2**k: relu and linear units are positively homogeneous,
and powers of two change only exponents, so that every output keeps its bits. One activation quantizer for a whole layer then
has another step, seen from the float network, for every unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qap.errors import InputError
from qap.models.builders import Weights
from qap.plan import InputPlan, Plan


def _powers(exponents: Sequence[int], units: int, where: str) -> np.ndarray:
    if exponents and len(exponents) != units:
        raise InputError(f"plan: {where}: expected {units} exponents, received {len(exponents)}")
    return np.asarray(exponents or [0] * units, np.int32)


def scaled(plan: Plan, weights: Weights) -> dict[str, np.ndarray]:
    """Return the weights of a float network in the scale of a plan.

    Parameters
    ----------
    plan : Plan
    weights : mapping
        Folded float weights by ``layer/kernel`` and ``layer/bias``.

    Returns
    -------
    dict
        The network that they make behind the plan's scaled inputs has the float network's outputs, bit for bit.

    Raises
    ------
    InputError
        A number of exponents that is not the layer's number of units, or exponents of the last layer.
    """
    found = dict(weights)
    names = list(plan)
    if plan[names[-1]].exponents:
        raise InputError(f"plan: {names[-1]}: the last layer has no layer behind it that could take up exponents")
    features = found[f"{names[0]}/kernel"].shape[0]
    before = _powers(plan.inputs.exponents if plan.inputs else (), features, "inputs")
    for name in names:
        kernel = found[f"{name}/kernel"]
        after = _powers(plan[name].exponents, kernel.shape[1], name)
        found[f"{name}/kernel"] = np.ldexp(kernel, before[:, None] - after)
        found[f"{name}/bias"] = np.ldexp(found[f"{name}/bias"], -after)
        before = after
    return found


def rounded_inputs(inputs: InputPlan | None, x: np.ndarray) -> np.ndarray:
    """Return what the first layer is given: events scaled and rounded as the plan says, as they are without one.

    Parameters
    ----------
    inputs : InputPlan or None
    x : (events, features) array

    Returns
    -------
    (events, features) float64 array
    """
    x = np.asarray(x, np.float64)
    if inputs is None:
        return x
    return inputs.precision.quantize(np.ldexp(x, -_powers(inputs.exponents, x.shape[1], "inputs")))
