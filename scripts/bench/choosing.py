"""What a choice means to the suites of attention and of networks: its check, its arguments."""

from collections.abc import Iterable

from scripts.bench.probe.attn_plan import DTYPES, Choice
from scripts.bench.suite import Settings
from scripts.workspace.errors import BadInput
from scripts.workspace.model import offer


def require(suite: str, choice: Choice, backends: Iterable[str]) -> None:
    """Raise BadInput for a backend or type that the suite does not know."""
    for what, names, known in (
        ("backend", choice.backends, tuple(backends)),
        ("type", choice.dtypes, DTYPES),
    ):
        for name in names:
            if name not in known:
                raise BadInput(f"{suite} has no {what} {name!r}.{offer(name, known)}")


def told(suite: str, settings: Settings) -> list[str]:
    """Return what the probe of a suite is told."""
    choice = settings.choice
    made = [suite, "--seed", str(settings.seed), "--rounds", str(settings.rounds)]
    made += ["--budget", str(settings.budget_s), "--size", choice.size]
    made += ["--shape", ",".join(choice.shapes), "--backend", ",".join(choice.backends)]
    made += ["--dtype", ",".join(choice.dtypes)]
    made += ["--exact"] if settings.exact else []
    return made + (["--skip", ",".join(settings.skip)] if settings.skip else [])
