"""A fake of torch.cuda: a device with a queue, on a clock that moves as the host works or waits.

No GPU is where these tests run. The fake models what decides whether the host runs ahead of the
device: launches that are issued one after another, run one after another, and block the host while
the queue is full. Times are in ns.
"""

import importlib
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

QUEUE = 1024
CYCLES_PER_NS = 1.98


class FakeGpu:
    """Stands for a GPU and for the clock of the host that launches on it."""

    def __init__(self) -> None:
        self.now = 1_000
        self.held: list[int] = []
        """How long each spin held the device."""
        self.deepest = 0
        """Most launches that were in the queue."""
        self._idle_at = 0
        self._ends: deque[int] = deque()

    def launch(self, runs: int, issue: int = 0) -> None:
        """The host takes `issue` to launch what the device runs for `runs`."""
        self.now += issue
        while self._ends and self._ends[0] <= self.now:
            self._ends.popleft()
        if len(self._ends) == QUEUE:
            self.now = self._ends.popleft()
        self._idle_at = max(self.now, self._idle_at) + runs
        self._ends.append(self._idle_at)
        self.deepest = max(self.deepest, len(self._ends))

    def call(self, runs: int, issue: int, launches: int = 1) -> Callable[[], None]:
        """A call of that many launches."""

        def made() -> None:
            for _ in range(launches):
                self.launch(runs, issue)

        return made

    def sleep(self, cycles: int) -> None:
        """As torch.cuda._sleep, which counts cycles."""
        self.held.append(int(cycles / CYCLES_PER_NS))
        self.launch(self.held[-1], 5_000)

    def synchronize(self) -> None:
        """As torch.cuda.synchronize."""
        self.now = max(self.now, self._idle_at)

    def event(self, enable_timing: bool) -> Any:
        """As torch.cuda.Event."""
        assert enable_timing
        return FakeEvent(self)

    def reached(self) -> int:
        """When the device will have done what it was given."""
        return max(self.now, self._idle_at)


class FakeEvent:
    """Stands for an event behind all that was issued before."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu, self.at = gpu, 0

    def record(self) -> None:
        self.at = self._gpu.reached()

    def query(self) -> bool:
        return self._gpu.now >= self.at

    def elapsed_time(self, later: "FakeEvent") -> float:
        assert later.query(), "an event is asked for its time before it was reached"
        return (later.at - self.at) / 1e6


def fake_torch(gpu: FakeGpu) -> Any:
    """A module in the place of torch, with the little of it that timing needs."""
    made: Any = ModuleType("torch")
    # Classes of its own: scipy asks whether what it is given is torch's.
    made.Tensor, made.device = type("Tensor", (), {}), type("device", (), {})
    made.float16, made.float32 = SimpleNamespace(itemsize=2), SimpleNamespace(itemsize=4)
    made.backends = SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False)),
        cudnn=SimpleNamespace(allow_tf32=True, benchmark=False),
    )
    made.cuda = SimpleNamespace(
        Event=gpu.event,
        OutOfMemoryError=MemoryError,
        _sleep=gpu.sleep,
        empty_cache=lambda: None,
        get_device_capability=lambda: (9, 0),
        get_device_name=lambda: "NVIDIA H100 80GB HBM3",
        is_available=lambda: True,
        max_memory_allocated=lambda: 5_000,
        memory_allocated=lambda: 2_000,
        reset_peak_memory_stats=lambda: None,
        synchronize=gpu.synchronize,
    )
    return made


def probe(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu, *names: str) -> list[Any]:
    """Modules of the probe on the fake's torch and the fake's clock."""
    torch = fake_torch(gpu)
    clock = SimpleNamespace(
        perf_counter_ns=lambda: gpu.now,
        perf_counter=lambda: gpu.now / 1e9,
        monotonic=lambda: gpu.now / 1e9,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    modules = [importlib.import_module(f"scripts.bench.probe.{name}") for name in names]
    for name, module in sys.modules.items():
        if name.startswith("scripts.bench.probe."):
            for attribute, fake in (("torch", torch), ("time", clock)):
                if hasattr(module, attribute):
                    monkeypatch.setattr(module, attribute, fake)
    return modules


def fake_nvidia_smi(folder: Path, gpus: Sequence[Mapping[str, str]], parts: str = "") -> None:
    """Put a program in the place of nvidia-smi, which knows these GPUs by what it is asked for.

    `parts` are lines of `-L` about parts (MIG) of the last of them.
    """
    program = folder / "nvidia-smi"
    program.write_text(
        f"#!{sys.executable} -S\n"
        "import sys\n"
        f"gpus, parts = {list(map(dict, gpus))!r}, {parts!r}\n"
        "if sys.argv[1] == '-L':\n"
        "    for index, gpu in enumerate(gpus):\n"
        "        print(f\"GPU {index}: {gpu['name']} (UUID: {gpu['uuid']})\")\n"
        "    sys.exit(print(parts, end=''))\n"
        "which, fields = (each.partition('=')[2] for each in sys.argv[1:3])\n"
        "found = [g for i, g in enumerate(gpus) if which in (str(i), g['uuid'])]\n"
        "if not found:\n"
        "    sys.exit('No devices were found')\n"
        "print(', '.join(found[0][field] for field in fields.split(',')))\n"
    )
    program.chmod(0o755)
