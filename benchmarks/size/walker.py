"""Imports every module of an environment and loads every shared library that it may load.

Runs inside a container, by the Python whose packages are tried; writes a line of JSON for each to
the standard output: the name of the module or the path of the library, and null or why it fails.
"""

import ctypes
import importlib
import importlib.machinery
import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

# Of these a module is a file; what is compiled to bytecode alone is none of ours.
SUFFIXES = sorted(
    [*importlib.machinery.SOURCE_SUFFIXES, *importlib.machinery.EXTENSION_SUFFIXES],
    key=len,
    reverse=True,
)
MODULE_TIMEOUT_S = 120


def modules(site: Path) -> Iterator[str]:
    """Yield the dotted names of all modules below a folder.

    A `__main__` is a program, not a module: to import it would be to run it.
    """
    for path in site.rglob("*"):
        suffix = next((each for each in SUFFIXES if path.name.endswith(each)), None)
        if suffix is None or not path.is_file():
            continue
        parts = path.relative_to(site).with_name(path.name[: -len(suffix)]).parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and all(part.isidentifier() for part in parts) and parts[-1] != "__main__":
            yield ".".join(parts)


def walk(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Import modules in one process after the other; a new one begins where the last one died."""
    found: list[tuple[str, str | None]] = []
    left = list(names)
    with tempfile.TemporaryDirectory() as folder:
        while left:
            results = Path(folder, f"results-{len(left)}")
            results.touch()
            process = subprocess.run(
                [sys.executable, __file__, "--import", str(results), *left],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            reasons = [json.loads(line) for line in results.read_text().splitlines()]
            found += zip(left, reasons, strict=False)
            left = left[len(reasons) :]
            if left:
                found.append((left.pop(0), f"ended Python with code {process.returncode}"))
    return found


def try_imports(results: str, names: Sequence[str]) -> None:
    """Import modules in turn; write a line of JSON for each."""
    # A module that patches open() must not reach what is written here.
    with os.fdopen(os.open(results, os.O_WRONLY | os.O_APPEND), "w") as file:
        for name in names:
            signal.alarm(MODULE_TIMEOUT_S)
            reason = None
            try:
                importlib.import_module(name)
            except BaseException as error:  # some raise SystemExit, or panic in Rust
                reason = traceback.format_exception_only(type(error), error)[-1].strip()
            print(json.dumps(reason and reason.splitlines()[0]), file=file, flush=True)


def load(path: Path) -> str | None:
    """Load a shared library in a process of its own; return why it does not load."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        reason = None
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            reason = str(error)
        os.write(writer, json.dumps(reason).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4096)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return json.loads(said) if said else f"ended with status {status}"


def main(chosen: Sequence[str]) -> None:
    """Import the modules of the packages chosen; without any, of all, and load the libraries."""
    site = Path(sysconfig.get_path("purelib"))
    if not chosen:
        for folder in (site, Path("/usr/lib")):
            for path in sorted(folder.rglob("*.so*")):
                if path.is_file() and not path.is_symlink():
                    print(json.dumps((str(path), load(path))), flush=True)
    names = sorted(set(modules(site)))
    packages = {
        name: list(group) for name, group in groupby(names, lambda each: each.split(".")[0])
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(walk, [packages[name] for name in chosen or packages]):
            for each in found:
                print(json.dumps(each), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        try_imports(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])
