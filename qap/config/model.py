"""The section of the model: the float topology that a study starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from qap.config.fields import Positive, Section

HIDDEN = [64, 32, 32]


def _as_list(value: Any) -> Any:
    """Take one number for a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


Window = Annotated[list[Positive], BeforeValidator(_as_list), Field(min_length=1, max_length=2)]


class LayerSection(Section):
    """A hidden layer: `units` for Dense, `filters` and `kernel_size` for a convolution, under Keras's names."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    """By default fc1, fc2, … and conv1, conv2, …."""
    units: Positive | None = None
    """Units of a Dense layer."""
    filters: Positive | None = None
    """Output channels of a convolution."""
    kernel_size: Window | None = None
    """Window along the one or two axes that `model.shape` has beside the channels."""
    strides: Window | None = None
    """Steps of the window (None: 1)."""
    padding: Literal["valid", "same"] = "valid"
    """`same` adds zeros around, so that the positions stay as many."""
    pool: str = ""
    """Behind the activation: max(2), average(2,1), global_max or global_average."""
    add: str = ""
    """Name of an earlier layer whose output is added before the activation."""
    activation: Literal["relu", "linear"] | None = None
    """None: `model.activation`."""
    batchnorm: bool | None = None
    """None: `model.batchnorm`."""

    @model_validator(mode="after")
    def _is_dense_or_convolution(self) -> LayerSection:
        convolution = self.filters is not None and self.kernel_size is not None and self.units is None
        dense = self.units is not None and self.filters is None and self.kernel_size is None and self.strides is None
        if not convolution and not dense:
            raise ValueError("expected units (Dense), or filters and kernel_size (convolution)")
        return self


class Model(Section):
    """The float topology."""

    hidden: list[Positive] = HIDDEN
    """Units of Dense layers one behind the other."""
    shape: Annotated[list[Positive], Field(min_length=2, max_length=3)] | None = None
    """In which an event's features stand, channels last: [28, 28, 1] for an image, [16, 3] for 16 particles (None: one row)."""
    layers: list[LayerSection] | None = None
    """In place of `hidden`: convolutions, pooling, residual connections."""
    activation: Literal["relu", "linear"] = "relu"
    """Of the hidden layers."""
    batchnorm: bool = True
    """BatchNormalization in the float parent; it is folded into the weights before quantization."""
    function: str | None = None
    """``module:function`` that builds the Keras model in the builder's place (beside the study file, or installed)."""

    @model_validator(mode="after")
    def _has_one_list(self) -> Model:
        if self.layers is not None and self.hidden != HIDDEN:
            raise ValueError("expected hidden or layers, received both")
        if self.layers is None and self.shape is not None:
            raise ValueError("shape: is for layers with a kernel_size; hidden takes the features as one row")
        if self.function is not None and self.layers is not None:
            raise ValueError("function: builds the layers itself: leave layers out")
        return self
