"""The documentation holds what it says: links, commands, keys, names, terms, figures, and the site is built without a warning."""

from __future__ import annotations

import argparse
import doctest
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

import qap
from qap.__main__ import VERBS
from qap.commands.options import Parser
from qap.compress.pipeline import DISTILL, METHODS
from qap.config.load import dump_config, load_config
from qap.config.schema import Study

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "firmware/README.md")
PAGES = sorted([*DOCS.glob("*.md"), *(ROOT / name for name in OUTSIDE)])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)!?\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FILES = (".json", ".html", ".csv", ".md", ".png", ".pdf", ".npz", ".yaml", ".yml", ".txt", ".py", ".cpp", ".h", ".tcl", ".keras")
KNOWN = {  # names of authors, journals, particles, units, programs and words of code that are written in capitals
    "AMD", "API", "ARM", "CI", "CPU", "DELIVERY", "DIR", "GB", "GPL", "GPU", "GeV", "GitHub", "HTCondor",
    "HistGradientBoostingClassifier", "ID", "IEEE", "ISO", "ISSCC", "JavaScript", "JetNet", "LHC", "LeCun", "MB", "MHz",
    "MIT", "MNIST", "NAME", "NPUs", "NaN", "NumPy", "PATH", "PATTERN", "PDF", "PNG", "PROJECT", "README", "SHA", "STAGE", "SVHN",
    "SUPPORTED_STRUCTURES", "SciPost", "SciPy", "TeV", "URL", "UTC", "UltraScale", "WW", "ZZ",
}  # fmt: skip


MISSPELT = "search.trails"
"""In the example of an error message."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _prose(text: str) -> str:
    """Return the text without code."""
    text = re.sub(r"^ {4,}.*$", "", FENCE.sub("", text), flags=re.MULTILINE)
    return INLINE.sub("", text)


def _anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for line in FENCE.sub("", path.read_text()).splitlines():
        if (heading := re.match(r"#+ (.*)", line)) is not None:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            base = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(base if base not in found else next(f"{base}-{n}" for n in range(1, 99) if f"{base}-{n}" not in found))
    return found


def _dead(links: Iterator[str], folder: Path, own: Path | None) -> list[str]:
    """Return the links that lead nowhere."""
    dead = []
    for link in links:
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        path = (folder / file).resolve() if file else own
        if path is None or not path.exists() or (anchor and path.suffix == ".md" and anchor not in _anchors(path)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    links = (match[1] for match in LINK.finditer(FENCE.sub("", path.read_text())))
    assert not _dead(links, path.parent, path)


def test_every_link_of_a_notebook_leads_somewhere() -> None:
    for path in NOTEBOOKS:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"]
        links = (match[1] for cell in cells for match in LINK.finditer("".join(cell["source"])))
        assert not _dead(links, path.parent, None), path.name
        assert f"(../notebooks/{path.name})" in (DOCS / "start.md").read_text(), f"{path.name} is not in the list of notebooks"


def test_a_dead_link_is_found() -> None:
    links = ["start.md", "start.md#install", "start.md#nowhere", "nowhere.md", "https://example.org/", "../README.md"]
    assert _dead(iter(links), DOCS, None) == ["start.md#nowhere", "nowhere.md"]


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_lists_begin_behind_an_empty_line(path: Path) -> None:
    """GitHub sees a list without one, the site does not."""
    item = re.compile(r"(?:[-*]|\d+\.) ")
    for paragraph in re.split(r"\n\s*\n", FENCE.sub("", path.read_text())):
        lines = paragraph.strip("\n").splitlines()
        if lines and not item.match(lines[0].lstrip()) and not lines[0].startswith(("|", "    ")):
            assert not [line for line in lines if item.match(line)], path.name


def _sections(hint: Any) -> list[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [hint]
    return [section for argument in get_args(hint) for section in _sections(argument)]


def _is_key(parts: list[str], model: type[BaseModel] = Study) -> bool:
    """Tell whether a path of keys exists in the study file."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if parts[0] not in fields:
        return False
    hint, rest = fields[parts[0]].annotation, parts[1:]
    if not rest:
        return True
    free = hint is dict or any(getattr(one, "__origin__", None) is dict for one in (hint, *get_args(hint)))
    inner = _sections(hint)
    if not inner:
        return free and len(rest) == 1
    return (_is_key(rest[1:], inner[0]) if rest[1:] else True) if free else _is_key(rest, inner[0])


