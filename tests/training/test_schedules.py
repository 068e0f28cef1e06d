"""The line of a pruning schedule against TF-MOT's own schedule objects."""

from __future__ import annotations

import numpy as np
import pytest

from qap.backend import stack
from qap.config.load import load_config
from qap.errors import InputError
from qap.training.job import Pruning
from qap.training.schedules import pruning_steps, tfmot_schedule


@pytest.mark.parametrize("name", ["constant", "polynomial", "cosine"])
def test_masks_are_renewed_when_tfmot_says_so_and_as_sparse(name: str) -> None:
    config = load_config(None, [f"prune.schedule={name}", "prune.frequency=7", "train.batch=100", "train.epochs=6"])
    steps, sparsity = pruning_steps(config.prune, config.train, 3000, 0.75)
    assert (steps[0], steps[-1], sparsity[0]) == (0, 180, 0.0)
    pruning = Pruning.from_fractions(name, config.prune.begin, config.prune.end, 7, 180)
    tfmot, due = tfmot_schedule(pruning, 0.75), {}
    for step in range(1, 181):
        renewed, wanted = tfmot(stack().tf.constant(step))
        if bool(renewed):
            due[step] = float(wanted)
    assert list(due) == [int(step) for step in steps[1:-1]], name
    np.testing.assert_allclose(sparsity[1:-1], list(due.values()), atol=1e-6)
    assert sparsity[-1] == sparsity[-2] == pytest.approx(0.75)


def test_a_layer_may_have_a_schedule_of_its_own() -> None:
    config = load_config(None, ["prune.layers={fc1: {begin: 0.5, end: 0.9}}", "train.epochs=10", "train.batch=100"])
    common, _ = pruning_steps(config.prune, config.train, 1000, 0.5)
    own, _ = pruning_steps(config.prune, config.train, 1000, 0.5, "fc1")
    assert own[1] == 50
    assert own[1] > common[1]


def test_no_step_to_prune_in_is_refused() -> None:
    config = load_config(None, ["train.epochs=1", "train.batch=1000"])
    with pytest.raises(InputError, match="no step lies between"):
        pruning_steps(config.prune, config.train, 1000, 0.5)
