"""CPU time of AutoQKeras trials on the embedded jets; `search_speed.py` runs it in a process of its own.

    python benchmarks/autoqkeras.py --trials 3 --epochs 4

AutoQKeras 0.9 needs help with today's packages, here: KerasTuner must find Keras 2 under the name `keras`; the JSON of the
Q* layers must lose its `module`; the optimizer must be a legacy one; `tune_filters_exceptions` must be a text; TensorBoard,
which KerasTuner looks for, is left out. It does not prune, so its trials do less than those that it stands beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from typing import Any

from qap.backend import stack
from qap.config.load import load_config
from qap.datasets.load import load_dataset


def tuner() -> Any:
    """Import AutoQKeras and mend what it stumbles over."""
    sys.modules["keras"] = stack().keras
    import qkeras.utils
    from keras_tuner.src.engine.tuner import Tuner
    from qkeras.autoqkeras import AutoQKeras

    plain = qkeras.utils.quantized_model_from_json

    def without_modules(text: str, custom_objects: Any = None, compile: bool = False) -> Any:
        tree = json.loads(text)
        for layer in tree["config"]["layers"]:
            if layer["class_name"].startswith("Q"):
                layer.pop("module", None)
                layer.pop("registered_name", None)
        return plain(json.dumps(tree), custom_objects)

    qkeras.utils.quantized_model_from_json = without_modules
    Tuner._configure_tensorboard_dir = lambda self, *arguments, **options: None
    return AutoQKeras


def network(learning_rate: float) -> Any:
    """Return the float 16-64-32-32-5."""
    keras = stack().keras
    tensor = inputs = keras.layers.Input((16,), name="inputs")
    for number, units in enumerate((64, 32, 32), 1):
        tensor = keras.layers.Dense(units, name=f"fc{number}")(tensor)
        tensor = keras.layers.Activation("relu", name=f"relu{number}")(tensor)
    outputs = keras.layers.Activation("softmax", name="softmax")(keras.layers.Dense(5, name="output")(tensor))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.legacy.Adam(learning_rate), "sparse_categorical_crossentropy", metrics=["acc"])
    return model


def settings(folder: str, trials: int, model: Any) -> dict[str, Any]:
    """Return the search: 2 to 8 bits for weights and activations, layer by layer, at random."""
    choices = {
        "kernel": {f"quantized_bits({bits},0,1,alpha=1.0)": bits for bits in range(2, 9)},
        "bias": {"quantized_bits(12,2,1)": 12},
        "activation": {f"quantized_relu({bits},2)": bits for bits in range(2, 9)},
        "linear": {"quantized_bits(16,6,1)": 16},
    }
    parts = {"default": ["parameters", "activations"]}
    goal = {"delta_p": 8.0, "delta_n": 8.0, "rate": 2.0, "stress": 1.0, "input_bits": 10, "output_bits": 8, "ref_bits": 8}
    layers = [i for i, layer in enumerate(model.layers) if layer.name.startswith(("fc", "relu", "output"))]
    return {
        "output_dir": folder, "goal": {"type": "bits", "params": {**goal, "config": parts}}, "quantization_config": choices,
        "learning_rate_optimizer": False, "transfer_weights": False, "mode": "random", "seed": 42, "tune_filters": "none",
        "tune_filters_exceptions": "", "distribution_strategy": None, "layer_indexes": layers, "max_trials": trials,
        "limit": {"Dense": [8, 12, 8], "Activation": [8]},
    }  # fmt: skip


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    config = load_config(None, [])
    data = load_dataset(config.data)
    search = tuner()
    stack().keras.utils.set_random_seed(1)
    model = network(config.train.learning_rate)
    with tempfile.TemporaryDirectory() as folder:
        searched = search(model, metrics=["acc"], custom_objects={}, **settings(folder, options.trials, model))
        cpu, wall = time.process_time(), time.perf_counter()
        searched.fit(
            data.train.x, data.train.y, validation_data=(data.validation.x, data.validation.y),
            batch_size=config.train.batch, epochs=options.epochs, verbose=0,
        )  # fmt: skip
        spent = (time.process_time() - cpu) / options.trials, (time.perf_counter() - wall) / options.trials
    print(json.dumps({"trials": options.trials, "cpu_seconds": spent[0], "wall_seconds": spent[1]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
