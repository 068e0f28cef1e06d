"""What classifiers that know nothing of firmware reach on the embedded jets: a float network and boosted trees.

    python benchmarks/baselines.py [--data jets] [--epochs 40] [--seeds 1 2 3]

The split is the package's: 70 % training, 10 % validation, 20 % test, seed 42, each feature standardised and rounded to
ap_fixed<10,3>. The network, 16-64-32-32-5 with ReLU, is trained by qap in float32 (batches of 1024, Adam from 0.005 down a
cosine, the last epoch's weights). The trees are scikit-learn's HistGradientBoostingClassifier with early stopping on a tenth of
the training events. Errors: 68 % bootstrap intervals over the test events of the first seed's training; beside them the range of
the accuracy over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from qap.config.data import Data
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.metrics.bootstrap import Interval, bootstrap
from qap.metrics.classification import accuracy, auc, auc_per_class
from qap.models.architecture import Architecture
from qap.training.job import Failed, Job
from qap.training.keras_engine import KerasEngine, logits

HIDDEN = (64, 32, 32)
TREES = 1000
"""At most; early stopping ends before."""


def network(data: Dataset, epochs: int, seed: int) -> np.ndarray:
    """Return the float network's logits of the test split."""
    architecture = Architecture.mlp(data.train.x.shape[1], list(HIDDEN), data.outputs)
    job = Job(architecture, None, None, epochs, 1024, 5e-3, "cosine", seed)
    trained = next(iter(KerasEngine().train([job], data)))
    if isinstance(trained, Failed):
        raise SystemExit(trained.reason)
    return logits(trained.model, data.test.x)


def boosted_trees(data: Dataset, seed: int) -> np.ndarray:
    """Return the trees' probabilities of the test split."""
    trees = HistGradientBoostingClassifier(max_iter=TREES, early_stopping=True, random_state=seed)
    return trees.fit(data.train.x, data.train.y).predict_proba(data.test.x)


def _statistics(labels: np.ndarray, scores: np.ndarray) -> Iterator[Interval]:
    """Yield accuracy, macro AUC and the AUC of each class."""
    events = len(labels)
    yield bootstrap(lambda weight: accuracy(labels, scores, weight), events)
    yield bootstrap(lambda weight: auc(labels, scores, weight), events, replicas=100)
    for k in range(scores.shape[1]):
        yield bootstrap(partial(auc_of, k, labels, scores), events, replicas=100)


def auc_of(k: int, labels: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> float:
    """Return the AUC of one class."""
    return auc_per_class(labels, scores, weight)[k]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="jets", help="data.name of a study (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    data = load_dataset(Data(name=options.data))
    print(f"{data.name}: {len(data.train):,} + {len(data.validation):,} + {len(data.test):,} events\n")
    classes = [f"AUC {name}" for name in data.class_names]
    print(f"| | accuracy | seeds | macro AUC | {' | '.join(classes)} |\n|{'---|' * (len(classes) + 4)}")
    makers = {
        f"float network, {options.epochs} epochs": lambda seed: network(data, options.epochs, seed),
        "boosted trees": lambda seed: boosted_trees(data, seed),
    }
    for name, make in makers.items():
        found = [make(seed) for seed in options.seeds]
        spread = [accuracy(data.test.y, scores) for scores in found]
        first, *rest = (f"{one.value:.4f} ± {(one.high - one.low) / 2:.4f}" for one in _statistics(data.test.y, found[0]))
        print(f"| {name} | {first} | {min(spread):.4f}–{max(spread):.4f} | {' | '.join(rest)} |", flush=True)


if __name__ == "__main__":
    main()
