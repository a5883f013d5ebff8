"""The software bill of materials of an image, as SPDX 2.3: from the pins, not from a scan."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    Package,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)

from scripts.build.components import Component
from scripts.build.record import BuildRecord

DOCUMENT, IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-Image"


def document(record: BuildRecord, found: Collection[Component]) -> Any:
    """Return the SPDX document of a built image, as JSON has it.

    The time in it is that of the build. What --context replaced is named and not described.
    """
    image = Package(
        spdx_id=IMAGE,
        name=record.image,
        download_location=SpdxNoAssertion(),
        version=record.digest,
        checksums=[_checksum(record.digest.removeprefix("sha256:"))],
        files_analyzed=False,
        comment=_left_out(record, found),
    )
    packages = [_package(number, component) for number, component in enumerate(found, 1)]
    contains = [
        Relationship(IMAGE, RelationshipType.CONTAINS, package.spdx_id) for package in packages
    ]
    made = Document(
        CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=DOCUMENT,
            name=f"sdkiln-{record.profile}",
            document_namespace=f"urn:sdkiln:{record.profile}:{record.digest}",
            creators=[Actor(ActorType.TOOL, "sdkiln")],
            created=datetime.strptime(record.utc, "%Y-%m-%dT%H:%M:%SZ"),
        ),
        packages=[image, *packages],
        relationships=[Relationship(DOCUMENT, RelationshipType.DESCRIBES, IMAGE), *contains],
    )
    return DocumentConverter().convert(made)


def _package(number: int, component: Component) -> Package:
    # A package with several files could be any of them.
    checksums = [_checksum(component.sha256[0])] if len(component.sha256) == 1 else []
    purl = ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", component.purl)
    return Package(
        spdx_id=f"SPDXRef-{number}",
        name=component.name,
        download_location=SpdxNoAssertion(),
        version=component.version or None,
        checksums=checksums,
        files_analyzed=False,
        external_references=[purl],
        comment=f"In the layer {component.layer}.",
    )


def _checksum(sha256: str) -> Checksum:
    return Checksum(ChecksumAlgorithm.SHA256, sha256)


def _left_out(record: BuildRecord, found: Collection[Component]) -> str | None:
    """Return what is in the image and not in the document."""
    sentences = []
    if record.replaced:
        names = ", ".join(sorted(record.replaced))
        sentences.append(f"Replaced when it was built, and not listed: {names}.")
    if any(component.purl.startswith("pkg:docker/") for component in found):
        sentences.append("What the base image consists of is not listed.")
    return " ".join(sentences) or None
