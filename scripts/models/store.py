"""The model store: models on disk, each file checked against its pinned hash."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lock.models import generate
from scripts.lock.pins import entries
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.files import EPOCH, require_space, set_content_time, sha256
from scripts.workspace.model import Model
from scripts.workspace.paths import CACHE, shown

# A checkpoint whose size no lock knows yet: SD1.5 in fp16 takes 2.13 GB.
UNKNOWN_SIZE = 2_200_000_000


def folder(name: str, record: Model) -> Path:
    """Return the folder with a model's files, bringing and verifying what is not there yet.

    Raises BadInput for a model without a pin, Failure when it cannot be reached, CheckFailed when
    a file is not what the lock pins; such a file is deleted.
    """
    pins = entries("models").get(name)
    if not pins or not pins["files"]:
        raise BadInput(
            f"models.{name} is not pinned in lockfiles/models.toml.", hint="./nox -s lock"
        )
    store = CACHE / "models" / f"{name}-{pins['files'][0]['sha256'][:16]}"
    if store.exists() and not _wrong(store, pins):
        return store
    store.parent.mkdir(parents=True, exist_ok=True)
    size = sum(file.get("size", UNKNOWN_SIZE) for file in pins["files"])
    require_space(store.parent, 2 * size, f"the model {name}")
    with tempfile.TemporaryDirectory(dir=store.parent) as temporary:
        made = Path(temporary, "model")
        made.mkdir()
        if record.generator is not None:
            generate(record, made)
        else:
            _download(name, record, pins, made)
        if wrong := _wrong(made, pins):
            raise CheckFailed(
                f"models.{name}: {'; '.join(wrong)}.",
                hint="Try again. If it stays so, the file was replaced: do not build with it.",
            )
        shutil.rmtree(store, ignore_errors=True)
        for file in pins["files"]:
            set_content_time(made / file["path"], file["sha256"])
        for path in filter(Path.is_dir, (made, *made.rglob("*"))):
            path.chmod(0o755)
            os.utime(path, (EPOCH, EPOCH))
        made.rename(store)
    return store


def _wrong(store: Path, pins: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each file of a store that is not as pinned."""
    found = []
    for file in pins["files"]:
        path = store / file["path"]
        if not path.exists():
            found.append(f"{file['path']} is missing")
        elif (actual := sha256(path)) != file["sha256"]:
            found.append(f"{file['path']} has SHA-256 {actual}, but {file['sha256']} is pinned")
    return found


def _download(name: str, record: Model, pins: Mapping[str, Any], made: Path) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert record.huggingface is not None
    # What a cut connection left is continued by huggingface_hub from here.
    partial = CACHE / "models" / f"{name}.partial"
    for file in pins["files"]:
        try:
            path = hf_hub_download(
                record.huggingface,
                file["path"],
                revision=pins.get("revision"),
                local_dir=partial,
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise Failure(
                f"{file['path']} could not be fetched from {record.huggingface}: {error}",
                hint=f"Check the network (and HF_TOKEN for a gated model), or put the file there "
                f"yourself: --context model=PATH. What was downloaded is in {shown(partial)}.",
            ) from None
        target = made / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(path).replace(target)
