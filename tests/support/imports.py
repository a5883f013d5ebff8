"""Which packages Python code imports, by its source."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def third_party(files: Iterable[Path], own: Iterable[str] = ()) -> set[str]:
    """Return the top-level modules that the files import, less the standard library's and `own`.

    `importlib.import_module` counts where the name is written out.
    """
    found = {name for file in files for name in _imported(ast.parse(file.read_text()))}
    return {name.split(".")[0] for name in found} - sys.stdlib_module_names - set(own)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(name), level=0):
                yield name
            case ast.Call(
                func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name))]
            ):
                yield name
