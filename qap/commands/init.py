"""``qap init``: a study file for the user's own events, with what was seen in them."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, print_json, print_lines
from qap.errors import InputError, suggestion

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from qap.commands.init_look import Look
    from qap.commands.init_roles import Roles

EXAMPLES = f"""
examples:
  qap init jets.csv && qap search study.yaml
  qap init 'ntuples/*.root' --tree events --label jet_flavour --cut 'jet_pt > 20 & abs(jet_eta) < 2.4'
  qap init signal=sig.root background='qcd_*.root'           each class has files of its own
  qap init calo.h5 --targets energy --output calo.yaml       regression
  qap init jets                                              the embedded jets

DATA is .root, .h5, .parquet, .npz, .csv or .tsv. All of it is read once: label, weights and split are found by their
names and values, columns that no network can learn from are left out, and the file says why.

{EXIT_CODES}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("data", nargs="+", metavar="DATA", help="files or patterns of events, or CLASS=FILE for each class")
    add("--output", type=Path, default=Path("study.yaml"), metavar="STUDY.yaml", help="default: study.yaml; never overwritten")
    add("--label", metavar="COLUMN", help="column of class numbers or names")
    add("--targets", nargs="+", default=[], metavar="COLUMN", help="columns to be learnt: regression")
    add("--weight", metavar="COLUMN", help="column of event weights")
    add("--tree", metavar="NAME", help="tree of a ROOT file, group or dataset of an HDF5 file")
    add("--cut", metavar="CUT", help="keep the events for which it holds")
    add_shown(parser, "print what was seen as JSON")


def run(options: argparse.Namespace) -> int:
    """Look, write; return the exit code."""
    output: Path = options.output
    _check(options)
    names, classes = _named(options.data)
    paths = [_found(name) for name in names]
    _check_output(output)
    from qap.commands.init_answer import Wishes
    from qap.commands.init_look import look, one_hot
    from qap.commands.init_roles import roles
    from qap.commands.init_study import Place, study_text
    from qap.commands.reading import ReadingView
    from qap.config.schema import Study
    from qap.files import write_text

    files = [path for found in paths for path in found]
    of_files = tuple(name for name, found in zip(classes, paths, strict=False) for _ in found)
    wishes = Wishes(options.label, options.weight, tuple(options.targets), of_files, options.cut)
    try:
        with ReadingView(quiet=options.quiet) as reading:
            seen = look(files, options.tree, options.cut, reading.update)
        found = roles(seen, wishes, lambda groups: one_hot(files, options.tree, options.cut, groups) if groups else None)
    except InputError as error:  # a study file's keys are the options of this verb
        said = str(error).removeprefix("data.name: ").removeprefix("data.columns: ")
        raise InputError(said.replace("data.cut:", "--cut:").replace("data.tree:", "--tree:")) from None
    by_class: dict[str, list[str]] = defaultdict(list)
    for name, pattern in zip(classes, names, strict=False):
        by_class[name].append(_from(pattern, output))
    study = re.sub(r"[^A-Za-z0-9._ -]", "_", Path(names[0]).name.partition(".")[0]).strip("_ .-") or "study"
    name = study if classes else _one_name(names, files, output)
    text = study_text(seen, found, wishes, Place(study, name, options.tree, by_class, shlex.quote(str(output))))
    _valid(text, Study)
    write_text(output, text)
    if options.json:
        print_json(_record(seen, found, output))
    elif not options.quiet:
        print_lines(_said(seen, found, output))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse words that do not go together."""
    if options.label is not None and options.targets:
        raise InputError("--label is for classes and --targets for numbers to be learnt: give one of them")
    each = [text for text in options.data if _class_file(text)]
    if each and len(each) < len(options.data):
        other = next(text for text in options.data if not _class_file(text))
        raise InputError(f"expected CLASS=FILE for every file or for none, received {other!r} beside {each[0]!r}")
    if each and (options.label is not None or options.targets):
        raise InputError("CLASS=FILE says what the classes are: leave out --label and --targets")
    if each and len({text.partition("=")[0] for text in each}) < 2:
        raise InputError(f"expected two classes or more, received one: {each[0]}")


def _check_output(output: Path) -> None:
    """Refuse a place where the study file cannot go, before anything is read."""
    if output.exists():
        raise InputError(f"--output: {output} is there already and stays as it is: remove it, or add --output OTHER.yaml")
    if not output.parent.is_dir():
        raise InputError(f"--output: {output.parent}: no such directory")


def _class_file(text: str) -> bool:
    return bool(re.match(r"[\w.+-]+=.", text)) and not Path(text).exists()


def _named(data: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names of files, and the class of each where the user says so."""
    if not _class_file(data[0]):
        return list(data), []
    pairs = [text.partition("=") for text in data]
    return [name for _, _, name in pairs], [name for name, _, _ in pairs]


