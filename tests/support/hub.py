"""A fake: answers for one file as Hugging Face's `resolve` does, as far as look-ups go.

What the real one does was read in huggingface_hub: the headers of a large file come with a
redirect to another host, those of a small one with its content.
"""

import hashlib
from dataclasses import dataclass, field

from tests.support.servers import Reply, Request

REPOSITORY = "someone/model"
FILE = "weights.safetensors"
SMALL = "config.json"
REVISION = "5" * 40
TOKEN = "hf_of_a_test"


@dataclass
class Hub:
    """One repository with a large and a small file; `private` wants TOKEN, `gated` refuses."""

    content: bytes = b"weights"
    private: bool = False
    gated: bool = False
    tokens: list[str | None] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the large file."""
        return hashlib.sha256(self.content).hexdigest()

    def __call__(self, request: Request) -> Reply:
        """Answer a request for a file of the repository, or for anything else."""
        token = request.headers.get("authorization")
        if "/resolve/" not in request.path:
            return Reply(404)  # huggingface_hub asks for more than the file
        self.tokens.append(token)
        if self.gated:
            return _error(401, "GatedRepo")
        known = request.path.startswith(f"/{REPOSITORY}/resolve/main/")
        if not known or (self.private and token != f"Bearer {TOKEN}"):
            # Who is not logged in is not told whether it exists.
            return _error(404 if token else 401, "RepoNotFound")
        commit = {"X-Repo-Commit": REVISION}
        if request.path.endswith(f"/{SMALL}"):
            return Reply(
                200, b"{}", {**commit, "ETag": '"9e26dfeeb6e641a33dae4961196235bdb965b21b"'}
            )
        if not request.path.endswith(f"/{FILE}"):
            return _error(404, "EntryNotFound", commit)
        linked = {"X-Linked-Size": str(len(self.content)), "X-Linked-ETag": f'"{self.sha256}"'}
        # Another host than asked: a client that follows it finds nobody there.
        return Reply(302, b"", {**commit, **linked, "Location": "http://127.0.0.1:1/cdn/weights"})


def _error(status: int, code: str, more: "dict[str, str] | None" = None) -> Reply:
    return Reply(status, b"", {"X-Error-Code": code, "X-Error-Message": "no", **(more or {})})
