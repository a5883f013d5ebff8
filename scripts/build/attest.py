"""Attestations: what an image was made from, and how, put beside it in the registry.

They are kept as BuildKit keeps them
(https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md), made here
because BuildKit's own would know nothing of the locks, and its bill of materials needs an image
that scans. An index holds the image's manifest, which stays as it is, and a second manifest that
has a statement (https://in-toto.io) for each attestation. What differs from one build of the same
inputs to the next (commit, time) stands in the index and the statements, never in the image.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from scripts.build import registry
from scripts.build.components import Component
from scripts.build.record import BuildRecord, lock_digest
from scripts.build.registry import CONFIG, INDEX, MANIFEST, Blob, blob
from scripts.lock.images import Tag
from scripts.workspace.errors import BadInput
from scripts.workspace.files import sha256
from scripts.workspace.git import git
from scripts.workspace.paths import LOCKFILES, ROOT

KINDS = ("provenance", "sbom")
STATEMENT = "application/vnd.in-toto+json"
SPDX = "https://spdx.dev/Document"
SLSA = "https://slsa.dev/provenance/v1"
PLATFORM = {"architecture": "amd64", "os": "linux"}
NO_PLATFORM = {"architecture": "unknown", "os": "unknown"}
SOURCE = "org.opencontainers.image.source"


def predicates(
    kinds: Collection[str], record: BuildRecord, found: Collection[Component]
) -> dict[str, Any]:
    """Return what is said of an image: a document by predicate type for each of KINDS wanted.

    It is told from the lockfiles, so they must be those of the build: raises BadInput for others.
    """
    if lock_digest() != record.lock_sha256:
        raise BadInput(
            f"the lockfiles are not those that {record.image} was built from at {record.utc}: what "
            "would be attested of it is not so.",
            hint=f"Build it again: ./nox -s build -- --profile {record.profile}",
        )
    said: dict[str, Any] = {}
    if "provenance" in kinds:
        said[SLSA] = provenance(record)
    if "sbom" in kinds:
        from scripts.build import sbom  # a quarter of a second to load

        said[SPDX] = sbom.document(record, found)
    return said


def provenance(record: BuildRecord) -> Any:
    """Return how an image was built, as SLSA 1.0 has it (https://slsa.dev/spec/v1.0/provenance).

    Inputs that --context replaced are named without the folder that they came from: a path of the
    machine is nobody else's.
    """
    locks = [
        {"uri": f"lockfiles/{path.name}", "digest": {"sha256": sha256(path)}}
        for path in sorted(LOCKFILES.iterdir())
    ]
    source = {"uri": origin(), "digest": {"gitCommit": record.git_sha}}
    return {
        "buildDefinition": {
            "buildType": "urn:sdkiln:build:1",
            "externalParameters": {
                "profile": record.profile,
                "replaced": sorted(record.replaced),
                "uncommittedChanges": record.git_dirty,
            },
            "internalParameters": {"lockSha256": record.lock_sha256},
            "resolvedDependencies": [*([source] if source["uri"] else []), *locks],
        },
        "runDetails": {
            "builder": {"id": "urn:sdkiln:builder", "version": {"engine": record.engine}},
            "metadata": {"finishedOn": record.utc},
        },
    }


def annotations(record: BuildRecord, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations of an index: of the build, and the image's labels for convenience."""
    made = {
        "org.opencontainers.image.created": record.utc,
        SOURCE: origin(),
        "org.opencontainers.image.revision": record.git_sha + ("-dirty" * record.git_dirty),
        "org.opencontainers.image.version": labels.get("sdkiln.webui", ""),
        **labels,
    }
    return {key: value for key, value in made.items() if value}


def origin() -> str:
    """Return the address of this checkout's origin without login, or '' when it has none.

    A folder of this machine is none: it means nothing elsewhere.
    """
    said = git("remote", "get-url", "origin", folder=ROOT)
    given = said.stdout.strip() if said.returncode == 0 else ""
    if short := re.fullmatch(r"(?:[^@/]+@)?([^:/]+):([^/].*)", given):
        given = f"ssh://{short[1]}/{short[2]}"
    address = urlsplit(given)
    if not address.hostname:
        return ""
    port = f":{address.port}" if address.port else ""
    return address._replace(netloc=address.hostname + port, query="", fragment="").geturl()


def attach(tag: Tag, image: Blob, said: Mapping[str, Any], annotated: Mapping[str, str]) -> str:
    """Put statements on an image beside it, under its tag; return the digest of the index.

    `image` is the manifest that the tag has now, `said` the predicates by type. Raises Failure
    when the registry does not take them; the tag still means the image alone then.
    """
    statements = [_statement(tag, image, kind, predicate) for kind, predicate in said.items()]
    configuration = blob(
        CONFIG,
        {
            **NO_PLATFORM,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [each.digest for each in statements]},
        },
    )
    beside = manifest(configuration, statements, list(said))
    for each in (configuration, *statements):
        registry.put_blob(tag, each)
    registry.put_manifest(tag, beside, beside.digest)
    made = index(image, beside, annotated)
    registry.put_manifest(tag, made)
    return made.digest


def _statement(tag: Tag, image: Blob, kind: str, predicate: Any) -> Blob:
    name = f"pkg:docker/{tag.index}/{tag.repository}@{tag.tag}?platform=linux%2Famd64"
    return blob(
        STATEMENT,
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": kind,
            "subject": [{"name": name, "digest": {"sha256": image.digest.removeprefix("sha256:")}}],
            "predicate": predicate,
        },
    )


def manifest(configuration: Blob, statements: Sequence[Blob], kinds: Sequence[str]) -> Blob:
    """Return the manifest of statements, each named by its predicate type."""
    layers = [
        each.descriptor(annotations={"in-toto.io/predicate-type": kind})
        for each, kind in zip(statements, kinds, strict=True)
    ]
    return blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": configuration.descriptor(),
            "layers": layers,
        },
    )


def index(image: Blob, beside: Blob, annotated: Mapping[str, str]) -> Blob:
    """Return the index of an image and of the statements on it."""
    reference = {
        "vnd.docker.reference.digest": image.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return blob(
        INDEX,
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [
                image.descriptor(platform=PLATFORM),
                beside.descriptor(platform=NO_PLATFORM, annotations=reference),
            ],
            "annotations": dict(annotated),
        },
    )
