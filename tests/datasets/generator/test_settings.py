"""Options as a user types them."""

from __future__ import annotations

import pytest

from qap.datasets.generator.settings import Constituents, Jets, read_settings
from qap.errors import InputError


def test_what_is_given_takes_the_place_of_the_defaults() -> None:
    found = read_settings(Constituents, ["n=300", "pileup=20", "isr=true", "constituents=16"])
    assert found == Constituents(n=300, pileup=20.0, isr=True, constituents=16)
    assert read_settings(Jets, []) == Jets()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["n=0"], "n: expected greater than or equal to 1, received 0"),
        (["n=-5"], "n: expected greater"),
        (["n=2e4"], "n: expected a valid integer, received '2e4'"),
        (["n=many"], "n: expected a valid integer, received 'many'"),
        (["n="], "n: expected a valid integer, received None"),
        (["n=1.5"], "n: expected a valid integer, received 1.5"),
        (["n=[1"], "n=[1: the value is not valid YAML"),
        (["n=2021-13-40"], "not valid YAML"),
        (["sed=1"], "unknown option sed (did you mean 'seed'?)"),
        (["constituents=8"], "unknown option constituents (known: "),
        (["seed=1", "seed=2"], "seed is given twice"),
        (["seed=-1"], "seed: expected greater"),
        (["seed=4294967296"], "seed: expected less than 4294967296"),
        (["20000"], "expected key=value such as n=20000, received '20000'"),
        (["isr=maybe"], "isr: expected a valid boolean, received 'maybe'"),
        (["pileup=.inf"], "pileup: expected"),
        (["pileup=-1"], "pileup: expected greater"),
        (["alpha_s=0.5"], "alpha_s: expected less than or equal to 0.25, received 0.5"),
        (["packed=16"], "packed: expected a valid boolean, received 16"),
        (["radius=0"], "radius: expected greater than 0"),
        (["pt_hat_max=900"], "pt_hat_max: expected more than pt_hat_min (995), received 900"),
        (["pt_hat_max=7000"], "pt_hat_max: expected at most 3000, received 7000"),
        (["pt_min=990"], "pt_min: expected at most 0.9 pt_hat_min (895.5), received 990"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(Jets, texts)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