def _keys(text: str) -> Iterator[str]:
    """Yield what a page gives as keys of a study file: settings in commands, names in prose, keys of YAML blocks."""
    for word in re.findall(r"(?<![\w./-])([a-z_]+(?:\.\w+)+)=", text):
        if word.split(".")[0] in Study.model_fields and "(" not in word:
            yield word
    for code in INLINE.findall(FENCE.sub("", text)):
        name = code.split(":")[0].split("=")[0]
        if re.fullmatch(r"[a-z_]+(\.\w+)+", name) and name.split(".")[0] in Study.model_fields and not name.endswith(FILES):
            yield name
    for kind, block in FENCE.findall(text):
        tree = yaml.safe_load(block) if kind == "yaml" else None
        if isinstance(tree, dict) and set(tree) <= set(Study.model_fields):
            for section, keys in tree.items():
                yield from (f"{section}.{key}" for key in keys) if isinstance(keys, dict) else [section]


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_key_that_a_page_names_exists(path: Path) -> None:
    assert not [key for key in _keys(path.read_text()) if key != MISSPELT and not _is_key(key.split("."))]


def test_a_key_that_does_not_exist_is_found() -> None:
    text = "`search.trails` `data.csv`\n```sh\nqap search a.yaml search.space.layers.fc1.weight_bits=3 model.wide=1\n```"
    assert [key for key in _keys(text) if not _is_key(key.split("."))] == ["model.wide", MISSPELT]


def _parsers() -> dict[str, Parser]:
    found = {}
    for verb in VERBS:
        found[verb] = Parser(prog=verb)
        importlib.import_module(f"qap.commands.{verb}").add_arguments(found[verb])
    return found


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a verb and of its own verbs."""
    inner = [one for action in parser._actions if isinstance(action.choices, dict) for one in action.choices.values()]
    return {*parser._option_string_actions, *(option for one in inner for option in _options(one))}


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each `qap …` command of a page."""
    blocks = [block for kind, block in FENCE.findall(text) if kind in ("", "sh")]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *INLINE.findall(FENCE.sub("", text))]:
        for piece in re.split(r" (?:&&|\|) ", line.removeprefix("$ ")):
            found = re.match(r"(?:python -m )?qap (\w+(?!\w*:).*)", piece.strip())
            if found is not None:
                yield shlex.split(re.split(r"\s+#|\s{4,}", found[1])[0])


def test_every_command_of_the_pages_has_a_verb_and_options_that_exist() -> None:
    parsers, wrong, seen = _parsers(), [], 0
    for path in PAGES:
        for words in _commands(path.read_text()):
            verb, seen = words[0], seen + 1
            if verb in ("VERB", "--help"):
                continue
            options = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
            known = _options(parsers[verb]) if verb in parsers else set()
            if verb not in parsers or set(options) - known:
                wrong.append(f"{_name(path)}: qap {' '.join(words)}")
    assert not wrong
    assert seen > 60, "commands of the pages are no longer found"


def test_the_settings_of_the_commands_have_values_that_a_study_takes() -> None:
    seen = 0
    for path in PAGES:
        for verb, *words in _commands(path.read_text()):
            settings = [word for word in words if re.match(r"[a-z_]+\.[\w.]+=", word)]
            if verb in ("search", "train", "compare", "firmware") and settings and f"{MISSPELT}=50" not in settings:
                load_config(None, settings)
                seen += len(settings)
    assert seen > 12, "settings in the commands of the pages are no longer found"


