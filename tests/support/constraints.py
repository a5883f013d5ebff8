"""requirements/webui-constraints.in as its tests read it."""

import re
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.workspace.paths import ROOT

BEYOND = {"<": ">=", "<=": ">"}
FILE = ROOT / "requirements" / "webui-constraints.in"


@dataclass(frozen=True)
class Constraint:
    """A line of the file with the comment that stands right above it."""

    line: str
    comment: str

    @property
    def name(self) -> str:
        """The canonical name of the package."""
        return canonicalize_name(Requirement(self.line).name)

    @property
    def beyond(self) -> str:
        """The requirement that every version beyond the constraint meets, and none within it."""
        return f"{self.name}{BEYOND[self._bound.operator]}{self._bound.version}"

    @property
    def just_beyond(self) -> str:
        """The requirement that the first major version beyond the constraint meets."""
        return f"{self.beyond},<{Version(self._bound.version).major + 1}"

    @property
    def _bound(self) -> Specifier:
        (bound,) = Requirement(self.line).specifier
        return bound

    @property
    def holder(self) -> str | None:
        """The package that holds this one back as well, as the comment says."""
        found = re.search(r"Held today by (\S+)", self.comment)
        return found[1] if found else None


def constraints() -> list[Constraint]:
    """Return the constraints in the order of the file."""
    found, comment = [], ""
    for line in FILE.read_text().splitlines():
        if line.startswith("#"):
            comment += line.removeprefix("#").strip() + "\n"
            continue
        if line:
            found.append(Constraint(line, comment))
        comment = ""
    return found
