"""Random changes of good inputs, for fuzz.py: of bytes, of text, of trees (JSON, YAML), of zip archives."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

import yaml

Change = Callable[[bytes, random.Random, list[bytes]], bytes]

TOKENS = (
    b"NaN", b".nan", b"inf", b"-inf", b".inf", b"-1", b"0", b"1e999", b"-0.0", b"1e-400", b"99999999999999999999", b"4294967296",
    b"true", b"null", b"~", b"[]", b"{}", b"\x00", b"\xff\xfe", b"\xc3\x28", b"\r", b"\n", b"\t", b"\"", b"'", b"`", b"#", b": ",
    b"- ", b"!!python/object/apply:os.system ['true']", b"&a [*a, *a]", b"*a", b"<<: *a", b"../../../etc/passwd", b"$(true)",
    b"%s",
    b"</script>", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"0x10", b"1_000", b"1:30", b"2024-01-01", "½".encode(),
    "١".encode(),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.5, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 10**30, -(10**30),
    2**31, "",
    "x", "NaN", "1e999", "../../x", "$(true)", "\x00", "a" * 5000, [], {}, [[]], [None], {"x": 1}, {"": None}, [1, "a", None],
    "½",
    "quantized_bits(99,0)", "quantized_bits(4,-1)", 1e-320, "1", [[1, 2], [3]], [0] * 50, "\ud800",
)  # fmt: skip
DEPTHS = (10, 200, 5000)


def _slice(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(rng.expovariate(0.05)) + 1)


def of_bytes(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Flip, cut, repeat, splice, insert."""
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        start, stop = _slice(data, rng)
        kind = rng.randrange(8)
        if kind <= 1 and data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:start] + data[stop:]
        elif kind == 3:
            data = data[:stop] + data[start:]
        elif kind == 4:
            data = data[:start]
        elif kind == 5:
            other = rng.choice(samples)
            data = data[:start] + other[rng.randrange(len(other) + 1) :]
        elif kind == 6:
            data = data[:start] + rng.choice(TOKENS) + data[start if rng.random() < 0.5 else stop :]
        else:
            data = data[:start] + rng.randbytes(rng.randrange(1, 9)) + data[start:]
    return data


def of_text(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change numbers, words and lines."""
    text = data.decode(errors="replace")
    for _ in range(rng.choice((1, 1, 2, 5))):
        lines = text.split("\n")
        kind, at = rng.randrange(6), rng.randrange(len(lines))
        if kind <= 1:
            numbers = list(re.finditer(r"-?\d+(\.\d+)?", text))
            if numbers:
                one = rng.choice(numbers)
                new = rng.choice([*TOKENS[:17], b"7", b"12345678901234", b"1.5.5", b"-3"]).decode()
                text = text[: one.start()] + new + text[one.end() :]
            continue
        if kind == 2:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif kind == 3:
            del lines[at]
        elif kind == 4:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            words = list(re.finditer(r"\w+", text))
            if len(words) > 1:
                one, two = rng.choice(words), rng.choice(words)
                text = text[: one.start()] + two[0] + text[one.end() :]
            continue
        text = "\n".join(lines)
    return text.encode(errors="replace")


def _places(tree: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    found = [] if found is None else found
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found.append((tree, key))
        _places(value, found)
    return found


def _deep(rng: random.Random) -> Any:
    value: Any = 1
    for _ in range(rng.choice(DEPTHS[:2])):
        value = {"x": value} if rng.random() < 0.5 else [value]
    return value


def change_tree(tree: Any, rng: random.Random) -> Any:
    """Replace, delete, rename and move branches of a tree, in place."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = _places(tree)
        if not places:
            return rng.choice(VALUES)
        parent, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind <= 3:
            parent[key] = rng.choice(VALUES)
        elif kind == 4:
            del parent[key]
        elif kind == 5:
            other, there = rng.choice(places)
            parent[key] = (
                json.loads(json.dumps(other[there])) if there in other or (isinstance(other, list) and there < len(other)) else 0
            )
        elif kind == 6 and isinstance(parent, dict):
            parent[rng.choice(("", "x", "units", "name", "inputs", "../x", "é", "\n"))] = parent.pop(key)
        else:
            parent[key] = _deep(rng)
    return tree if rng.random() > 0.01 else rng.choice(VALUES)


def of_json(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change a tree in JSON; sometimes write a key twice, or nest deeply."""
    tree = change_tree(json.loads(data), rng)
    text = json.dumps(tree)
    if rng.random() < 0.05:
        text = re.sub(r'("\w+": )', lambda found: f"{found[1]}1, {found[1]}" if rng.random() < 0.2 else found[1], text)
    if rng.random() < 0.02:
        depth = rng.choice(DEPTHS) * 20
        text = text.replace("1", "[" * depth + "]" * depth, 1)
    return text.encode(errors="surrogatepass")


def of_yaml(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change a tree in YAML; sometimes write a key twice, or nest deeply."""
    tree = change_tree(yaml.safe_load(data), rng)
    text = yaml.safe_dump(tree, sort_keys=False)
    if rng.random() < 0.05:
        text += text[: rng.randrange(len(text) + 1)]
    if rng.random() < 0.02:
        text += "deep: " + "[" * rng.choice(DEPTHS)
    return text.encode(errors="surrogatepass")


def of_zip(inner: dict[str, Change], weight: float = 0.7) -> Change:
    """Return a change of an archive's members by the ends of their names; else of its bytes."""

    def change(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
        if rng.random() > weight:
            return of_bytes(data, rng, samples)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(one.filename, archive.read(one)) for one in archive.infolist()]
        at = rng.randrange(len(members))
        name, content = members[at]
        kind = rng.randrange(12)
        if kind == 0:
            del members[at]
        elif kind == 1:
            members.append((rng.choice(("../x", name, "", "x" * 300, "config.json")), content))
        elif kind == 2:
            members[at] = (rng.choice(("../x", "x", name + "y")), content)
        elif kind == 3:
            members[at] = (name, rng.choice(members)[1])
        else:
            found = next((made for end, made in inner.items() if name.endswith(end)), of_bytes)
            members[at] = (name, found(content, rng, [content]))
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for one, text in members:
                archive.writestr(one or "x", text)
        return target.getvalue()

    return change


def one_of(*changes: Change) -> Change:
    """Return a change by one of several, drawn each time."""
    return lambda data, rng, samples: rng.choice(changes)(data, rng, samples)
