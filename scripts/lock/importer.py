"""Imports modules in an environment that is tried; run as a file, by that environment's Python.

Writes to the first argument one line of JSON for each of the others in turn: null, or the last line
of the traceback. The standard output is left to the modules, some of which print.
"""

import importlib
import json
import sys
import traceback


def main(results: str, *modules: str) -> None:
    """Import every module, whatever became of those before it."""
    with open(results, "a") as file:  # noqa: PTH123  # pathlib would be imported before them all
        for name in modules:
            reason = None
            try:
                importlib.import_module(name)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # some packages raise SystemExit, or panic in Rust
                reason = traceback.format_exception_only(type(error), error)[-1]
            print(json.dumps(reason and reason.strip().splitlines()[0]), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
