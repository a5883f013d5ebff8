"""hub.json, with which RunPod's Hub deploys a worker: on which GPUs and hosts.

The format: https://docs.runpod.io/hub/publishing-guide#hub-json-reference
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from scripts.lock.facts import AsVersion, Facts, Version, refusal
from scripts.workspace.errors import BadInput
from scripts.workspace.model import nearest
from scripts.workspace.paths import shown


class _Table(BaseModel):
    # The format is RunPod's and grows: a key that we do not read is for RunPod to judge.
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)


class _Config(_Table):
    runs_on: Literal["GPU"]
    container_disk_in_gb: int = Field(ge=1)
    gpu_count: int = Field(ge=1)
    gpu_ids: str
    allowed_cuda_versions: Annotated[tuple[AsVersion, ...], Field(strict=False)] = ()


class _Listing(_Table):
    title: str
    description: str
    type: Literal["serverless"]
    category: Literal["audio", "embedding", "language", "video", "image"]
    config: _Config


@dataclass(frozen=True)
class Hub:
    """Where a listing runs: its GPUs by pool, and the CUDA versions of the hosts' drivers.

    No CUDA version means any. `file` is how a person calls the file.
    """

    file: str
    gpus: Mapping[str, Sequence[str]]
    cuda: Sequence[Version]


def read(path: Path, facts: Facts) -> Hub:
    """Read a hub.json.

    Raises BadInput that names the file and each wrong key, or the nearest pool or GPU for one that
    RunPod does not have.
    """
    file = shown(path)
    try:
        listing = _Listing.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise refusal(error, file) from None
    gpus = targets(listing.config.gpu_ids, file, facts)
    return Hub(file, gpus, listing.config.allowed_cuda_versions)


def targets(gpu_ids: str, file: str, facts: Facts) -> dict[str, tuple[str, ...]]:
    """Return the GPUs that `gpuIds` asks for, by pool: pools, less the GPUs with a minus sign.

    Raises BadInput for a name that RunPod does not have, and when no GPU is left.
    """
    ids = [each.strip() for each in gpu_ids.split(",") if each.strip()]
    without = {each[1:].strip() for each in ids if each.startswith("-")}
    for gpu in sorted(without - facts.gpus.keys()):
        known = nearest(gpu, facts.gpus)
        raise BadInput(f"{file}: config.gpuIds: no GPU pool has the GPU {gpu}.{known}")
    found = {}
    for pool in (each for each in ids if not each.startswith("-")):
        if pool not in facts.pools:
            known = nearest(pool, facts.pools)
            raise BadInput(f"{file}: config.gpuIds: there is no GPU pool {pool}.{known}")
        if gpus := tuple(gpu for gpu in facts.pools[pool] if gpu not in without):
            found[pool] = gpus
    if not found:
        raise BadInput(f"{file}: config.gpuIds leaves no GPU to run on (it is {gpu_ids!r}).")
    return found
