"""Which reports a network is like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qap.cost.scopes import FIGURES, RECIPES, kind, scope
from qap.cost.terms import terms

from .rows import layer

ONE = layer()


@pytest.mark.parametrize(
    ("layers", "strategy", "reuse", "bits", "name"),
    [
        (1, "latency", 1, 6, "one layer, latency, R = 1"),
        (1, "latency", 2, 6, ""),
        (1, "latency", 383, 6, ""),
        (1, "latency", 384, 6, "one layer, latency, R ≥ 384"),
        (1, "resource", 1, 6, "one layer, resource, R = 1"),
        (1, "resource", 64, 6, ""),
        (1, "resource", 384, 8, "one layer, resource, R ≥ 384, weights of 8 bits or more"),
        (1, "resource", 384, 7, "one layer, resource, R ≥ 384, narrower weights"),
        (3, "latency", 1, 6, "several layers, latency, R = 1 and 2"),
        (3, "latency", 2, 6, "several layers, latency, R = 1 and 2"),
        (3, "latency", 3, 6, ""),
        (3, "latency", 100, 6, "several layers, latency, R = 100"),
        (3, "resource", 1, 6, ""),
        (3, "resource", 512, 6, ""),
    ],
)
def test_names(layers: int, strategy: str, reuse: int, bits: int, name: str) -> None:
    network = replace(layer(bits=bits, strategy=strategy, reuse=reuse), layers=layers)
    assert scope(network) == name
    assert name in ("", *RECIPES)
    assert kind(network, [strategy]) == (name or kind(network, [strategy]))
    assert strategy in kind(network, [strategy])
    assert "mixed" in kind(network, ["latency", "resource"])


def test_recipes_name_known_figures_and_terms() -> None:
    known = {True: set(terms(ONE, 0.4)), False: set(terms(replace(ONE, layers=2), 0.4))}
    for name, recipes in RECIPES.items():
        assert tuple(recipes) == FIGURES
        for figure, recipe in recipes.items():
            assert set(recipe.terms) <= known[name.startswith("one")], (name, figure)
            assert recipe.fixed is None or len(recipe.fixed) == len(recipe.terms)
