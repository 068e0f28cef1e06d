"""What the sections of a study file are made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_BITS = 32

Bits = Annotated[int, Field(ge=1, le=MAX_BITS)]
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WeightBits = Annotated[int, Field(ge=2, le=MAX_BITS)]  # 1 bit is a sign without a zero: pruning would be undone
Criterion = Literal["magnitude", "taylor", "fisher", "block_fisher", "activation"]


def _quoted(value: Any) -> Any:
    """Refuse what YAML makes of N:M without quotes."""
    if isinstance(value, int):
        raise ValueError(
            f"expected text such as weight, '2:4' or neuron, received the number {value}: write N:M in quotes, YAML takes it for "
            "hours and minutes"
        )
    return value


GranularityText = Annotated[str, BeforeValidator(_quoted)]


class Section(BaseModel):
    """A part of the study file: unknown keys and wrong types are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True)
