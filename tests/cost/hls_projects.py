"""hls4ml projects for the tests: real conversions, and miniatures in the formats of old versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import hls4ml, stack


def convert_plain(
    directory: Path,
    layers: list[Any],
    shape: tuple[int, ...],
    *,
    backend: str = "Vitis",
    io_type: str = "io_parallel",
    strategy: str = "Latency",
    reuse: int = 1,
    precision: str = "ap_fixed<12,5>",
    zeros: float = 0.4,
) -> Any:
    """Convert a Keras model with random weights, a part of them zero, through hls4ml alone; return the model."""
    keras = stack().keras
    model = keras.Sequential([keras.layers.Input(shape), *layers])
    rng = np.random.default_rng(3)
    for layer in model.layers:
        weights = []
        for weight in layer.get_weights():
            values = rng.normal(size=weight.shape) * 0.5
            values[rng.random(weight.shape) < (zeros if weight.ndim > 1 else 0.0)] = 0
            weights.append(np.abs(values) if layer.__class__.__name__ == "BatchNormalization" else values)
        layer.set_weights(weights)
    with hls4ml() as module:
        config = module.utils.config_from_keras_model(
            model, granularity="name", backend=backend, default_precision=precision, default_reuse_factor=reuse
        )
        for layer in config["LayerName"].values():
            layer.update(Strategy=strategy, ReuseFactor=reuse)
        module.converters.convert_from_keras_model(
            model, hls_config=config, backend=backend, io_type=io_type, output_dir=str(directory), part="xcku115-flvb2104-2-i"
        ).write()
    return model


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Write files by their names under a directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def numbers(values: np.ndarray) -> str:
    """Return an initialiser."""
    return "{" + ", ".join(repr(float(value)) for value in values.ravel()) + "}"


OLDEST_UTILITIES = """
#ifndef NNET_LAYER_H_
#define NNET_LAYER_H_
namespace nnet {
enum io_type { io_parallel = 0, io_serial };
struct layer_config { typedef float bias_t; typedef float weight_t; typedef float accum_t; };
struct activ_config { static const unsigned n_in = 10; };
template <class data_T, class res_T, typename CONFIG_T>
void compute_layer(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_out],
                   typename CONFIG_T::weight_t weights[CONFIG_T::n_in][CONFIG_T::n_out],
                   typename CONFIG_T::bias_t biases[CONFIG_T::n_out]) {
    typename CONFIG_T::accum_t acc[CONFIG_T::n_out];
    for (int j = 0; j < CONFIG_T::n_out; j++) acc[j] = biases[j];
    for (int i = 0; i < CONFIG_T::n_in; i++)
        for (int j = 0; j < CONFIG_T::n_out; j++) acc[j] += data[i] * weights[i][j];
    for (int j = 0; j < CONFIG_T::n_out; j++) res[j] = (res_T)acc[j];
}
template <class data_T, class res_T, typename CONFIG_T>
void relu(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in]) {
    for (int i = 0; i < CONFIG_T::n_in; i++) {
        if (data[i] > 0) res[i] = data[i];
        else res[i] = 0;
    }
}
}
#endif
"""


def oldest(directory: Path, first: np.ndarray, bias: np.ndarray, second: np.ndarray) -> Path:
    """Write a project as hls4ml did in 2018: macros, layer_config, compute_layer, weights as two-dimensional arrays."""
    n, hidden, outputs = *first.shape, second.shape[1]
    parameters = f"""
#ifndef PARAMETERS_H_
#define PARAMETERS_H_
#include <complex>
#include "ap_int.h"
#include "ap_fixed.h"
#include "nnet_utils/nnet_layer.h"
#include "nnet_utils/nnet_common.h"
//hls-fpga-machine-learning insert numbers
typedef ap_fixed<18,8> accum_default_t;
typedef ap_fixed<8,2> weight_default_t;
//typedef float bias_default_t;
typedef ap_fixed<8,2> bias_default_t;
typedef ap_fixed<10,4> input_t;
typedef ap_fixed<18,8> result_t;
#define N_INPUTS {n}
#define N_LAYER_1 {hidden}
#define N_OUTPUTS {outputs}
//hls-fpga-machine-learning insert layer-precision
typedef ap_fixed<9,3> layer1_t;
//hls-fpga-machine-learning insert layer-config
struct config1 : nnet::layer_config {{
        static const unsigned n_in = N_INPUTS;
        static const unsigned n_out = N_LAYER_1;
        static const unsigned io_type = nnet::io_parallel;
        static const unsigned reuse_factor = 1;
        typedef accum_default_t accum_t;
        typedef bias_default_t bias_t;
        typedef weight_default_t weight_t;
        }};
struct relu_config1 : nnet::activ_config {{
        static const unsigned n_in = N_LAYER_1;
        }};
struct config2 : nnet::layer_config {{
        static const unsigned n_in = N_LAYER_1;
        static const unsigned n_out = N_OUTPUTS;
        static const unsigned reuse_factor = 1;
        typedef accum_default_t accum_t;
        typedef bias_default_t bias_t;
        typedef weight_default_t weight_t;
        }};
#endif
"""
    source = """
#include "parameters.h"
#include "myproject.h"
#include "weights/w1.h"
#include "weights/b1.h"
#include "weights/w2.h"
#include "weights/b2.h"
void myproject(
          input_t data[N_INPUTS],
          result_t res[N_OUTPUTS],
          unsigned short &const_size_in)
{
    const_size_in = N_INPUTS;
    layer1_t layer1_out[N_LAYER_1];
    layer1_t logits1[N_LAYER_1];
    nnet::compute_layer<input_t, layer1_t, config1>(data, logits1, w1, b1);
    nnet::relu<layer1_t, layer1_t, relu_config1>(logits1, layer1_out);
    nnet::compute_layer<layer1_t, result_t, config2>(layer1_out, res, w2, b2);
}
"""
    arrays = {
        f"firmware/weights/{name}.h": f"//Numpy array shape {values.shape}\n//Min 0\n{kind} {name}"
        f"{''.join(f'[{size}]' for size in values.shape)} = {numbers(values)};\n"
        for name, kind, values in (
            ("w1", "weight_default_t", first), ("b1", "bias_default_t", bias), ("w2", "weight_default_t", second),
            ("b2", "bias_default_t", np.zeros(outputs)),
        )
    }  # fmt: skip
    return write(
        directory,
        {
            "firmware/parameters.h": parameters,
            "firmware/myproject.cpp": source,
            "firmware/myproject.h": '#include "ap_fixed.h"\n#include "parameters.h"\n'
            "void myproject(input_t data[N_INPUTS], result_t res[N_OUTPUTS], unsigned short &const_size_in);\n",
            "firmware/nnet_utils/nnet_layer.h": OLDEST_UTILITIES,
            "firmware/nnet_utils/nnet_common.h": "#pragma once\n",
            "build_prj.tcl": "open_project -reset myproject_prj\nset_top myproject\nset_part {xcku115-flvf1924-2-i}\n"
            "create_clock -period 4.5 -name default\n#config_op mul -impl fabric\nconfig_op mul -impl dsp\n",
            **arrays,
        },
    )
