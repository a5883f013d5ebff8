"""Pins of what is no Python package: images, git sources, models and Debian packages.

A pin that is there stays while what it pins is asked for in the same words; only a missing one is
looked up.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from scripts.lock import apt
from scripts.lock.lockfile import Lockfile, read
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.files import sha256
from scripts.workspace.git import git
from scripts.workspace.model import Image, Model, Source, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT

Table = dict[str, Any]


def entries(name: str) -> dict[str, Table]:
    """Return the pins of a lockfile, e.g. `sources`, by name; none when there is no such file."""
    path = LOCKFILES / f"{name}.toml"
    return tomli.loads(read(path).body) if path.exists() else {}


def inputs(workspace: Workspace) -> dict[Path, dict[str, str]]:
    """Return, for each lockfile of pins, the inputs that it follows from."""
    asked: dict[str, dict[str, str]] = {
        "images": {f"images.{name}": each.reference for name, each in workspace.images.items()},
        "sources": {f"sources.{name}": _asked(each) for name, each in workspace.sources.items()},
        "models": {f"models.{name}": _asked(each) for name, each in workspace.models.items()},
        "debian": {"debian": _asked(workspace.debian)},
    }
    for model in workspace.models.values():
        if model.generator is not None:
            asked["models"][model.generator] = f"sha256:{sha256(ROOT / model.generator)}"
    return {LOCKFILES / f"{name}.toml": value for name, value in asked.items()}


def _asked(record: Any) -> str:
    return json.dumps(record.model_dump(exclude_none=True), separators=(",", ":"), sort_keys=True)


def compute(path: Path, asked: Mapping[str, str], workspace: Workspace) -> Lockfile:
    """Return a lockfile of pins, looking up what it does not pin yet.

    Raises Failure when something new must be looked up and cannot be reached.
    """
    old, same = _kept(path)
    kinds: dict[str, tuple[Mapping[str, Any], Callable[[Any], Table]]] = {
        "images": (workspace.images, image),
        "sources": (workspace.sources, source),
        "models": (workspace.models, model),
    }
    if path.stem == "debian":
        return Lockfile(path, asked, render(debian(workspace)))
    records, look_up = kinds[path.stem]
    found = {}
    for name, record in records.items():
        key = f"{path.stem}.{name}"
        generated = isinstance(record, Model) and record.generator is not None
        kept = name in old and same.get(key) == asked[key] and not generated
        found[name] = old[name] if kept else look_up(record)
    return Lockfile(path, asked, render(found))


def _kept(path: Path) -> tuple[dict[str, Table], Mapping[str, str]]:
    """Return the pins of a lockfile and their inputs; none of a missing or damaged one."""
    try:
        return entries(path.stem), read(path).inputs
    except BadInput:
        return {}, {}


def image(record: Image) -> Table:
    """Return the index digest that a registry gives for a tag now."""
    from scripts.build.engine import ensure

    done = ensure().buildx(
        "imagetools", "inspect", record.reference, "--format", "{{json .Manifest.Digest}}"
    )
    return {"reference": record.reference, "digest": json.loads(done)}


def source(record: Source) -> Table:
    """Return the commit of a ref, from the first origin that answers."""
    if re.fullmatch(r"[0-9a-f]{40}", record.ref):
        return {"commit": record.ref}
    failures = []
    for origin in record.origins:
        refs = (record.ref, f"{record.ref}^{{}}")
        done = git("ls-remote", "--exit-code", origin, *refs, folder=ROOT)
        if done.returncode == 0:
            # An annotated tag is listed twice: as itself, and then peeled to its commit.
            lines = sorted(done.stdout.splitlines(), key=lambda line: line.endswith("^{}"))
            return {"commit": lines[-1].split()[0]}
        failures.append(f"{origin}: {done.stderr.strip() or f'has no {record.ref}'}")
    raise Failure("no origin could tell the commit of a source:\n" + "\n".join(failures))


def model(record: Model) -> Table:
    """Return the size and SHA-256 of every file of a model."""
    if record.generator is not None:
        with tempfile.TemporaryDirectory() as folder:
            generate(record, Path(folder))
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            return {
                "files": [
                    {
                        "path": path.relative_to(folder).as_posix(),
                        "size": path.stat().st_size,
                        "sha256": sha256(path),
                    }
                    for path in files
                ]
            }
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    assert record.huggingface is not None
    found = get_hf_file_metadata(hf_hub_url(record.huggingface, record.checkpoint))
    return {
        "revision": found.commit_hash,
        "files": [{"path": record.checkpoint, "size": found.size, "sha256": found.etag}],
    }


def generate(record: Model, folder: Path) -> None:
    """Run a model's generator into `folder`; raises BadInput with what it said."""
    assert record.generator is not None
    done = subprocess.run(
        [sys.executable, record.generator, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise BadInput(f"{record.generator} failed:\n{done.stderr.strip()}")


def debian(workspace: Workspace) -> dict[str, Table]:
    """Return the closure of the packages asked for, by name: path, size, hash and layer.

    `system` holds what is needed beyond a bare Debian, so that it can be installed on any image
    of the suite.
    """
    index = apt.apt(workspace.debian.suite)
    # Of two ways to have /bin in /usr, the package that only says so, not the one with perl.
    essential = index.closure(sorted({*index.essential(), "usr-is-merged"}))
    base = index.closure(sorted(essential | set(workspace.debian.base)))
    system = index.closure(workspace.debian.system) - essential
    return {
        package.name: {
            "version": package.version,
            "path": package.path,
            "size": package.size,
            "sha256": package.sha256,
            "layers": [
                layer
                for layer, names in (("base", base), ("system", system))
                if package.name in names
            ],
        }
        for package in sorted(index.show(sorted(base | system)), key=lambda each: each.name)
    }


def render(found: Mapping[str, Table]) -> str:
    """Return the TOML of a table of pins, in the order of their names."""
    known = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in sorted(found.items())
    }
    return tomli_w.dumps(known)
