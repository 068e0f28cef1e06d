"""Float networks to start from and to learn from."""

from __future__ import annotations

from qap.compress.context import Context, candidate_seed
from qap.errors import QapError
from qap.models.architecture import Architecture
from qap.training.job import Failed, Job, Trained


def train_float(architecture: Architecture, context: Context, number: int = 0) -> Trained:
    """Train a float network from Keras's initialisation, ``train.parent_epochs`` long.

    Parameters
    ----------
    architecture : Architecture
    context : Context
    number : int, default 0
        Networks of other numbers have other seeds; 0 is the parent that candidates start from.

    Raises
    ------
    QapError
        The loss was not finite.
    """
    train = context.train
    name = f"parent {architecture.id}" + (f"/{number}" if number else "")
    job = Job(
        architecture, None, None, train.parent_epochs, train.batch, train.learning_rate, train.decay,
        candidate_seed(context.seed, name), builder=context.builder,
    )  # fmt: skip
    trained = next(iter(context.engine.train([job], context.data)))
    if isinstance(trained, Failed):
        raise QapError(f"float network {architecture}: {trained.reason}")
    return trained
