"""Tables of short texts, for a terminal and for Jupyter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Titles and rows of texts; the first column stands left, the others right.

    Parameters
    ----------
    titles : tuple of str
    rows : tuple of tuple of str
        One text for each title.
    caption : str, default ''
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @classmethod
    def of(cls, titles: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Table:
        """Make texts of the cells; None leaves a cell empty, a column without any text is left out."""
        texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
        kept = [place for place in range(len(titles)) if place == 0 or any(row[place] for row in texts)]
        return cls(
            tuple(titles[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in texts), caption
        )

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.titles, *self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in (self.titles, *self.rows)
        ]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(_cell("th", text, place) for place, text in enumerate(self.titles))
        body = "".join(
            f"<tr>{''.join(_cell('td', text, place) for place, text in enumerate(row))}</tr>" for row in self.rows
        )
        caption = f'<caption style="text-align:left">{escape(self.caption)}</caption>' if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(tag: str, text: str, place: int) -> str:
    return f'<{tag} style="text-align:{"right" if place else "left"}">{escape(text)}</{tag}>'


def html(tables: Iterable[Table]) -> str:
    """Return tables one below the other."""
    return "".join(table._repr_html_() for table in tables)


def number(value: float) -> str:
    """Write a number: counts with separators of thousands, the rest with four digits."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"
