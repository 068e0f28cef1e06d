"""The figures say what they show: axes, units, labels, and the numbers of the report."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from qap.report import figures, style, view
from qap.report.data import Report, Tried


def pixels(figure) -> np.ndarray:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=60)
    return np.asarray(Image.open(stream).convert("RGB"))


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_front(report):
    (axes,) = figures.front(report).axes
    assert axes.get_xlabel() == "EBOPs per inference [bit operations]"
    assert axes.get_ylabel() == "Accuracy on the test split [%]"
    assert axes.get_xscale() == "log"
    assert axes.get_title(loc="left") == "synthetic, 4,000 test events"
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    np.testing.assert_allclose(line.get_xdata(orig=False), [entry.ebops for entry in report.front])
    np.testing.assert_allclose(line.get_ydata(orig=False), [100 * entry.accuracy.value for entry in report.front])
    for segment, entry in zip(bars.get_segments(), report.front, strict=True):
        np.testing.assert_allclose(segment[:, 1], [100 * entry.accuracy.low, 100 * entry.accuracy.high])
    tried = axes.collections[0].get_offsets()
    assert len(tried) + view.window(report).outside == 30
    text = " | ".join(legend(axes))
    assert "30 tried, validation split" in text
    assert f"float 16-32-16-5: {100 * report.reference.accuracy.value:.4g} %" in text
    assert "front, 12 candidates (68 % bootstrap)" in text


def test_front_holds_every_error_bar_and_counts_what_it_leaves_out(report):
    low = Tried(id="f" * 12, ebops=500.0, accuracy_validation=0.01)
    found = report.model_copy(update={"tried": (*report.tried, low)})
    window = view.window(found)
    assert window.outside == view.window(report).outside + 1
    for model in (report.reference, *report.front):
        assert window.score[0] < model.score.low <= model.score.high < window.score[1]
    assert any(f"{window.outside} outside" in text for text in legend(figures.front(found).axes[0]))


def test_roc(report):
    entry = report.front[-1]
    (axes,) = figures.roc(report, entry).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Signal efficiency", "Background efficiency")
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (1e-3, 1)
    assert len(axes.get_lines()) == 10  # five classes, candidate and float
    assert legend(axes)[0] == f"g tagger, AUC = {100 * entry.auc_per_class[0]:.1f} %"
    assert legend(axes)[5:] == [f"candidate {entry.id}, {entry.ebops:,.0f} EBOPs", "float 16-32-16-5"]
    drawn = axes.get_lines()[0]
    shown = np.array(entry.roc[0].background) > 0
    np.testing.assert_array_equal(drawn.get_ydata(), np.array(entry.roc[0].background)[shown])
    assert len({to_hex(line.get_color()) for line in axes.get_lines()}) == 5


def test_layers(report):
    panels = figures.layers(report).axes
    assert [axes.get_ylabel() for axes in panels] == ["Weight bits", "Activation bits", "Sparsity [%]"]
    assert panels[2].get_xlabel() == "EBOPs of the candidate"
    for i, name in enumerate(("fc1", "fc2", "output")):
        bars = [axes.containers[i] for axes in panels]
        assert bars[0].get_label() == name
        layers = [entry.layers[i] for entry in report.front]
        assert [bar.get_height() for bar in bars[0]] == [layer.weight.bits for layer in layers]
        activations = [0 if layer.activation is None else layer.activation.bits for layer in layers]
        assert [bar.get_height() for bar in bars[1]] == activations
        np.testing.assert_allclose([bar.get_height() for bar in bars[2]], [100 * layer.sparsity for layer in layers])


def test_regression_front(regression_report):
    (axes,) = figures.front(regression_report).axes
    assert axes.get_ylabel() == "RMSE on the test split [target units]"
    line = axes.containers[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(orig=False), [entry.rmse.value for entry in regression_report.front])


def test_saved_later_a_figure_looks_the_same(report):
    """Outside the style, with matplotlib's own settings, no font and no tick changes, and nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in (figures.front, figures.layers, lambda r: figures.roc(r, r.front[0])):
            later = pixels(draw(report))
            with style.matplotlib.style.context(style.STYLE):
                at_once = pixels(draw(report))
            np.testing.assert_array_equal(later, at_once)


def test_fonts_come_with_mplhep(report):
    from matplotlib import font_manager

    path = font_manager.findfont("TeX Gyre Heros", fallback_to_default=False)
    assert "mplhep" in path, path
    label = figures.front(report).axes[0].xaxis.label
    assert label.get_fontname() == "TeX Gyre Heros"


def test_drawing_leaves_no_settings_behind(report):
    before = dict(style.matplotlib.rcParams)
    figures.front(report)
    assert dict(style.matplotlib.rcParams) == before


def test_save_figures(report, regression_report, tmp_path):
    short = report.model_copy(update={"front": report.front[:2]})
    paths = figures.save_figures(short, tmp_path / "figures")
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == sorted(path.name for path in paths)
    stems = ["front", "layers", *(f"roc_{entry.id}" for entry in short.front)]
    stems += [f"{name}_{view.best(short).id}" for name in ("training", "distributions", "reliability", "confusion")]
    assert names == sorted(f"{stem}.{kind}" for stem in stems for kind in ("pdf", "png"))
    for path in (path for path in paths if path.suffix == ".png"):
        image = np.asarray(Image.open(path).convert("L"))
        assert min(image.shape) > 700
        assert (image < 128).mean() > 0.005  # something is drawn
    of = view.best(regression_report).id
    found = dict(figures.drawings(regression_report))
    assert list(found) == ["front", "layers", f"training_{of}", f"distributions_{of}", f"residuals_{of}"]


@pytest.mark.parametrize("score", [0.5, 0.0])
def test_a_front_of_one_candidate_without_spread(report, score):
    entry = report.front[0].model_copy(update={"accuracy": type(report.front[0].accuracy)(score, score, score)})
    one = report.model_copy(update={"front": (entry,), "tried": (), "reference": report.reference})
    assert isinstance(one, Report)
    figures.front(one)
    figures.layers(one)
