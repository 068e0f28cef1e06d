"""Hooks of the site: pages from outside this folder, links to other files of the repository, terms that explain themselves.

Links are written for the repository, so that they work on GitHub too: ``../firmware/README.md``.
Markdown files of `PAGES` become pages of the site, other files that a page links to are copied beside them.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "firmware/README.md")
FOLDER = "repository"
"""Where files from outside this folder stand in the site."""
LINK = re.compile(r"(\]\()((?!\w+:|#)[^)#\s]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
SHORT = re.compile(r"[A-Z][A-Za-z0-9_-]*[A-Z]\w*|EBOPs|BOPs")
TERM = re.compile(r"^\| (?P<terms>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the Markdown files from outside and every other file that a page links to."""
    for name in (*PAGES, *_linked()):
        files.append(File.generated(config, f"{FOLDER}/{name}", abs_src_path=str(ROOT / name)))
    return files


def _linked() -> list[str]:
    """Return the files outside the folder that pages link to."""
    found = set()
    for source in (*DOCS.glob("*.md"), *(ROOT / name for name in PAGES)):
        for link in LINK.finditer(source.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(source.parent / link[2]))
            if path.is_file() and DOCS not in path.parents:
                found.add(path.relative_to(ROOT).as_posix())
    return sorted(found - set(PAGES))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links point to where the files stand in the site, and explain the glossary's terms where they are short words."""
    here = page.file.src_uri
    outside = here.startswith(f"{FOLDER}/")
    source = ROOT / here.removeprefix(f"{FOLDER}/") if outside else DOCS / here

    def moved(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / link[2]))
        if DOCS in path.parents or path == DOCS:
            target = path.relative_to(DOCS).as_posix()
        elif path.is_dir():
            target = f"{FOLDER}/{path.relative_to(ROOT).as_posix()}/README.md"
        elif path.is_file():
            target = f"{FOLDER}/{path.relative_to(ROOT).as_posix()}"
        else:
            raise PluginError(f"{here}: the link to {link[2]} leads nowhere")
        return f"{link[1]}{posixpath.relpath(target, posixpath.dirname(here) or '.')}{link[3] or ''}{link[4]}"

    parts = FENCE.split(markdown)
    text = "".join(part if number % 2 else LINK.sub(moved, part) for number, part in enumerate(parts))
    return text if here == "glossary.md" else f"{text}\n\n{_terms()}"


def _terms() -> str:
    """Return the glossary's abbreviations in the form that the extension `abbr` reads."""
    lines = []
    for row in TERM.finditer((DOCS / "glossary.md").read_text(encoding="utf-8")):
        meaning = re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", row["meaning"]).replace("\\", "")
        lines += [f"*[{term}]: {meaning}" for term in row["terms"].split(", ") if SHORT.fullmatch(term)]
    return "\n".join(lines)
