"""What each choice of the generator's recipe does to the jets: classes told apart, spectra, mass peaks; a table and a figure.

    python benchmarks/jet_recipes.py --folder build/recipes [--n 3000] [--processes 2] [--figure docs/figures/jet_recipes.png]

One file of jets per recipe is made in the folder, or taken from there if it was made before with the same options. Boosted trees
(scikit-learn's HistGradientBoostingClassifier, default settings, the 16 observables) are tested by five-fold cross-validation:
each jet is judged by trees that have not seen it. The published jets are not read: the last line of the table repeats what is
known of them.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from baselines import auc_of
from matplotlib.axes import Axes
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from qap.datasets.generator.build import build
from qap.datasets.generator.jets import CLASSES
from qap.datasets.generator.kinds import OBSERVABLES
from qap.datasets.generator.settings import Jets, read_settings
from qap.files import write_bytes
from qap.metrics.bootstrap import bootstrap
from qap.metrics.classification import accuracy, auc_per_class
from qap.report.style import DPI, styled_figure
from qap.report.view import PALETTE

RECIPES = {
    "default": "",
    "shower from 300 GeV": "shower_scale=300",
    "shower from 1 TeV": "shower_scale=1000",
    "ISR": "isr=true",
    "MPI": "mpi=true",
    "R = 0.4": "radius=0.4",
    "R = 0.4, ISR": "radius=0.4 isr=true",
    "as described": "shower_scale=1000 isr=true mpi=true",
    "as described, R = 0.4": "shower_scale=1000 isr=true mpi=true radius=0.4",
    "shower from 1 TeV, αs = 0.118": "shower_scale=1000 alpha_s=0.118",
    "αs = 0.118": "alpha_s=0.118",
    "R = 0.4, ISR, αs = 0.118": "radius=0.4 isr=true alpha_s=0.118",
    "Breit-Wigner": "on_shell=false",
    "pT-hat 900 to 1600": "pt_hat_min=900 pt_hat_max=1600",
    "no detector": "detector=false",
}
"""Name → options. "as described": initial-state radiation, underlying event, a shower that starts at the hard process's pT."""
DRAWN = ("default", "R = 0.4, ISR, αs = 0.118", "as described")
PUBLISHED = "published | .756–.77 (networks) | .94 .90 .95 .945 .96 | – / – / 1500–2500 | – | – | – | another | as of R = 0.4"
LOW_MASS = 7.0
END_POINT = 0.995
HEAD = (
    "| recipe | accuracy | AUC g q w z t | jet pT 50 % / 99 % / largest [GeV] | W peak [GeV] | Z peak [GeV] | t peak [GeV] | "
    f"mass < {LOW_MASS:g} GeV, q / g | c1_b1 of g, 99.5 % |"
)
AXES = {
    "jet pT [GeV]": np.linspace(500, 1700, 31),
    "mass_mmdt [GeV]": np.linspace(0, 250, 51),
    "multiplicity": np.linspace(0, 200, 41),
    "c1_b1_mmdt": np.linspace(0, 0.2, 41),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """Jets of one recipe.

    Parameters
    ----------
    features : (jets, 16) array
    labels : (jets,) array
    pt : (jets,) array
        GeV.
    """

    features: np.ndarray
    labels: np.ndarray
    pt: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """Return one observable, or the jets' pT."""
        return self.pt if name.startswith("jet pT") else self.features[:, OBSERVABLES.index(name.split(" ")[0])]

    def of(self, kind: str, name: str) -> np.ndarray:
        """Return one observable of one class."""
        return self.column(name)[self.labels == CLASSES.index(kind)]


def make(options: str, n: int, folder: Path, processes: int) -> Sample:
    """Return the jets of a recipe, from its file if there is one."""
    settings = read_settings(Jets, [f"n={n}", *options.split()])
    path = folder / f"{'_'.join(options.replace('=', '').split()) or 'default'}.npz"
    build("jets", settings, path, processes=processes)
    with np.load(path) as file:
        return Sample(file["features"], file["labels"], file["jet_pt"])


def scores(sample: Sample) -> np.ndarray:
    """Return probabilities of the boosted trees, each jet's by trees that have not seen it."""
    folds = StratifiedKFold(5, shuffle=True, random_state=42)
    trees = HistGradientBoostingClassifier(random_state=1)
    return cross_val_predict(trees, sample.features, sample.labels, cv=folds, method="predict_proba")


def peak(mass: np.ndarray) -> tuple[float, float]:
    """Return middle and width of the shortest interval that holds half of the jets, in GeV."""
    ordered = np.sort(mass)
    half = len(ordered) // 2
    widths = ordered[half:] - ordered[: len(ordered) - half]
    first = int(np.argmin(widths))
    return float(ordered[first] + widths[first] / 2), float(widths[first])


def row(name: str, sample: Sample, found: np.ndarray) -> str:
    """Return a line of the table."""
    right = accuracy(sample.labels, found)
    error = np.sqrt(right * (1 - right) / len(found))
    peaks = (peak(sample.of(kind, "mass_mmdt")) for kind in "wzt")
    low = (f"{np.mean(sample.of(kind, 'mass_mmdt') < LOW_MASS):.3f}" for kind in "qg")
    cells = (
        name,
        f"{right:.3f} ± {error:.3f}",
        " ".join(f"{value:.3f}".removeprefix("0") for value in auc_per_class(sample.labels, found)),
        " / ".join(f"{value:.0f}" for value in (*np.quantile(sample.pt, (0.5, 0.99)), sample.pt.max())),
        *(f"{middle:.1f}, width {width:.1f}" for middle, width in peaks),
        " / ".join(low),
        f"{np.quantile(sample.of('g', 'c1_b1_mmdt'), END_POINT):.3f}",
    )
    return f"| {' | '.join(cells)} |"


def largest_error(sample: Sample, found: np.ndarray) -> float:
    """Return the largest statistical error of the classes' AUC."""
    errors = []
    for k in range(len(CLASSES)):
        interval = bootstrap(partial(auc_of, k, sample.labels, found), len(found), replicas=50)
        errors.append((interval.high - interval.low) / 2)
    return max(errors)


def draw(samples: Mapping[str, Sample], path: Path) -> None:
    """Draw four observables by class, one row of panels per recipe."""
    with styled_figure(15, 3.4 * len(samples) + 0.6) as figure:
        panels = figure.subplots(len(samples), len(AXES), sharex="col", squeeze=False)
        for line, (name, sample) in zip(panels, samples.items(), strict=True):
            for axes, (label, edges) in zip(line, AXES.items(), strict=True):
                _panel(axes, sample, label, edges)
            line[0].set_ylabel("fraction of the class per bin")
            line[0].set_title(f"pythia-jets, {name}, {len(sample.labels):,} jets", pad=6)
        for axes, label in zip(panels[-1], AXES, strict=True):
            axes.set_xlabel(label)
        panels[0][1].legend(ncols=1, handlelength=1.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    write_bytes(path, buffer.getvalue())


def _panel(axes: Axes, sample: Sample, label: str, edges: np.ndarray) -> None:
    for kind, colour in zip(CLASSES, PALETTE, strict=False):
        values = sample.of(kind, label)
        share = np.histogram(values, edges)[0] / len(values)
        axes.stairs(share, edges, color=colour, linewidth=1.6, label=kind)
    if label.startswith("jet pT"):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(edges[0], edges[-1])


def main() -> None:
    """Make the jets, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the files of jets")
    parser.add_argument("--n", type=int, default=3000, help="jets of each recipe (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--figure", type=Path, help="where the figure goes, .png")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    samples = {name: make(text, options.n, options.folder, options.processes) for name, text in RECIPES.items()}
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}")
    for name, sample in samples.items():
        found = scores(sample)
        print(row(name, sample, found), flush=True)
        if name == "default":
            error = largest_error(sample, found)
    print(f"| {PUBLISHED} |\n\nStatistical error of an AUC: at most {error:.3f}.")
    if options.figure:
        draw({name: samples[name] for name in DRAWN}, options.figure)


if __name__ == "__main__":
    main()