def test_every_verb_is_in_the_list_of_verbs() -> None:
    text = (DOCS / "commands.md").read_text()
    assert not [verb for verb in VERBS if not re.search(rf"^\| `{verb}[ `]", text, re.MULTILINE)]


def _exists(name: str) -> bool:
    """Tell whether a dotted name of the package leads to a module or to something in one."""
    found: Any = qap
    for number, part in enumerate(name.split(".")[1:], 2):
        if hasattr(found, part) or part in getattr(found, "__dataclass_fields__", {}):
            found = getattr(found, part, None)
            continue
        try:
            found = importlib.import_module(".".join(name.split(".")[:number]))
        except ModuleNotFoundError:
            return False
    return True


def test_every_name_of_the_package_in_the_pages_exists() -> None:
    names = set()
    for path in PAGES:
        text = path.read_text()
        code = [block for kind, block in FENCE.findall(text) if kind == "python"] + INLINE.findall(FENCE.sub("", text))
        names |= {found for piece in code for found in re.findall(r"(?<![\w/.-])qap(?:\.[A-Za-z_]\w*)+(?![\w/])", piece)}
    names = {name for name in names if not name.endswith(FILES)}
    assert len(names) > 30
    assert not [name for name in sorted(names) if not _exists(name)]
    assert not _exists("qap.no_such")
    assert not _exists("qap.firmware.no_such")


def test_python_in_the_pages_compiles() -> None:
    for path in PAGES:
        for kind, block in FENCE.findall(path.read_text()):
            if kind == "python" and not re.match(r"\w+\(.*\)( -> .*)?$", block, re.DOTALL):  # signatures in the reference
                compile(block, str(path), "exec")


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _every_key(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{path}{field.alias or name}"
        yield key
        for section in _sections(field.annotation):
            text = str(field.annotation)
            yield from _every_key(section, f"{key}.NAME." if "dict[" in text else f"{key}[N]." if "list[" in text else f"{key}.")


def test_the_configuration_page_has_every_key_with_a_meaning() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.*) \| (.*) \|$", (DOCS / "configuration.md").read_text(), re.MULTILINE)
    written = {key: meaning.strip() for key, _, _, meaning in rows}
    keys = list(_every_key(Study))
    assert len(keys) > 130
    assert not [key for key in keys if not written.get(key)], "run python docs/tools/reference.py, or give the key a docstring"


