"""Cuts: against NumPy, and what is no cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.datasets.cut import parse_cut
from qap.errors import InputError

GENERATOR = np.random.default_rng(0)
PT, ETA = GENERATOR.exponential(50, 200), GENERATOR.normal(0, 2, 200)
N = GENERATOR.integers(-128, 127, 200).astype(np.int8)
GOOD = GENERATOR.random(200) < 0.5
KIND = np.array(["ee", "mm"])[GENERATOR.integers(0, 2, 200)]
COLUMNS = {
    "pt": PT, "eta": ETA, "n": N, "good": GOOD, "kind": KIND, "j.pt": PT, "jets[0]": PT, "jets[1][2]": ETA, "m/GeV": PT,
}  # fmt: skip


def kept(text: str) -> np.ndarray:
    """Evaluate a cut; columns that are not there are transverse momenta."""
    cut = parse_cut(text)
    return cut({name: COLUMNS.get(name, PT) for name in cut.names})


RIGHT = [
    ("pt > 20 & abs(eta) < 2.4", (PT > 20) & (np.abs(ETA) < 2.4)),
    ("pt > 20 && abs(eta) < 2.4", (PT > 20) & (np.abs(ETA) < 2.4)),
    ("pt<20|eta>1&good", (PT < 20) | ((ETA > 1) & GOOD)),
    ("(pt<20 || eta>1) and not good", ((PT < 20) | (ETA > 1)) & ~GOOD),
    ("!good & ~(pt < 20)", ~GOOD & ~(PT < 20)),
    ("20 < pt < 50", (PT > 20) & (PT < 50)),
    ("n * 100 > 300", N.astype(int) * 100 > 300),
    ("n != 3 & n >= -n", (N != 3) & (-N.astype(int) <= N)),
    ("kind == 'ee' | kind != \"a & b\" & good", (KIND == "ee") | GOOD),
    ("sqrt(pt**2 + eta**2) / 2 - 1 > 5 % 3", np.hypot(PT, ETA) / 2 - 1 > 2),
    ("max(pt, 10 * abs(eta)) > hypot(pt, 20)", np.maximum(PT, 10 * np.abs(ETA)) > np.hypot(PT, 20)),
    ("log(eta) > 0 & isfinite(log(eta))", ETA > 1),
    ("j.pt > 30 & jets[0] > 30 & jets[1][2] < 1 & `m/GeV` > 1e1", (PT > 30) & (ETA < 1)),
    ("good", GOOD),
    ("good == True", GOOD),
    ("1 / (n - n) < 0 | pt > 3", PT > 3),
]


@pytest.mark.parametrize(("text", "expected"), RIGHT, ids=[text for text, _ in RIGHT])
def test_cuts_agree_with_numpy(text: str, expected: np.ndarray) -> None:
    found = kept(text)
    assert found.dtype == bool
    assert (found == expected).all(), f"{(found != expected).sum()} of {len(found)} differ"


WRONG = [
    ("pt >", "not a cut: invalid syntax"),
    ("", "not a cut"),
    ("1 < 2", "names no column"),
    ("pt", "the cut as a whole is no condition"),
    ("pt + 1", "the cut as a whole is no condition"),
    ("n & good", "a side of & is no condition: .* write flag != 0"),
    ("~n", "what ~ stands before is no condition"),
    ("__import__('os').system('x') == 0", "Call is not allowed"),
    ("pt.__class__.mro() == 1", "Call is not allowed"),
    ("open('x') == 1", "unknown function 'open'"),
    ("sqr(pt) > 2", r"unknown function 'sqr' \(did you mean 'sqrt'\?\)"),
    ("hypot(pt) > 2", "hypot takes 2 arguments"),
    ("abs(pt, out=eta) > 2", "abs takes 1 argument"),
    ("[p for p in pt] == 1", "ListComp is not allowed"),
    ("(lambda: pt)() == 1", "Call is not allowed"),
    ("pt if good else eta", "IfExp is not allowed"),
    ("(p := pt) > 2", "NamedExpr is not allowed"),
    ("pt ^ 2 > 3", "BinOp is not allowed"),
    ("pt << 9 > 3", "BinOp is not allowed"),
    ("pt @ eta > 3", "BinOp is not allowed"),
    ("pt is eta", "Compare is not allowed"),
    ("jets[-1] > 2", "Subscript is not allowed"),
    ("jets[0:2] > 2", "Subscript is not allowed"),
    ("f'{pt}' == 'x'", "JoinedStr is not allowed"),
    ("pt > 1j", "Constant is not allowed"),
    ("pt = 3", "not a cut"),
    ("kind > 'a'", "text can only be compared with text, by == or !="),
    ("kind == 3", "text can only be compared with text"),
    ("abs(kind) > 3", "text can only be compared"),
    ("kind + 'x' == 'eex'", "text can only be compared"),
    ("-kind == 'x'", "text can only be compared"),
    ("pt > 99999999999999999999", r"above 2\^53"),
    ("(" * 500 + "pt" + ")" * 500 + " > 1", "not a cut"),
    ("pt > 1" + " & pt > 1" * 1000, "at most 4000 characters"),
    ("pt > 1\0", "not a cut"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_what_is_no_cut_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"data.cut: .*{message}|data.cut: expected {message}") as caught:
        kept(text)
    assert "\n" not in str(caught.value)


def test_integers_that_float64_does_not_hold_are_refused() -> None:
    events = np.array([2**53 + 1, 5])
    with pytest.raises(InputError, match=r"column 'event' has integers above 2\^53"):
        parse_cut("event > 3")({"event": events})


@given(st.text("ptgood0123456789.<>=!&|~()[]'`+-*/% ,xe", max_size=30))
def test_any_text_is_a_cut_or_is_refused_in_words(text: str) -> None:
    try:
        found = kept(text)
    except InputError:
        return
    assert found.shape == PT.shape
    assert found.dtype == bool
