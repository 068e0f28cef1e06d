"""The cases of the layer table: one small QKeras model per layer, quantizer or topology, built under pruning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qap.backend import stack

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A model of the layer table.

    Parameters
    ----------
    name : str
    shapes : tuple of shapes
        One per input.
    build : callable
        (kit, input tensors) → output tensor or tensors.
    stream : bool
        Also converted with io_stream in the short table.
    table : str
        Layer whose table must be accepted by name, '' for none.
    """

    name: str
    shapes: tuple[Shape, ...]
    build: Callable[..., Any]
    stream: bool = False
    table: str = ""


CASES: dict[str, Case] = {}


def case(*shapes: Shape, stream: bool = False, table: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a case under its function's name."""

    def register(build: Callable[..., Any]) -> Callable[..., Any]:
        name = build.__name__.rstrip("_")
        CASES[name] = Case(name, shapes, build, stream, table)
        return build

    return register


class Kit:
    """Layers of the cases, with pruning where the layer and its quantizers keep zeros."""

    def __init__(self, prune: bool = True) -> None:
        self.prune = prune
        self.q, self.layers = stack().qkeras, stack().keras.layers

    def bits(self, bits: int = 6, integer: int = 0, **options: Any) -> Any:
        """quantized_bits, alpha 1 unless said otherwise."""
        return self.q.quantized_bits(bits, integer, **{"alpha": 1, **options})

    def layer(self, kind: str, *arguments: Any, keep: bool = False, **options: Any) -> Any:
        """A QKeras layer, 6-bit kernels and biases unless said otherwise; `keep` leaves pruning out."""
        if kind.startswith("QSeparable"):
            names = ["depthwise_quantizer", "pointwise_quantizer", "bias_quantizer"]
        elif kind.startswith("QDepthwise"):
            names = ["depthwise_quantizer", "bias_quantizer"]
        else:
            names = ["kernel_quantizer", "bias_quantizer"]
        quantizers = {name: self.bits() for name in names}
        made = getattr(self.q, kind)(*arguments, **{**quantizers, **options})
        if not self.prune or keep:
            return made
        schedule = stack().sparsity.ConstantSparsity(0.4, 0, frequency=1)
        return stack().sparsity.prune_low_magnitude(made, schedule)

    def dense(self, x: Any, units: int, **options: Any) -> Any:
        return self.layer("QDense", units, **options)(x)

    def conv(self, x: Any, filters: int, size: int, **options: Any) -> Any:
        kind = "QConv1D" if len(x.shape) == 3 else "QConv2D"
        return self.layer(kind, filters, size, **options)(x)

    def act(self, x: Any, quantizer: str = "quantized_relu(6,2)") -> Any:
        return self.q.QActivation(quantizer)(x)

    def flat(self, x: Any, units: int = 5) -> Any:
        return self.dense(self.layers.Flatten()(x), units)


def _head(kernel: Callable[[Kit], dict[str, Any]], **extra: Any) -> Callable[[Kit, Any], Any]:
    """One Dense layer with given quantizers, a relu, a Dense layer."""

    def build(k: Kit, x: Any) -> Any:
        return k.dense(k.act(k.dense(x, 8, **kernel(k), **extra)), 5)

    return build


def _activation(quantizer: str) -> Callable[[Kit, Any], Any]:
    return lambda k, x: k.dense(k.act(k.dense(x, 8), quantizer), 5)


def _register(name: str, build: Callable[..., Any], *shapes: Shape, **options: Any) -> None:
    build.__name__ = name
    case(*(shapes or ((16,),)), **options)(build)


for _bits in (2, 3, 4, 5, 6, 7, 8):
    _register(f"mlp_{_bits}bit", _head(lambda k, b=_bits: {"kernel_quantizer": k.bits(b), "bias_quantizer": k.bits(b)}))
_register("regression", lambda k, x: k.act(k.dense(k.act(k.dense(x, 8)), 1), "quantized_bits(12,5,alpha=1)"))

_register("ternary_w", _head(lambda k: {"kernel_quantizer": k.q.ternary(alpha=1)}))
_register("binary_w", _head(lambda k: {"kernel_quantizer": k.q.binary(alpha=1)}, keep=True))
_register("ternary_w_auto", _head(lambda k: {"kernel_quantizer": k.q.ternary(alpha="auto_po2")}))
_register("binary_w_auto", _head(lambda k: {"kernel_quantizer": k.q.binary(alpha="auto_po2")}, keep=True))
_register("alpha_auto", _head(lambda k: {"kernel_quantizer": k.bits(alpha="auto")}))
_register("alpha_po2", _head(lambda k: {"kernel_quantizer": k.bits(alpha="auto_po2")}))
_register(
    "alpha_po2_kb",
    _head(lambda k: {"kernel_quantizer": k.bits(alpha="auto_po2"), "bias_quantizer": k.bits(alpha="auto_po2")}),
)
_register("alpha_none", _head(lambda k: {"kernel_quantizer": k.bits(alpha=None), "bias_quantizer": k.bits(alpha=None)}))
_register("po2_w", _head(lambda k: {"kernel_quantizer": k.q.quantized_po2(4, 1)}, keep=True))
_register("w_int_range", _head(lambda k: {"kernel_quantizer": k.bits(6, 2), "bias_quantizer": k.bits(8, 3)}))
_register("w_allint", _head(lambda k: {"kernel_quantizer": k.bits(4, 3)}))
_register("w1bit", _head(lambda k: {"kernel_quantizer": k.bits(1, 0)}, keep=True))
_register("nobiasq", _head(lambda k: {"bias_quantizer": None}))
_register("nobias", _head(lambda k: {"bias_quantizer": None, "use_bias": False}))
_register("keepneg0", _head(lambda k: {"kernel_quantizer": k.bits(6, 0, keep_negative=False)}))
_register("symmetric", _head(lambda k: {"kernel_quantizer": k.bits(6, 0, symmetric=True)}))
_register("act_in_layer", lambda k, x: k.dense(k.dense(x, 8, activation=k.q.quantized_relu(6, 2)), 5))

_register("ternary_act", _activation("ternary(alpha=1)"))
_register("ternary_tanh_act", _activation("ternary()"))
_register("binary_act", _activation("binary(alpha=1)"))
_register("act_qbits", _activation("quantized_bits(6,1,alpha=1)"))
_register("act_tanh", _activation("quantized_tanh(6)"))
_register("act_sigm", _activation("quantized_sigmoid(6)"))
_register("act_tanh_real", _activation("quantized_tanh(6,use_real_tanh=True)"), table="act")
_register("act_sigm_real", _activation("quantized_sigmoid(6,use_real_sigmoid=True)"), table="act")
_register("act_leaky", _activation("quantized_relu(6,2,negative_slope=0.25)"))
_register("relu_allint", _activation("quantized_relu(4,4)"))
_register("in_quant_bits", lambda k, x: k.dense(k.act(k.dense(k.act(x, "quantized_bits(8,2,alpha=1)"), 8)), 5))


@case((16,))
def xnor(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.dense(x, 8), "binary(alpha=1)"), 5, kernel_quantizer=k.q.binary(alpha=1), keep=True)


