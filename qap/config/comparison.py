"""The section of the comparison of methods, and its rows by default."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from qap.config.fields import Bits, Criterion, GranularityText, Positive, Section, Sparsity, WeightBits


class Entry(Section):
    """A row of the comparison: a chain of methods, and where its plan differs from that of the others."""

    compress: Annotated[list[str], Field(min_length=1)]
    """As the section of that name; ``tflite-dynamic`` and ``tflite-int8`` may stand at the end."""
    granularity: GranularityText = "weight"
    """What pruning removes as one: weight, 2:4, block(4,4), dsp(4), neuron …"""
    criterion: Criterion | None = None
    """Importance of a weight (None: ``prune.criterion``)."""
    sparsity: Sparsity | None = None
    """(None: the comparison's; of N:M it is N/M.)"""


def _entries(value: Any) -> Any:
    """Take a list of methods for an entry that names nothing else."""
    if not isinstance(value, dict):
        return value
    return {name: {"compress": entry} if isinstance(entry, list) else entry for name, entry in value.items()}


MethodName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+()-]*$")]
METHODS: dict[str, Any] = {
    "float": ["train"],
    "tflite_dynamic": ["train", "tflite-dynamic"],
    "tflite_int8": ["train", "tflite-int8"],
    "ptq": ["train", "ptq"],
    "ptq_equalized": ["train", "equalize", "ptq"],
    "weight_only": ["train", "weight_only"],
    "qat": ["qat"],
    "distill+qat": ["distill+qat"],
    "cluster": ["cluster", "ptq"],
    "low_rank": ["low_rank", "qat"],
    "prune": ["prune"],
    "prune_then_ptq": ["prune", "ptq"],
    "prune_then_qat": ["prune", "qat"],
    "qap": ["qap"],
    "distill+qap": ["distill+qap"],
    "one_shot": ["one_shot"],
    "iterative": ["iterative"],
    "lottery": ["lottery"],
    "qap_taylor": {"compress": ["qap"], "criterion": "taylor"},
    "qap_fisher": {"compress": ["qap"], "criterion": "fisher"},
    "qap_sensitivity": ["sensitivity", "qap"],
    "qap_allocate": ["allocate", "qap"],
    "qap_2:4": {"compress": ["qap"], "granularity": "2:4"},
    "qap_block": {"compress": ["qap"], "granularity": "block(4,1)", "sparsity": 0.5},
    "qap_dsp": {"compress": ["qap"], "granularity": "dsp(4)", "sparsity": 0.5},
    "qap_neuron": {"compress": ["qap"], "granularity": "neuron", "sparsity": 0.5},
}


class Compare(Section):
    """Methods side by side: ``qap compare``."""

    methods: Annotated[dict[MethodName, Entry], BeforeValidator(_entries), Field(min_length=1)] = Field(
        default_factory=lambda: {name: Entry.model_validate(entry) for name, entry in _entries(METHODS).items()}
    )
    """Row → its methods (a list), or a mapping with `compress`, `granularity`, `criterion`, `sparsity`."""
    seeds: Positive = 5
    """Trainings of every row, float parent included, with the seeds from `seed` on."""
    weight_bits: WeightBits = 4
    """Of all rows that quantize."""
    activation_bits: Bits = 4
    """Of all rows that quantize."""
    sparsity: Sparsity = 0.8
    """Of the rows that prune, in every layer."""
    against: str = "qap"
    """Row that the others are compared with, seed by seed."""
    delta: Annotated[float, Field(ge=0)] = 0.01
    """The gate: how far below the float network (the row ``float``, or the parent) the accuracy may lie."""

    @model_validator(mode="after")
    def _has_reference(self) -> Compare:
        if self.against not in self.methods and "against" in self.model_fields_set:
            raise ValueError(f"against: expected a row of methods ({', '.join(self.methods)}), received {self.against!r}")
        return self
