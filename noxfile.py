"""The commands of sdkiln, one short session each; ./nox -s X -- --help explains one."""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.envdir = f"{os.environ.get('SDKILN_WORKSPACE') or '.workspace'}/nox"
nox.options.reuse_venv = "yes"
nox.options.sessions = []
nox.options.stop_on_first_error = True


def install(session: nox.Session, lock: str) -> None:
    """Install a lock by hash into the session's environment."""
    session.install("--quiet", "--require-hashes", "-r", f"lockfiles/{lock}.txt")


def run(session: nox.Session, lock: str = "tools") -> None:
    """Run the command that the session is named after, and end with its exit code."""
    install(session, lock)
    sessions = session._runner.manifest.list_all_sessions()
    chosen = [each.name for each, is_chosen in sessions if is_chosen]
    command = ("python", "-m", f"scripts.{session.name}", *session.posargs)
    try:
        session.run(
            *command,
            env={"SDKILN_SESSIONS": " ".join(chosen)},
            stderr=None,  # nox would lead it into stdout
            interrupt_timeout=None,  # after Ctrl-C a command removes its container, however long
        )
    except nox.command.CommandFailed as failure:
        raise SystemExit(failure.return_code or 1) from None


@nox.session
def lock(session: nox.Session) -> None:
    """Pin every input by hash: packages, images, sources, models, Debian."""
    run(session)


@nox.session
def models(session: nox.Session) -> None:
    """Fetch, verify and describe a profile's model."""
    run(session)


@nox.session
def engine(session: nox.Session) -> None:
    """Start, stop or look at the Docker engine."""
    run(session)


@nox.session
def build(session: nox.Session) -> None:
    """Build a profile's image from the locks."""
    run(session)


@nox.session
def serve(session: nox.Session) -> None:
    """Run the image here, with the worker's API on localhost."""
    run(session)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the built image: attention, and images through its API."""
    run(session, "bench")


@nox.session
def report(session: nox.Session) -> None:
    """Make the HTML page of all that was built and measured."""
    run(session, "report")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, starting what they need; `-- unit` runs the fast ones alone."""
    run(session, "dev")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style: ruff, shellcheck, hadolint."""
    run(session, "dev")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy --strict."""
    run(session, "dev")
