"""The web UI's settings, as far as the stand-in has them, kept in its settings file."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

# A setting that is not here is unknown, as a misspelt one is to the web UI.
DEFAULTS: Mapping[str, object] = {
    "CLIP_stop_at_last_layers": 1,
    "add_model_hash_to_info": True,
    "add_model_name_to_info": True,
    "add_version_to_infotext": True,
    "cross_attention_optimization": "Automatic",
    "sd_model_checkpoint": None,
    # Of what the stand-in never does: it shows no previews, saves no pictures, has one VAE. Those
    # who switch these off may do so.
    "grid_save": False,
    "live_previews_enable": False,
    "samples_save": False,
    "sd_vae": "Automatic",
    "show_progress_every_n_steps": -1,
}


class Options:
    """Current values; every change by `update` is on disk before the call returns."""

    def __init__(self, file: Path) -> None:
        """Read the file; one that is missing is empty, one that is no JSON is put aside."""
        self.file = file
        self._lock = threading.Lock()
        self._values: dict[str, object] = dict(DEFAULTS)
        self._on_change: dict[str, Callable[[], None]] = {}
        self._values.update(read(file))

    def __getitem__(self, key: str) -> object:
        """The value of a setting; KeyError when there is none of that name."""
        return self._values[key]

    def all(self) -> dict[str, object]:
        """A copy of all settings."""
        with self._lock:
            return dict(self._values)

    def on_change(self, key: str, call: Callable[[], None]) -> None:
        """Have `call` run after `key` got another value."""
        self._on_change[key] = call

    def put(self, values: Mapping[str, object]) -> dict[str, object]:
        """Set values without writing or telling anyone; returns what to put back afterwards.

        Raises KeyError for a name that is no setting, before anything is changed.
        """
        with self._lock:
            before = {key: self._values[key] for key in values}
            self._values.update(values)
            return before

    def update(self, values: Mapping[str, object]) -> None:
        """Set values, write the file, and run what waits for those that changed."""
        before = self.put(values)
        with self._lock:
            write(self.file, self._values)
        for key, old in before.items():
            if key in self._on_change and values[key] != old:
                self._on_change[key]()


def read(file: Path) -> dict[str, object]:
    """The settings in a file; those of the web UI that the stand-in lacks are left out."""
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        aside = file.with_name(f"{file.name}.corrupt")
        file.replace(aside)
        log.error("Settings file %s is no JSON (%s); moved to %s", file, error, aside)
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a JSON object with settings")
    return {key: value for key, value in content.items() if key in DEFAULTS}


def write(file: Path, values: Mapping[str, object]) -> None:
    """Replace the file by one with these settings, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=4)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
