"""Why a build failed: the step, its line of the Dockerfile, its last lines, the likely cause."""

import re
from pathlib import Path

from scripts.build.progress import Step, Steps
from scripts.workspace.errors import Failure
from scripts.workspace.paths import shown

TAIL = 30
# What the tools say, in lower case, and what it likely comes from; the first that fits is given.
CAUSES = (
    (
        r"no space left",
        "The disk is full. It is that of .workspace, or of Docker's folder where a Docker of this "
        "machine builds.",
    ),
    (
        r"hash mismatch",
        "A download does not have the pinned hash. Try again without a proxy; if it stays so, the "
        "file was replaced on the index: ./nox -s lock -- --upgrade NAME.",
    ),
    (
        r"invalid peer certificate|certificate verify failed|x509: ",
        "The index or registry shows a certificate that is not trusted. Name the bundle that has "
        "its authority: SSL_CERT_FILE=/path.",
    ),
    (
        r"http status client error \(40[134]|valid authentication credentials \(401"
        r"|returned a 403 forbidden",
        "The index answers and does not give a package: it wants another login (401, 403), or no "
        "longer has the file (404). Check the login in UV_DEFAULT_INDEX or uv.toml; of a file that "
        "is gone: ./nox -s lock -- --upgrade NAME.",
    ),
    (
        r"no solution found when resolving",
        "The pins do not go together, or the index lacks one of them. ./nox -s lock makes them "
        "anew.",
    ),
    (
        r"exit code: 137|out of memory|cannot allocate memory",
        "The step was killed: most likely there was not enough memory. dmesg tells.",
    ),
    (
        r"load metadata for .*not found",
        "The registry no longer has the base image of this digest. ./nox -s lock -- --upgrade with "
        "its name in [images] pins the one it has; --context base=IMAGE takes another.",
    ),
    (
        r"toomanyrequests|pull access denied|load metadata for .*(unauthorized|forbidden)",
        "The registry does not give the base image to this user. Log in with docker login, or "
        "take another: --context base=IMAGE.",
    ),
    (
        r"failed to fetch|error sending request|dns error|i/o timeout|connection refused"
        r"|no such host|network is unreachable|tls handshake timeout|due to network timeout"
        r"|server misbehaving|connection reset",
        "The build does not reach the network: the package index, or the base image's registry. "
        "Check the connection and UV_DEFAULT_INDEX.",
    ),
)
# buildx quotes the Dockerfile below this line, which has the first line of the instruction.
QUOTED = re.compile(r"^(?:.*/)?Dockerfile:(\d+)$")
# Before the exit code BuildKit repeats the whole command.
REPEATED = re.compile(r'^process ".*" did not complete successfully: ', re.DOTALL)


class StepFailed(Failure):
    """A step of a build failed; `line` is that of its instruction, None when buildx tells none."""

    def __init__(self, message: str, *, hint: str, target: str, step: Step, steps: Steps) -> None:
        """Keep what the message was made from."""
        super().__init__(message, hint=hint)
        self.target = target
        self.step = step
        self.steps = steps
        self.line = line(steps)


def failure(target: str, steps: Steps, dockerfile: Path | None) -> Failure:
    """Return what there is to say of a failed build of `target`, made from `dockerfile`."""
    step = steps.failed()
    if step is None:
        said = "\n".join(steps.other[-10:])
        return Failure(f"the build failed:\n{said}", hint=cause(said))
    ending = REPEATED.sub("", step.error)
    where = line(steps)
    place = f" ({shown(dockerfile)}:{where})" if dockerfile and where else ""
    lines = "\n".join(f"  {each}" for each in [*step.tail(TAIL), ending])
    return StepFailed(
        f"the build failed at {step.title}{place}:\n{lines}",
        hint=cause("\n".join([step.name, *step.tail(TAIL), step.error])),
        target=target,
        step=step,
        steps=steps,
    )


def line(steps: Steps) -> int | None:
    """Return the line of the Dockerfile that buildx names, or None."""
    found = [match for said in steps.other if (match := QUOTED.match(said))]
    return int(found[-1][1]) if found else None


def cause(said: str) -> str:
    """Return the likely cause of a failure, when it is one of the known ones, else ''."""
    text = said.lower()
    return next((likely for pattern, likely in CAUSES if re.search(pattern, text, re.DOTALL)), "")
