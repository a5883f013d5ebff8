"""Git repositories for tests, and git's own HTTP server for them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

from tests.support.servers import Reply, Request, Respond, serving


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` as a person without a name; return what it prints."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(repository: Path, message: str) -> str:
    """Make a commit; return its id."""
    git(repository, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(repository, "rev-parse", "HEAD")


def repository(folder: Path) -> Path:
    """Make a repository with one commit and the annotated tag v1 on it."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "one")
    git(folder, "tag", "--annotate", "v1", "--message=v1")
    return folder


def backend(root: Path, protocol: int = 2) -> Respond:
    """Return a responder that is `git http-backend` for the repositories below `root`."""

    def respond(request: Request) -> Reply:
        path, _, query = request.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            # Without the header a server speaks the first version, as an old one does.
            "GIT_PROTOCOL": request.headers.get("git-protocol", "") if protocol == 2 else "",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=request.body, env=environment, capture_output=True
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(message_from_bytes(head).items())
        return Reply(int(headers.pop("Status", "200").split()[0]), body, headers)

    return respond


@contextmanager
def over_http(root: Path, protocol: int = 2) -> Iterator[str]:
    """Serve the repositories below `root`; yield the address that their names go after."""
    with serving(backend(root, protocol)) as host:
        yield f"http://{host}"
