"""Commands in a workspace apart end what they began when they are stopped."""

import subprocess
import sys
from pathlib import Path

from scripts.workspace.paths import ROOT

# Stands for a module of ours: once it is waited for, it stops its parent as Ctrl-C would both, and
# takes a while to end.
PROGRAM = """\
#!/bin/sh
sleep 1
kill -INT $PPID
sleep 1
touch "$3"
"""
RUN = """
import sys
from pathlib import Path
from scripts.build import apart
program, mark = sys.argv[1:]
sys.executable = program
apart.run(Path(mark).parent, "scripts.build", mark)
"""


def test_a_build_apart_has_the_time_to_end_after_ctrl_c(tmp_path: Path) -> None:
    program, mark = tmp_path / "program", tmp_path / "ended"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", RUN, program, mark], cwd=ROOT, capture_output=True, text=True
    )
    assert "KeyboardInterrupt" in done.stderr
    assert mark.exists()
