"""Reads the web UI's command line: the flags the stand-in acts on, and tolerance for all others."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 7861

# Flags of the web UI that need no action here: what they switch off was never there.
ACCEPTED = (
    "--skip-python-version-check",
    "--skip-torch-cuda-test",
    "--skip-install",
    "--skip-version-check",
    "--no-download-sd-model",
    "--disable-safe-unpickle",
    "--api",
    "--nowebui",
)
# One flag per attention optimization, and the two that change the choice among them.
ATTENTION = (
    "--xformers",
    "--force-enable-xformers",
    "--opt-sdp-attention",
    "--opt-sdp-no-mem-attention",
    "--opt-sub-quad-attention",
    "--opt-split-attention",
    "--opt-split-attention-v1",
    "--opt-split-attention-invokeai",
    "--disable-opt-split-attention",
)


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for; `ignored` are the words that nothing here knows."""

    checkpoint: Path | None
    data_dir: Path
    settings_file: Path
    server_name: str
    port: int
    timeout_keep_alive: int
    api_auth: tuple[tuple[str, str], ...]
    attention: frozenset[str]
    use_cpu: bool
    no_half: bool
    no_half_vae: bool
    no_hashing: bool
    disable_nan_check: bool
    ignored: tuple[str, ...]

    def by_name(self) -> dict[str, object]:
        """As the web UI's call `cmd-flags` names them, but for passwords; paths as text."""
        attention = (flag[2:].replace("-", "_") for flag in ATTENTION)
        return {
            "ckpt": None if self.checkpoint is None else str(self.checkpoint),
            "data_dir": str(self.data_dir),
            "ui_settings_file": str(self.settings_file),
            "server_name": self.server_name,
            "port": self.port,
            "timeout_keep_alive": self.timeout_keep_alive,
            **{name: name in self.attention for name in attention},
            "use_cpu": ["all"] if self.use_cpu else [],
            "no_half": self.no_half,
            "no_half_vae": self.no_half_vae,
            "no_hashing": self.no_hashing,
            "disable_nan_check": self.disable_nan_check,
        }


def credentials(text: str) -> tuple[tuple[str, str], ...]:
    """`user:password,user:password` as pairs."""
    pairs = []
    for entry in text.split(","):
        user, colon, password = entry.partition(":")
        if not (user and colon):
            raise argparse.ArgumentTypeError("give USER:PASSWORD, several separated by commas")
        pairs.append((user, password))
    return tuple(pairs)


def parser() -> argparse.ArgumentParser:
    """The parser; abbreviations are off because unknown flags must stay unknown."""
    found = argparse.ArgumentParser(
        prog="webui.py",
        allow_abbrev=False,
        description="Stand-in for AUTOMATIC1111's web UI (sdkiln sandbox). Flags of the web UI "
        "that are not listed are ignored, with a line in the log.",
    )
    found.add_argument("--ckpt", type=Path, metavar="FILE", help="checkpoint to serve")
    found.add_argument(
        "--data-dir", type=Path, default=Path.cwd(), help="folder for what is written"
    )
    found.add_argument("--ui-settings-file", type=Path, help="default: config.json in --data-dir")
    found.add_argument("--server-name", help="address to listen on (default: 0.0.0.0)")
    found.add_argument("--port", type=int, default=DEFAULT_PORT)
    found.add_argument("--timeout-keep-alive", type=int, default=30, metavar="SECONDS")
    found.add_argument("--api-auth", type=credentials, default=(), metavar="USER:PASSWORD[,...]")
    found.add_argument("--use-cpu", nargs="+", default=[], type=str.lower, metavar="MODULE")
    for flag in ("--no-half", "--no-half-vae", "--no-hashing", "--disable-nan-check"):
        found.add_argument(flag, action="store_true")
    attention = found.add_argument_group("attention, as in the web UI")
    for flag in ATTENTION:
        attention.add_argument(
            flag, dest="attention", action="append_const", const=flag[2:].replace("-", "_")
        )
    accepted = found.add_argument_group("accepted, without effect here")
    for flag in ACCEPTED:
        accepted.add_argument(flag, action="store_true")
    return found


def parse(words: list[str]) -> Arguments:
    """The command line as a record. Exits with status 2 when a known flag has a bad value."""
    known, ignored = parser().parse_known_args(words)
    return Arguments(
        checkpoint=known.ckpt,
        data_dir=known.data_dir,
        settings_file=known.ui_settings_file or known.data_dir / "config.json",
        # As the web UI with --nowebui: every address, unless one is named.
        server_name=known.server_name or "0.0.0.0",
        port=known.port,
        timeout_keep_alive=known.timeout_keep_alive,
        api_auth=known.api_auth,
        attention=frozenset(known.attention or ()),
        # The web UI can move single modules to the CPU; the stand-in moves all or none.
        use_cpu=bool({"all", "sd"} & set(known.use_cpu)),
        no_half=known.no_half,
        no_half_vae=known.no_half_vae,
        no_hashing=known.no_hashing,
        disable_nan_check=known.disable_nan_check,
        ignored=tuple(ignored),
    )