@case((16,))
def w2bit(k: Kit, x: Any) -> Any:
    x = k.act(k.dense(x, 8, kernel_quantizer=k.bits(2)), "quantized_relu(2,0)")
    return k.dense(x, 5, kernel_quantizer=k.bits(3))


@case((16,))
def dense_bn(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.layers.BatchNormalization()(k.dense(x, 8))), 5)


@case((16,))
def dense_qbn(k: Kit, x: Any) -> Any:
    names = ("beta_quantizer", "gamma_quantizer", "mean_quantizer", "variance_quantizer")
    return k.dense(k.act(k.q.QBatchNormalization(**{name: k.bits(8, 2) for name in names})(k.dense(x, 8))), 5)


@case((16,))
def bn_input(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.dense(k.layers.BatchNormalization()(x), 8)), 5)


@case((16,))
def qrelu_dense_float(k: Kit, x: Any) -> Any:
    return k.layers.Dense(5)(k.act(k.layers.Dense(8)(x)))


@case((16,), table="softmax")
def softmax(k: Kit, x: Any) -> Any:
    logits = k.act(k.dense(k.act(k.dense(x, 8)), 5), "quantized_bits(12,5,alpha=1)")
    return k.layers.Activation("softmax", name="softmax")(logits)


@case((8, 8, 2), stream=True)
def cnn(k: Kit, x: Any) -> Any:
    return k.flat(k.layers.MaxPooling2D()(k.act(k.conv(x, 4, 3))))


@case((8, 8, 2), stream=True)
def cnn_bn(k: Kit, x: Any) -> Any:
    return k.flat(k.layers.MaxPooling2D()(k.act(k.layers.BatchNormalization()(k.conv(x, 4, 3)))))


@case((8, 8, 2), stream=True)
def cnn_qconvbn(k: Kit, x: Any) -> Any:
    return k.flat(k.layers.MaxPooling2D()(k.act(k.layer("QConv2DBatchnorm", 4, 3, folding_mode="ema_stats_folding")(x))))


@case((8, 8, 2))
def cnn_same_s2(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.conv(x, 4, 3, padding="same", strides=2)))


@case((16, 3), stream=True)
def conv1d(k: Kit, x: Any) -> Any:
    return k.flat(k.layers.MaxPooling1D()(k.act(k.conv(x, 4, 3))))


@case((8, 8, 3), stream=True)
def depthwise(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layer("QDepthwiseConv2D", 3)(x)))


@case((8, 8, 3))
def qdwconvbn(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layer("QDepthwiseConv2DBatchnorm", 3)(x)))


@case((8, 8, 3), stream=True)
def sepconv2d(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layer("QSeparableConv2D", 4, 3)(x)))


