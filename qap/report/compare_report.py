"""What a comparison leaves behind: compare.csv, compare.md, compare.png and .pdf, compare.html."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from qap.backend import versions
from qap.compare.store import Store
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.files import write_text
from qap.models.architecture import Architecture
from qap.report.comparison import Method, columns, markdown, methods, problems, write_compare_csv
from qap.report.comparison_figure import comparison, save_comparison


@dataclass(frozen=True)
class Written:
    """The files, and the rows that they show."""

    rows: Sequence[Method]
    csv: Path
    markdown: Path
    figure: Path
    page: Path


def notes(config: Config, data: Dataset) -> list[str]:
    """Return what a reader must know of the numbers."""
    section, train = config.compare, config.train
    simulated = "C-simulation and RTL, where there are both, equal" if config.firmware.rtl else "C-simulation equals"
    network = Architecture.of(config.model, len(data.feature_names), data.outputs)
    return [
        f"{data.name}: {len(data.train):,} training, {len(data.validation):,} validation, {len(data.test):,} test events; "
        f"{network}; weights {section.weight_bits} bits, activations {section.activation_bits} bits, sparsity "
        f"{section.sparsity:g} where rows prune and say nothing else; {train.parent_epochs} epochs of the float network and "
        f"{train.epochs} more for every row, batches of {train.batch}; {section.seeds} seeds from {config.seed}.",
        "Means over the seeds ± standard deviation, on the test split, which nothing was chosen on. "
        f"Differences to {section.against} are taken seed by seed, ± standard error of their mean.",
        f"The gate: the accuracy is at most {section.delta:g} below that of the float network of the same seed and number of "
        f"epochs. Bit-exact: seeds whose {simulated} QKeras on every test event. Zero weights and weight bits "
        "are counted on the quantized weights; structured granularities leave a smaller network, whose own weights are counted. "
        "LUT: csynth-equivalent, with the bands of docs/estimates.md; float networks and TFLite models have no firmware.",
    ]  # fmt: skip


def write_comparison(store: Store, config: Config, data: Dataset, command: str) -> Written:
    """Write everything that a comparison shows into its directory.

    Parameters
    ----------
    store : Store
    config : Config
    data : Dataset
    command : str
        The command line that makes the comparison again.
    """
    folder, lines, order, against = store.directory, store.results(), list(config.compare.methods), config.compare.against
    rows, said = methods(lines, order, against), notes(config, data)
    write_compare_csv(lines, order, folder / "compare.csv")
    text = markdown(rows, against, f"# {config.name}: compression methods", [*said, "", f"Made by `{command}`."])
    write_text(folder / "compare.md", text)
    figure, _ = save_comparison(comparison(rows, lines, data.name, len(data.test)), folder)
    environment = Environment(loader=PackageLoader("qap.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.get_template("compare.html.j2").render(
        name=config.name,
        data=data.name,
        notes=said,
        columns=columns(rows, against),
        count=len(rows),
        problems=problems(rows),
        image=base64.b64encode(figure.read_bytes()).decode(),
        command=command,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
    )
    write_text(folder / "compare.html", page)
    return Written(rows, folder / "compare.csv", folder / "compare.md", figure, folder / "compare.html")
