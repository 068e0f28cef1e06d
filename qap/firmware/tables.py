"""The text of a vendor's report: find a line, a table, a number in it, or say what is not as the vendor writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qap.errors import InputError

OPEN = ("?", "undef", "NA", "N/A")
CUT = "the report is cut off or of another kind"


def _plain(part: str) -> str:
    return re.sub(r"[^a-z0-9]|^x[caq]", "", part.lower())


@dataclass(frozen=True, slots=True)
class Report:
    """A report and its name for the messages; every method raises InputError where the report is not sound.

    Parameters
    ----------
    text : str
    file : str
    """

    text: str
    file: str

    def error(self, message: str) -> InputError:
        """Return the error with the file's name."""
        return InputError(f"{self.file}: {message}")

    def find(self, pattern: str, what: str) -> str:
        """Return the first group of the first match, `^` and `$` meaning lines."""
        match = re.search(pattern, self.text, re.MULTILINE)
        if not match:
            raise self.error(f"expected {what}: {CUT}")
        return match.group(1).strip()

    def count(self, text: str, what: str) -> int:
        """Read a whole number; ``-``, ``~0`` and the like are none."""
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise self.error(f"expected a whole number as {what}, received {text!r}")
        return int(text)

    def number(self, text: str, what: str) -> float:
        """Read a decimal number, in nanoseconds where a unit stands behind it."""
        match = re.fullmatch(r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?: ?ns)?", text)
        if not match:
            raise self.error(f"expected a number (in ns if it has a unit) as {what}, received {text!r}")
        return float(match.group(1))

    def span(self, low: str, high: str, what: str) -> tuple[int, int] | None:
        """Read best and worst case; None where the tool says that it does not know."""
        if low in OPEN and high in OPEN:
            return None
        pair = self.count(low, f"best {what}"), self.count(high, f"worst {what}")
        if pair[0] > pair[1]:
            raise self.error(f"{what}: the best case, {low}, is above the worst case, {high}")
        return pair

    def cells(self, line: str) -> list[str]:
        """Split a table's row."""
        bare = line.strip()
        if len(bare) < 2 or not bare.endswith("|"):
            raise self.error(f"a row is cut off: {bare[:60]!r}")
        return [cell.strip() for cell in bare[1:-1].split("|")]

    def table(self, start: str, what: str) -> list[list[str]]:
        """Return the cells of all rows, header included, of the table after the lines that match `start`."""
        begin = re.search(start, self.text, re.MULTILINE)
        rows: list[list[str]] = []
        closed = False
        for line in self.text[begin.end() :].splitlines()[1:] if begin else ():
            bare = line.strip()
            if bare.startswith("|"):
                rows.append(self.cells(bare))
            elif not bare.startswith("+") and (rows or bare):
                break
            closed = bare.startswith("+")
        if not rows or not closed:
            raise self.error(f"expected the table {what}: {CUT}")
        return rows

    def share(self, stated: str, used: float, available: int, tolerance: float, name: str) -> None:
        """Hold a count against the percentage beside it; ``~0`` and ``<0.01`` stand for next to nothing."""
        percent = 0.0 if stated in ("~0", "<0.01") else self.number(stated, f"{name} in %")
        if abs(percent - (100 * used / available if available else 0.0)) > tolerance:
            raise self.error(f"{name}: {used:g} of {available} is not {stated} %: the report was changed")

    def check(self, top: str | None, part: str | None, found_top: str, found_part: str) -> None:
        """Refuse a report of another top function or part (Vivado writes a part in several ways, some cut short)."""
        if top is not None and top != found_top:
            raise self.error(f"expected the top function {top}, received {found_top!r}: a report of another project")
        if part is not None:
            wanted, found = _plain(part), _plain(found_part)
            if len(found) < 6 or not (wanted.startswith(found) or found.startswith(wanted)):
                raise self.error(f"expected the part {part}, received {found_part!r}: a report of another project")
