"""A run on a CPU is refused what memory there is not, instead of being killed for taking it."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench.probe import memory
from scripts.workspace.paths import ROOT

MIB = 2**20


def cgroup(folder: Path, most: str, used: int) -> Path:
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    return folder


def test_the_cgroups_limit_counts_where_it_is_tighter(tmp_path: Path) -> None:
    assert memory.free_bytes(cgroup(tmp_path, str(300 * MIB), 100 * MIB)) == 200 * MIB


@pytest.mark.parametrize("most", ["max", str(2**60)])
def test_the_machines_memory_counts_otherwise(most: str, tmp_path: Path) -> None:
    total = memory._field("/proc/meminfo", "MemTotal:")
    assert 0 < memory.free_bytes(cgroup(tmp_path, most, 0)) <= total


@pytest.mark.parametrize(("free_mib", "processes"), [(150, 1), (300, 2)])
def test_too_large_an_allocation_fails_and_the_process_goes_on(
    tmp_path: Path, free_mib: int, processes: int
) -> None:
    """Where two processes measure in turns, half of the memory is too large for one, too."""
    code = (
        "import sys; from pathlib import Path; from scripts.bench.probe import memory\n"
        "memory.limit_to_free(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "bytearray(50 * 2**20)\n"
        "try: bytearray(160 * 2**20)\n"
        "except MemoryError: print('refused')\n"
        "bytearray(50 * 2**20); print('goes on')\n"
    )
    folder = cgroup(tmp_path, str((50 + free_mib) * MIB), 50 * MIB)
    command = [sys.executable, "-c", code, str(folder), str(processes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["refused", "goes on"]