def _found(name: str) -> list[Path]:
    """Return the files that a name or a pattern stands for."""
    from qap.datasets.load import EMBEDDED
    from qap.datasets.readers.read import PLAIN, TREES, file_type

    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if name in EMBEDDED:
        return [Path(str(resources.files("qap.datasets") / EMBEDDED[name][0]))]
    if path.is_dir():
        inside = [one.name for one in sorted(path.iterdir()) if file_type(one.name)]
        cure = f"name its files, such as '{path}/*{file_type(inside[0])}'" if inside else "name a file of events"
        raise InputError(f"{path}: is a directory: {cure}")
    if set("*?") & set(name):
        matched = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        if not matched:
            raise InputError(f"{name}: no file matches")
        return matched
    if file_type(name) is None and not path.suffix:
        raise InputError(f"{name}: no such file{suggestion(name, EMBEDDED)}")
    near = suggestion(path.name, [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else [])
    kinds = "" if file_type(name) else f"; expected {', '.join((*TREES, *PLAIN))}"
    raise InputError(f"{name}: no such file{near if 'did you mean' in near else ''}{kinds}")


def _from(name: str, output: Path) -> str:
    """Return a file's name as seen from the study file's folder."""
    path = Path(name).expanduser()
    return str(path) if path.is_absolute() else os.path.relpath(path, output.parent)


def _one_name(names: Sequence[str], files: Sequence[Path], output: Path) -> str:
    """Return one name or pattern that stands for exactly the files."""
    from qap.datasets.load import EMBEDDED

    if len(names) == 1:
        return names[0] if names[0] in EMBEDDED and not Path(names[0]).exists() else _from(names[0], output)
    folders, stems = {path.parent for path in files}, [path.name for path in files]
    start = os.path.commonprefix(stems)  # noqa: RUF071  (letter by letter is what a pattern needs)
    end = os.path.commonprefix([stem[len(start) :][::-1] for stem in stems])[::-1]  # noqa: RUF071
    pattern = f"{start}*{end}"
    if len(folders) > 1 or sorted(files[0].parent.glob(pattern)) != sorted(files):
        raise InputError(
            f"{len(files)} files that no pattern stands for ('{pattern}' has others too): put them into a folder of their own, "
            "or give CLASS=FILE for each"
        )
    return _from(str(files[0].parent / pattern), output)


def _valid(text: str, study: Any) -> None:
    """Hold the study file to the schema before it is written."""
    import yaml

    study.model_validate(yaml.safe_load(text))


def _said(look: Look, roles: Roles, output: Path) -> str:
    """Return in a few lines what was found, and the next command."""
    from qap.commands.init_image import image

    kept = f" (the cut keeps {look.events:,})" if look.events < look.read else ""
    lines = [f"{look.read:,} events{kept}, {len(roles.elements)} feature{'s' if len(roles.elements) > 1 else ''}"]
    if found := image(roles.elements):
        lines.append(f"'{found.array}' is taken as {'×'.join(map(str, found.shape))}: a convolutional network")
    if roles.targets:
        lines.append(f"to be learnt: {', '.join(roles.targets)} ({roles.why['answer']})")
    else:
        shown = ", ".join(f"{name} {count:,}" for name, count in list(roles.counts.items())[:8])
        more = f" and {len(roles.counts) - 8} more" if len(roles.counts) > 8 else ""
        column = f"'{roles.label}': " if roles.label else ""
        lines.append(f"classes: {column}{shown}{more} ({roles.why['answer']})")
    lines += [f"weights: '{roles.weight}'"] if roles.weight else []
    lines += [f"split: '{roles.part}'"] if roles.part else []
    out = list(roles.left_out.items())
    lines += [f"left out: {name}: {why}" for name, why in out[:8]]
    lines += [f"left out: {len(out) - 8} more, see {output}"] if len(out) > 8 else []
    return "\n".join([*lines, f"written: {output}; next: qap search {shlex.quote(str(output))}"])


def _record(look: Look, roles: Roles, output: Path) -> dict[str, Any]:
    """Return what was found as plain values."""
    from qap.commands.init_image import image

    found = image(roles.elements)
    return {
        "study": str(output), "files": [str(path) for path in look.files], "events": look.read, "kept": look.events,
        "features": [
            {"name": one.name, "low": one.low, "high": one.high, "integers": one.whole, "not_finite": one.bad}
            for one in roles.elements
        ],
        "label": roles.label, "labels": dict(roles.labels), "targets": list(roles.targets), "why": roles.why["answer"],
        "classes": dict(roles.counts), "weight": roles.weight, "split_column": roles.part, "left_out": dict(roles.left_out),
        "cut": roles.cut, "shape": list(found.shape) if found else None,
    }  # fmt: skip
