"""The comparison: every row with every seed, each with the same data, architecture and number of epochs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qap.candidate import Candidate
from qap.compare.entries import Row, base_plan, parse_rows, row_plan
from qap.compare.judge import Judge, Result
from qap.compare.store import Store
from qap.compress.context import Context
from qap.compress.parents import train_float
from qap.compress.pipeline import compress, outputs, parse_chain
from qap.compress.qap import check
from qap.compress.ranges import Calibration
from qap.compress.teachers import Teachers
from qap.config.schema import Study as Config
from qap.cost.model import Model
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.errors import QapError
from qap.models.architecture import OUTPUT, Architecture, layer_names
from qap.models.builders import Weights
from qap.search.context import make_context
from qap.search.estimates import named_model
from qap.training.job import Engine, Failed


@dataclass(frozen=True)
class Progress:
    """Where a comparison stands: results so far, results in all, and what happens now."""

    done: int
    total: int
    message: str


Watch = Callable[[Progress], None]


@dataclass(eq=False)
class _Seed:
    """The rows of one seed."""

    config: Config
    context: Context
    store: Store
    seed: int
    folder: Path | None
    model: Model
    trust: bool = False
    reference: Candidate | None = None

    def float_weights(self, architecture: Architecture, number: int) -> Weights:
        """Return a float network's folded weights, from the store or trained now."""
        name = f"{architecture.id}-{number}"
        found = self.store.weights(self.seed, name)
        if found is None:
            found = train_float(architecture, self.context, number).weights
            self.store.keep_weights(self.seed, name, found)
        return found

    def start(self) -> tuple[Candidate, Judge]:
        """Return what every row starts from, and its judge."""
        data, model = self.context.data, self.config.model
        architecture = Architecture.of(model, len(data.feature_names), data.outputs)
        weights = self.float_weights(architecture, 0)
        plan = base_plan(self.config, data, architecture, Calibration.of(architecture, weights, data.train.x))
        candidate = Candidate(architecture, plan, weights)
        teachers = Teachers(self.config.distill, model, data, self.float_weights, self.folder, self.trust)
        self.context = replace(self.context, teacher=teachers)
        dense = candidate.with_(plan=plan.map(lambda _, layer: replace(layer, sparsity=0.0)))  # the row `float` is this training
        reference = next(compress([dense], self.context, parse_chain(["train"])))
        if isinstance(reference, Failed):
            raise QapError(f"float network {architecture}: {reference.reason}")
        self.reference = reference
        scores = outputs(reference, data.test.x, quantized=False)
        scratch = self.store.directory / "firmware"
        return candidate, Judge(self.config, self.context, self.model, scores, scratch)

    def compressed(self, row: Row, start: Candidate) -> Candidate | Failed:
        """Send the common start through the chain of a row."""
        context = self.context
        if row.entry.criterion is not None:
            context = replace(context, prune=context.prune.model_copy(update={"criterion": row.entry.criterion}))
        candidate = start.with_(plan=row_plan(row, start.plan, self.config.compare.sparsity))
        if self.reference is not None and row.chain == parse_chain(["train"]):
            return self.reference  # the same training
        return next(compress([candidate], context, row.chain))

    def results(self, rows: Sequence[Row]) -> Iterator[tuple[Result, float]]:
        """Yield the results of rows, a few at a time, whose firmware is built side by side."""
        candidate, judge = self.start()
        cores = os.cpu_count() or 1
        for some in (rows[first : first + cores] for first in range(0, len(rows), cores)):
            ready: list[tuple[Row, Candidate]] = []
            began = time.perf_counter()
            for row in some:
                found = self.compressed(row, candidate)
                if isinstance(found, Failed):
                    yield Result(row, None, {}, f"refused: {found.reason}"), 0.0
                else:
                    ready.append((row, found))
            judged = judge.judge(ready)
            shutil.rmtree(judge.folder, ignore_errors=True)
            seconds = (time.perf_counter() - began) / max(len(ready), 1)
            yield from ((one, seconds) for one in judged)


def run_compare(
    config: Config,
    output: Path | str,
    *,
    resume: bool = False,
    folder: Path | None = None,
    watch: Watch = lambda progress: None,
    data: Dataset | None = None,
    engine: Engine | None = None,
    trust: bool = False,
) -> Store:
    """Compare the methods of the section `compare`.

    Every row of a seed starts from the same float network, trained ``train.parent_epochs`` long, and has ``train.epochs``
    more; the float network that accuracies are measured against has as many. Quantized networks are rebuilt as QKeras
    models, converted and C-simulated on the whole test split, which nothing was chosen on.

    Parameters
    ----------
    config : Config
    output : path
        Directory of the comparison.
    resume : bool, default False
        Go on in that directory; results that are there stay.
    folder : path, optional
        Where relative names in the configuration start.
    watch : callable, optional
        Told of the progress.
    data : Dataset, optional
        Instead of loading ``config.data``.
    engine : Engine, optional
        Instead of the one that ``train.engine`` names: a population engine that is kept need not compile again.
    trust : bool, default False
        Let the model files that the configuration names run what code they hold.

    Returns
    -------
    Store
        With a line for each row and seed.

    Raises
    ------
    InputError
        Rows, settings or data that do not fit together.
    QapError
        A float network diverged, or a build failed.
    KeyboardInterrupt
        Ctrl-C; what is judged is stored.
    """
    rows = parse_rows(config)
    data = data or load_dataset(config.data, folder, trust=trust)
    model = named_model(config, folder)
    hidden = [*layer_names(config.model), OUTPUT]
    context = make_context(config, data, folder)
    context = replace(context, engine=engine or context.engine)
    check(context, hidden)
    contexts = [replace(context, seed=config.seed + number) for number in range(config.compare.seeds)]
    store = Store.open(Path(output), config, resume=resume)
    done = {(line["method"], line["seed"]) for line in store.results()}
    total = len(rows) * len(contexts)
    for context in contexts:
        left = [row for row in rows if (row.name, context.seed) not in done]
        if not left:
            continue
        watch(Progress(len(done), total, f"seed {context.seed}: float network"))
        for result, seconds in _Seed(config, context, store, context.seed, folder, model, trust).results(left):
            store.add(result, context.seed, seconds)
            done.add((result.row.name, context.seed))
            watch(Progress(len(done), total, f"seed {context.seed}: {result.row.name}"))
    return store
