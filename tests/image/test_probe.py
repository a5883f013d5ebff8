"""What the probe's networks do, tested where they run: in the image, by its own torch."""

import importlib.util
import shutil
from pathlib import Path

from scripts.bench import packages
from scripts.bench.container import PYTHON
from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.model import load
from scripts.workspace.paths import ROOT

# pytest and what it imports, all of it Python alone; the image has none of it.
PYTEST = (
    "_pytest",
    "exceptiongroup",
    "iniconfig",
    "packaging",
    "pluggy",
    "py",
    "pygments",
    "pytest",
)
FOLDER, PACKAGES = "/tests-inside", "/packages"


def test_the_networks_hold_what_is_said_of_them(
    engine: Engine, image: BuildRecord, tmp_path: Path
) -> None:
    """tests/inside/networks.py passes, without a test that was skipped."""
    tests = tmp_path / "networks.py"
    shutil.copyfile(ROOT / "tests" / "inside" / "networks.py", tests)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in PYTEST:
        # exceptiongroup is for Pythons before 3.11.
        if found := importlib.util.find_spec(name):
            assert found.origin is not None
            origin = Path(found.origin)
            if origin.name == "__init__.py":
                shutil.copytree(origin.parent, tmp_path / name)
            else:
                shutil.copyfile(origin, tmp_path / origin.name)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    workspace = load()
    diffusers = packages.installed(workspace, workspace.profile("sandbox"))
    container = engine.client().containers.create(
        image.image,
        entrypoint=[PYTHON],
        command=["-m", "pytest", "-q", "-p", "no:cacheprovider", f"{FOLDER}/networks.py"],
        environment={"PYTHONPATH": f"{FOLDER}:{PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"},
        volumes={
            str(tmp_path): {"bind": FOLDER, "mode": "ro"},
            str(diffusers): {"bind": PACKAGES, "mode": "ro"},
        },
        working_dir="/tmp",
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "rw,exec,mode=1777"},
    )
    try:
        container.start()
        code = container.wait()["StatusCode"]
        said = container.logs().decode()
    finally:
        container.remove(force=True)
    assert code == 0, said
    last = said.strip().splitlines()[-1]
    assert " passed" in last
    assert "skipped" not in last
