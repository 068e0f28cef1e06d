"""Parts by the names that users and vendors give them."""

from __future__ import annotations

import pytest

from qap.cost.model import family
from qap.cost.parts import PARTS, find_part, part_named
from qap.errors import InputError


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("xcvu13p-flga2577-2-e", "xcvu13p"), ("VU9P", "xcvu9p"), ("xcu250-figd2104-2L-e", "xcu250"), ("U250", "xcu250"),
        ("zu9eg", "xczu9eg"), ("Z7020", None), ("7z020", "xc7z020"), ("xc7z007s-clg225-2", "xc7z007s"), ("xcvu13p", "xcvu13p"),
    ],
)  # fmt: skip
def test_names_of_all_spellings_are_found(name: str, found: str | None) -> None:
    if name == "Z7020":
        assert part_named(name).name == "xc7z020"  # as people say it
        return
    part = find_part(name)
    assert part is not None
    assert part.name == found


def test_unknown_parts_are_refused_with_the_nearest() -> None:
    assert find_part("xcvh1782-lsva4737-2MP-e-S") is None
    with pytest.raises(InputError, match=r"--part: expected one of .*received 'VU31P'.*did you mean 'vu37p'"):
        part_named("VU31P")


def test_shares_are_of_the_part() -> None:
    part = PARTS["xcvu13p"]
    assert part.share("LUT", 17_280) == pytest.approx(0.01)
    assert part.share("latency_cycles", 3) is None
    assert PARTS["xc7z020"].share("URAM", 1) is None


def test_every_listed_part_has_a_family() -> None:
    families = {name: family(name) for name in PARTS}
    assert None not in families.values(), families
    assert (families["xc7z020"], families["xcku115"], families["xcku15p"]) == ("7 series", "UltraScale", "UltraScale+")
    assert families["xcvu13p"] == families["xcu250"] == families["xczu9eg"] == "UltraScale+"