def test_the_interface_page_has_every_public_name() -> None:
    headings = set(re.findall(r"^### (.+)$", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert not {f"qap.{name}" for name in qap.__all__} - headings, "run python docs/tools/reference.py"


@pytest.mark.parametrize("name", ["configuration.md", "api.md"])
def test_a_reference_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == _tool("reference").PAGES[name](), "run python docs/tools/reference.py"


def test_every_method_has_a_section() -> None:
    assert {*METHODS, DISTILL} <= _anchors(DOCS / "methods.md")


def test_every_benchmark_is_listed_and_every_script_exists() -> None:
    scripts = {_name(path) for path in (ROOT / "benchmarks").rglob("*.py")}
    listed = set(re.findall(r"benchmarks/[\w/]+\.py", (DOCS / "benchmarks.md").read_text()))
    assert listed == scripts
    named = {script for path in PAGES for script in re.findall(r"(?:benchmarks|docs|firmware)/[\w/]+\.py", path.read_text())}
    assert not [script for script in named if not (ROOT / script).is_file()]


def test_every_figure_is_shown_and_has_its_command() -> None:
    shown = {link.rpartition("figures/")[2] for path in PAGES for link in LINK.findall(path.read_text()) if "figures/" in link}
    listed = (DOCS / "benchmarks.md").read_text()
    for figure in sorted((DOCS / "figures").iterdir()):
        assert figure.name in shown, f"{figure.name} is shown nowhere"
        assert f"docs/figures/{figure.name}" in listed, f"{figure.name}: name the command that makes it in docs/benchmarks.md"


def test_every_short_word_is_explained() -> None:
    """Words with capitals inside are in the glossary, also as a part of one (DSPs, TF-MOT), or names that all know."""
    glossary = set(re.findall(r"\w+", (DOCS / "glossary.md").read_text()))
    unexplained: dict[str, str] = {}
    for path in PAGES:
        if path.name in ("layers.md", "api.md"):  # made by programs, of names of code
            continue
        text = re.sub(r"\]\([^)]*\)|https?://\S+|arXiv:\S+", "]", _prose(path.read_text()))
        for word in re.findall(r"\b[A-Za-z]*[A-Z][A-Za-z]*[A-Z]\w*\b", text):
            bare = word.removesuffix("s")
            if not {word, bare, f"{bare}s"} & (glossary | KNOWN):
                unexplained.setdefault(word, path.name)
    assert not unexplained


def test_the_rooms_of_the_design_are_those_of_the_imports() -> None:
    from tests.test_imports import ROOMS

    named = re.search(r"^`(errors, [^`]*)`", (DOCS / "design.md").read_text(), re.MULTILINE)
    assert named is not None
    assert re.split(r",\s+", named[1]) == ROOMS[:-1]


def test_examples_of_docstrings_run() -> None:
    package, seen = Path(qap.__file__).parent, set()
    for path in sorted(package.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(package.parent).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            failed, tried = doctest.testmod(module)
            assert tried, f"{path.name}: its examples are not found"
            assert not failed, path.name
            seen.add(path.stem)
    assert {"plan", "precision", "load", "candidate", "architecture", "granularity", "summary"} <= seen


def _blocks(name: str, kind: str = "python") -> list[str]:
    return [block for found, block in FENCE.findall((DOCS / name).read_text()) if found == kind]


def test_getting_started_writes_a_table_that_init_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qap.__main__ import main

    monkeypatch.chdir(tmp_path)
    exec(compile(_blocks("start.md")[0], "start.md", "exec"), {})
    assert main(["init", "jets.csv", "--quiet"]) == 0
    config = load_config("study.yaml")
    assert (config.data.name, config.data.label, config.name) == ("jets.csv", "label", "jets")


@pytest.mark.slow
def test_a_layer_of_ones_own_as_the_page_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qap.firmware.lowering import _RULES

    monkeypatch.setattr("qap.firmware.lowering._RULES", dict(_RULES))
    monkeypatch.chdir(tmp_path)
    for block in _blocks("extend.md"):
        exec(compile(block, "extend.md", "exec"), {})


@pytest.mark.slow
def test_the_wrapper_of_a_board_as_the_page_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C-simulation of hls4ml's VivadoAccelerator project, AXI wrapper included, against QKeras on the test events."""
    from qap.exports.onnx_quant import to_qonnx
    from qap.models.architecture import Architecture
    from qap.models.builders import build
    from qap.training.keras_engine import logits
    from tests.conftest import uniform_plan

    monkeypatch.chdir(tmp_path)
    config = load_config(None, [])
    directory = tmp_path / "studies/jets"
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(dump_config(config))
    data = qap.load_dataset(config.data)
    model = build(Architecture.mlp(16, [16], 5), uniform_plan(["fc1", "output"], 6, activation=8, integer=2))
    Path("tagger.onnx").write_bytes(to_qonnx(model, data.input)[0])
    np.savez("qap.npz", scores=logits(model, data.test.x))
    block = next(block for block in _blocks("board.md") if "VivadoAccelerator" in block)
    exec(compile(block, "board.md", "exec"), {})


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {path.stem for path in DOCS.glob("*.md")} <= {path.stem for path in pages}
    outside = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(?:https?:)?//[^\" >]+")
    found = {match for path in pages for match in outside.findall(path.read_text())}
    assert not found