@case((16, 3))
def sepconv1d(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layer("QSeparableConv1D", 4, 3)(x)))


@case((16,), stream=True)
def residual(k: Kit, x: Any) -> Any:
    x = k.act(k.dense(x, 8))
    return k.dense(k.act(k.layers.Add()([x, k.act(k.dense(x, 8))])), 5)


@case((8, 8, 2))
def residual_conv(k: Kit, x: Any) -> Any:
    x = k.act(k.conv(x, 2, 3, padding="same"))
    return k.flat(k.act(k.layers.Add()([x, k.act(k.conv(x, 2, 3, padding="same"))])))


@case((8, 3), stream=True)
def deepsets_conv1d(k: Kit, x: Any) -> Any:
    x = k.act(k.conv(k.act(k.conv(x, 8, 1)), 8, 1))
    return k.dense(k.act(k.layers.GlobalAveragePooling1D()(x)), 5)


@case((10, 3))
def deepsets_gap10(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.layers.GlobalAveragePooling1D()(k.act(k.conv(x, 8, 1)))), 5)


@case((8, 3))
def deepsets_dense3d(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.layers.GlobalAveragePooling1D()(k.act(k.dense(x, 8)))), 5)


@case((8, 3))
def deepsets_td(k: Kit, x: Any) -> Any:
    shared = k.layers.TimeDistributed(k.layer("QDense", 8, keep=True))
    return k.dense(k.act(k.layers.GlobalAveragePooling1D()(k.act(shared(x)))), 5)


@case((8, 3))
def deepsets_gmax(k: Kit, x: Any) -> Any:
    return k.dense(k.layers.GlobalMaxPooling1D()(k.act(k.conv(x, 8, 1))), 5)


@case((16,))
def autoenc(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.dense(k.act(k.dense(k.act(k.dense(x, 8)), 3)), 8)), 16)


@case((8, 8, 2), stream=True)
def avgpool(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layers.AveragePooling2D()(k.act(k.conv(x, 4, 3)))))


@case((8, 8, 2))
def qavgpool(k: Kit, x: Any) -> Any:
    return k.flat(k.q.QAveragePooling2D(average_quantizer=k.bits(6))(k.act(k.conv(x, 4, 3))))


@case((8, 8, 2))
def gap2d(k: Kit, x: Any) -> Any:
    return k.dense(k.act(k.layers.GlobalAveragePooling2D()(k.act(k.conv(x, 4, 3)))), 5)


@case((16,))
def concat(k: Kit, x: Any) -> Any:
    return k.dense(k.layers.Concatenate()([k.act(k.dense(x, 8)), k.act(k.dense(x, 4), "quantized_relu(4,1)")]), 5)


@case((4, 4, 2))
def upsample(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.conv(k.layers.UpSampling2D()(x), 2, 3, padding="same")), 3)


@case((4, 4, 2))
def convtranspose(k: Kit, x: Any) -> Any:
    return k.flat(k.act(k.layer("QConv2DTranspose", 2, 3, keep=True)(x)), 3)


@case((16,))
def dropout(k: Kit, x: Any) -> Any:
    return k.dense(k.layers.Dropout(0.1)(k.act(k.dense(x, 8))), 5)


def _recurrent(kind: str, **options: Any) -> Callable[[Kit, Any], Any]:
    def build(k: Kit, x: Any) -> Any:
        quantizers = {
            "recurrent_quantizer": k.bits(),
            "state_quantizer": k.bits(8),
            "activation": k.q.quantized_tanh(8),
        }
        if kind != "QSimpleRNN":
            quantizers["recurrent_activation"] = k.q.quantized_sigmoid(8)
        return k.dense(k.layer(kind, 6, keep=True, **quantizers, **options)(x), 5)

    return build


_register("qlstm", _recurrent("QLSTM"), (8, 3))
_register("qgru", _recurrent("QGRU", reset_after=True), (8, 3))
_register("qsimplernn", _recurrent("QSimpleRNN"), (8, 3))


@case((16,))
def nested(k: Kit, x: Any) -> Any:
    inner = k.layers.Input((8,), name="inner_inputs")
    block = stack().keras.Model(inner, k.act(k.dense(inner, 6)), name="block")
    return k.dense(block(k.act(k.dense(x, 8))), 5)


@case((16,))
def shared_layer(k: Kit, x: Any) -> Any:
    layer = k.layer("QDense", 8)
    first = k.act(layer(k.act(k.dense(x, 8))))
    return k.dense(k.layers.Add()([k.act(layer(first)), first]), 5)


@case((8,), (6,))
def two_inputs(k: Kit, x: Any, y: Any) -> Any:
    return k.dense(k.act(k.layers.Concatenate()([k.act(k.dense(x, 6)), k.act(k.dense(y, 4))])), 5)


@case((16,))
def two_outputs(k: Kit, x: Any) -> Any:
    x = k.act(k.dense(x, 8))
    return [k.dense(x, 5), k.act(k.dense(x, 1), "quantized_bits(12,5,alpha=1)")]
