"""Recorded runs and baselines: benchmarks/DEVICE/, one folder for each GPU or processor.

A run is a file of its own, and each suite's baseline a line of its own, so that two branches which
record runs merge. Image and host have baselines of their own: the image's stand first in the file,
the host's in its table `host`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import tomli

from scripts.bench import schema
from scripts.bench.exports.figures import device as device_words
from scripts.bench.schema import Place, Run
from scripts.workspace.errors import BadInput
from scripts.workspace.model import MeasuredSuite
from scripts.workspace.paths import ROOT, shown

BENCHMARKS = ROOT / "benchmarks"
HOST: Place = "host"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
Baselines = Mapping[MeasuredSuite, str]
"""The id of each suite's baseline run."""
_SUITES: Mapping[str, MeasuredSuite] = {name: name for name in get_args(MeasuredSuite)}


def slug(words: str) -> str:
    """The name of a device's folder: `AMD EPYC, 2 cores` is `amd-epyc-2-cores`."""
    plain = re.sub(r"\((?:r|tm|c)\)", " ", words.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "unnamed"


def slug_of(run: Run) -> str:
    """The name of the folder of a run's device."""
    return slug(device_words(run))


def is_glance(run: Run) -> bool:
    """Whether a run was to see that it works (--quick), and is no evidence of anything else."""
    return "--quick" in run.argv


@dataclass(frozen=True)
class Device:
    """A GPU or processor, and the folder of its runs, which need not be there."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    def path(self, run_id: str) -> Path:
        """Where a run is recorded. Raises BadInput for an id that is no name of a file."""
        if not RUN_ID.fullmatch(run_id):
            raise BadInput(f"{run_id!r} cannot be the id of a recorded run.")
        return self.folder / "runs" / f"{run_id}.json"

    def run(self, run_id: str) -> Run:
        """Read one run. Raises BadInput for one that is not there, was changed or is misplaced."""
        path = self.path(run_id)
        found = schema.load(path)
        if found.run_id != run_id:
            raise BadInput(f"{shown(path)} holds the run {found.run_id}: its name is wrong.")
        if slug_of(found) != self.name:
            raise BadInput(f"{shown(path)} is of another device: {device_words(found)}.")
        return found

    def runs(self) -> list[Run]:
        """All recorded runs, the oldest first."""
        found = [self.run(path.stem) for path in (self.folder / "runs").glob("*.json")]
        return sorted(found, key=lambda run: (run.utc, run.run_id))

    @property
    def baselines(self) -> Path:
        """The file that names the baseline of each suite and place."""
        return self.folder / "baseline.toml"

    @property
    def changes(self) -> Path:
        """The file of the history's change points."""
        return self.folder / "changes.json"

    @property
    def baseline(self) -> dict[Place, dict[MeasuredSuite, str]]:
        """The baselines of each place. Raises BadInput where the file says what is none."""
        try:
            content = tomli.loads(self.baselines.read_text(encoding="utf-8"))
        except FileNotFoundError:
            content = {}
        except (UnicodeDecodeError, tomli.TOMLDecodeError) as error:
            raise BadInput(
                f"{shown(self.baselines)}: {error}.", hint="Each line is: SUITE = 'RUN_ID'"
            ) from None
        host = content.pop(HOST, {})
        if not isinstance(host, dict):
            raise BadInput(f"{shown(self.baselines)}: {HOST} is no table of suites.")
        return {"image": dict(self._baselines(content)), "host": dict(self._baselines(host))}

    def _baselines(self, content: Mapping[str, object]) -> Iterator[tuple[MeasuredSuite, str]]:
        for name, run_id in content.items():
            if name not in _SUITES or not isinstance(run_id, str):
                known = ", ".join(_SUITES)
                raise BadInput(f"{shown(self.baselines)}: {name} is no suite; these are: {known}.")
            yield _SUITES[name], run_id


def baseline_text(baseline: Mapping[Place, Baselines]) -> str:
    """The text of baseline.toml.

    An empty line stands between two suites: git merges changes of lines that do not touch.
    """
    image, host = (
        [f'{suite} = "{run_id}"\n' for suite, run_id in sorted(baseline.get(place, {}).items())]
        for place in get_args(Place)
    )
    head = "# The run that others are held against; written by bench -- --record.\n"
    return "\n".join([head, *image, *([f"[{HOST}]\n", *host] if host else [])])


def devices(root: Path = BENCHMARKS) -> list[Device]:
    """The devices that have recorded runs, by name."""
    return [Device(path.parent) for path in sorted(root.glob("*/runs")) if path.is_dir()]


def device_of(run: Run, root: Path = BENCHMARKS) -> Device:
    """The device that a run was measured on."""
    return Device(root / slug_of(run))
