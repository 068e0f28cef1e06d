"""hls4ml's own dsp_aware_pruning against the granularity dsp(R), on the embedded jets with a float 16-64-32-32-5.

    python benchmarks/dsp_pruning.py [--seeds 2] [--epochs 10] [--tune 5] [--reuse 8] [--sparsity 0.5 0.75 0.9] [--json]

One float parent a seed is pruned to the same fraction of multipliers by hls4ml's `optimize_keras_model_for_hls4ml` (objective
VivadoDSPEstimator; a share of each layer, `local`, and of the whole network) and by masks of dsp(R): from magnitudes and
from first-order Taylor scores, a share of each layer, and from magnitudes with the output layer left whole (`spared`). All are
fine-tuned for the same number of epochs with Adam at the same batch size. The table has the accuracy on the test split, the
multipliers that are left, and the fraction of weights whose mask is that of dsp(R) by magnitude. That hls4ml's zeros fill whole
groups of dsp(R) is checked.

hls4ml 1.3 needs keras-tuner for the import. With the Keras 2 of tf-keras it stops where its regularizer is written down: "Cannot
serialize object SUPPORTED_STRUCTURES.PATTERN of type <enum>". Here the regularizer gives the enum's text instead, which it can
read; nothing else of hls4ml is touched. Its regularisation is fixed (tuner 'Manual', 1e-4).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from qap.backend import hls4ml, stack
from qap.compress.criteria import scores
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.granularity import Granularity, groups, mask

WIDTHS = {"fc1": 64, "fc2": 32, "fc3": 32, "output": 5}
BATCH = 1024
PRECISION = dict.fromkeys(("weight", "bias", "result"), "ap_fixed<16,6>")


def network(data: Dataset, masks: Mapping[str, np.ndarray] | None = None) -> Any:
    """Build the network, kernels held to their masks."""
    keras = stack().keras
    tensor = inputs = keras.Input((data.train.x.shape[1],))
    for name, units in WIDTHS.items():
        kept = None if masks is None else stack().tf.constant(masks[name], "float32")
        hold = None if kept is None else lambda kernel, kept=kept: kernel * kept
        last = "softmax" if name == "output" else "relu"
        tensor = keras.layers.Dense(units, activation=last, name=name, kernel_constraint=hold)(tensor)
    model = keras.Model(inputs, tensor)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    return model


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(WIDTHS["output"], dtype=np.float32)[labels]


def tuned(parent: Any, data: Dataset, masks: Mapping[str, np.ndarray], epochs: int) -> Any:
    """Fine-tune the parent with fixed masks."""
    model = network(data, masks)
    for name in WIDTHS:
        kernel, bias = parent.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel * masks[name], bias])
    model.fit(data.train.x, one_hot(data.train.y), batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def by_hls4ml(parent: Any, data: Dataset, sparsity: float, reuse: int, epochs: int, local: bool) -> Any:
    """Prune and fine-tune with hls4ml's own code."""
    keras = stack().keras
    with hls4ml() as module, tempfile.TemporaryDirectory() as folder:
        from hls4ml.optimization.dsp_aware_pruning import optimize_keras_model_for_hls4ml
        from hls4ml.optimization.dsp_aware_pruning.keras.regularizers import DenseRegularizer
        from hls4ml.optimization.dsp_aware_pruning.objectives.vivado_objectives import VivadoDSPEstimator
        from hls4ml.optimization.dsp_aware_pruning.scheduler import ConstantScheduler

        names = ("alpha", "beta", "norm", "block_shape", "pattern_offset", "consecutive_patterns")
        DenseRegularizer.get_config = lambda self: {
            "structure_type": self.structure_type.value,
            **{name: getattr(self, name) for name in names},
        }
        config = module.utils.config_from_keras_model(parent, granularity="name")
        config.update(IOType="io_parallel", Model={**config["Model"], "Strategy": "Resource"})
        for layer in config["LayerName"].values():
            layer.update(Strategy="Resource", ReuseFactor=reuse, Precision=PRECISION)
        with contextlib.redirect_stdout(io.StringIO()):
            return optimize_keras_model_for_hls4ml(
                parent, config, VivadoDSPEstimator, ConstantScheduler(sparsity, sparsity, 1.0),
                data.train.x, one_hot(data.train.y), data.validation.x, one_hot(data.validation.y),
                BATCH, epochs + 1, keras.optimizers.Adam(1e-3), keras.losses.CategoricalCrossentropy(),
                keras.metrics.CategoricalAccuracy(), True, 0.0,
                local=local, tuner="Manual", regularization_range=[1e-4], directory=folder,
            )  # fmt: skip


