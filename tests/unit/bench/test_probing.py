"""The probe's records as they come, and what is said of a probe that ends early."""

from pathlib import Path

import pytest

from scripts.bench import probing
from scripts.bench.suite import RawRecord
from scripts.workspace.errors import Failure


def python(folder: Path, *lines: str) -> Path:
    """A program in the place of a Python: it takes the probe's arguments and says these lines."""
    path = folder / "python3"
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def collected(program: Path, into: list[RawRecord]) -> None:
    probing.collect(probing.in_host(program), ["unet", "--quick"], 1.0, into)


def test_the_records_of_a_probe_that_is_done_are_kept_with_its_arguments(tmp_path: Path) -> None:
    into: list[RawRecord] = []
    collected(
        python(
            tmp_path,
            """echo "{\\"record\\": \\"header\\", \\"asked\\": \\"$*\\"}" """,
            """echo '{"record": "final"}' """,
        ),
        into,
    )
    assert into == [{"record": "header", "asked": "-m probe unet --quick"}, {"record": "final"}]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("exit 3", "suite unet ended early: its probe exited with 3."),
        ("exit 0", "suite unet ended early: its probe exited with 0."),
        ("kill -9 $$", "its probe exited with -9 (a kill, most often for lack of memory)."),
    ],
)
def test_what_a_probe_that_ended_early_had_measured_is_kept(
    tmp_path: Path, end: str, said: str
) -> None:
    into: list[RawRecord] = []
    with pytest.raises(Failure) as failure:
        collected(python(tmp_path, """echo '{"record": "header"}' """, end), into)
    assert said in failure.value.message
    assert into == [{"record": "header"}]


def test_a_probe_has_minutes_beside_the_time_that_it_measures() -> None:
    """It imports torch, makes the networks and compiles kernels outside of its budget."""
    limits = []

    def probe(_arguments: object, limit_s: float, code: dict[str, int]) -> probing.Records:
        limits.append(limit_s)
        yield {"record": "final"}
        code["exit"] = 0

    probing.collect(probe, ["unet"], 20.0, [])
    assert 20.0 + 120.0 <= limits[0] <= 20.0 + 600.0
