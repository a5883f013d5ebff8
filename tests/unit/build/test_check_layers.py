"""Layers that hold the same path with other content do not go together."""

import subprocess
import sys
from pathlib import Path

from scripts.workspace.paths import DOCKER

PROGRAM = DOCKER / "tools" / "check-layers.py"


def checked(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folders_that_share_nothing_or_the_same_files_go_together(tmp_path: Path) -> None:
    for layer in ("one", "two"):
        write(tmp_path, f"{layer}/opt/{layer}/file", layer)
        write(tmp_path, f"{layer}/opt/shared", "the same")
        (tmp_path / layer / "opt" / "link").symlink_to("/shared")
    assert checked(tmp_path) == (0, [])


def test_each_path_that_differs_is_named_with_its_layers(tmp_path: Path) -> None:
    for layer in ("one", "two", "three"):
        write(tmp_path, f"{layer}/opt/content", layer)
        write(tmp_path, f"{layer}/opt/mode", "x").chmod(0o755 if layer == "two" else 0o644)
        (tmp_path / layer / "opt" / "link").symlink_to(f"/{layer}")
    code, lines = checked(tmp_path)
    assert code == 1
    assert "/opt/content: one and two hold different files." in lines
    assert "/opt/mode: one and two hold different files." in lines
    named = {line.partition(":")[0] for line in lines}
    assert named == {"/opt/content", "/opt/link", "/opt/mode"}


def test_a_file_where_another_layer_has_a_link_differs(tmp_path: Path) -> None:
    write(tmp_path, "one/lib", "x")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "lib").symlink_to("elsewhere")
    assert checked(tmp_path) == (1, ["/lib: one and two hold different files."])


def test_a_file_where_another_layer_has_a_folder_differs(tmp_path: Path) -> None:
    write(tmp_path, "one/lib/part", "x")
    write(tmp_path, "two/lib", "x")
    assert checked(tmp_path) == (1, ["/lib: one and two hold different files."])