def describe(model: Any, data: Dataset, reuse: int, reference: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return accuracy, multipliers left and agreement with a reference; zeros must fill whole groups."""
    left, same, total = 0, 0, 0
    for name in WIDTHS:
        kernel = model.get_layer(name).get_weights()[0]
        number = groups(kernel.shape, Granularity("dsp", (reuse,)), where=name)
        live = np.bincount(number.ravel(), weights=(kernel != 0).ravel())
        cut = int(((live > 0) & (live < reuse)).sum())
        if cut:
            raise SystemExit(f"{name}: {cut} groups of dsp({reuse}) are cut in two")
        left += int((live > 0).sum())
        same += int(((kernel != 0) == reference[name]).sum())
        total += kernel.size
    right = np.argmax(model.predict(data.test.x, batch_size=8192, verbose=0), axis=1) == data.test.y
    return {"accuracy": float(right.mean()), "multipliers": left, "same": same / total}


def run(data: Dataset, seed: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Prune one parent in all ways."""
    stack().keras.utils.set_random_seed(seed)
    parent = network(data)
    parent.fit(data.train.x, one_hot(data.train.y), batch_size=BATCH, epochs=arguments.epochs, verbose=0)
    weights = parent.get_weights()
    granularity, rows = Granularity("dsp", (arguments.reuse,)), []
    importance = {kind: scores(parent, data.train, kind, task="classification") for kind in ("magnitude", "taylor")}
    for sparsity in arguments.sparsity:
        by = {
            kind: {name: mask(value, sparsity, granularity, where=name) for name, value in found.items()}
            for kind, found in importance.items()
        }
        sizes = {name: value.size for name, value in importance["magnitude"].items()}
        more = sparsity * sum(sizes.values()) / (sum(sizes.values()) - sizes["output"])
        by["spared"] = {
            name: mask(value, 0.0 if name == "output" else more, granularity, where=name)
            for name, value in importance["magnitude"].items()
        }
        for method in ("hls4ml, by layer", "hls4ml, global", "dsp, magnitude", "dsp, taylor", "dsp, spared"):
            stack().keras.utils.set_random_seed(seed)
            parent.set_weights(weights)
            if method.startswith("hls4ml"):
                found = by_hls4ml(parent, data, sparsity, arguments.reuse, arguments.tune, "layer" in method)
            else:
                found = tuned(parent, data, by[method.split()[1]], arguments.tune)
            row = {"method": method, "sparsity": sparsity, "seed": seed}
            rows.append({**row, **describe(found, data, arguments.reuse, by["magnitude"])})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--tune", type=int, default=5)
    parser.add_argument("--reuse", type=int, default=8)
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.5, 0.75, 0.9])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = load_dataset()
    rows = [row for seed in range(arguments.seeds) for row in run(data, seed, arguments)]
    print(f"\n{'method':18s} {'sparsity':>8s} {'accuracy':>18s} {'multipliers':>11s} {'same mask':>9s}")
    for sparsity in arguments.sparsity:
        for method in dict.fromkeys(row["method"] for row in rows):
            mine = [row for row in rows if (row["method"], row["sparsity"]) == (method, sparsity)]
            accuracy = [row["accuracy"] for row in mine]
            print(
                f"{method:18s} {sparsity:8.2f} {np.mean(accuracy):9.4f} ± {np.std(accuracy):.4f} "
                f"{np.mean([row['multipliers'] for row in mine]):11.1f} {np.mean([row['same'] for row in mine]):9.3f}"
            )
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
