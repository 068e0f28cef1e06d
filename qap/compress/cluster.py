"""Weight clustering by TF-MOT: each kernel of the float network has a few distinct values.

Han, Mao, Dally, "Deep compression", arXiv:1510.00149; zeros stay zero. Quantize afterwards, for example [cluster, ptq]: a
kernel then has at most as many values.
"""

from __future__ import annotations

import math

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, Steps
from qap.errors import InputError


def _steps(candidate: Candidate, context: Context) -> Steps:
    values = context.cluster.values
    for name, shape in candidate.architecture.shapes.items():
        if math.prod(shape) < values:
            raise InputError(f"cluster.values: {name} has {math.prod(shape)} weights, fewer than {values}: ask for fewer values")
    result = yield context.job(candidate, clusters=values, quantized=False)
    return candidate.with_(weights=result.weights)


METHOD = Method(_steps, "few distinct values in each kernel of the float network", quantized=False)
