"""The Docker engine that builds and runs images: the machine's own, or an embedded one.

The embedded engine is Debian's Docker, unpacked below the workspace and run as a private daemon on
a socket of its own; nothing is installed into the system.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from scripts.lock import apt
from scripts.workspace.errors import Failure
from scripts.workspace.files import exclusive, require_space, write_atomic
from scripts.workspace.paths import ENGINE, shown

# The oldest that is tried: Debian 13 has it. Named contexts, OCI layouts and zstd work there.
LEAST_BUILDKIT = (0, 13)
# Debian 13 has the newest Docker that still runs on Debian 12, except for runc and iptables, which
# want a newer glibc there.
SUITES = {
    # tini is what docker-init is: without it, dockerd complains at each build.
    "trixie": ("docker.io", "docker-cli", "docker-buildx", "containerd", "tini"),
    "bookworm": (
        "runc",
        "iptables",
        "libip4tc2",
        "libip6tc2",
        "libmnl0",
        "libnetfilter-conntrack3",
        "libnfnetlink0",
        "libnftnl11",
        "libseccomp2",
        "libxtables12",
    ),
}
PROGRAMS = (
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "docker",
    "docker-init",
    "docker-proxy",
    "runc",
)
ROOT_FOLDER = ENGINE / "root"
BIN = ENGINE / "bin"
# A socket's path has room for 107 bytes, which a deep clone exceeds: sockets live in /run.
PID_FILE = ENGINE / "dockerd.pid"
LOG = ENGINE / "dockerd.log"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
# Set to 1, the embedded engine is taken even where the machine has one of its own.
EMBEDDED = "SDKILN_EMBEDDED_ENGINE"
INSTALL_HINT = (
    "Install Docker with buildx (https://docs.docker.com/engine/install), start it, and see that "
    "`docker buildx version` answers; or run as root on Debian or Ubuntu, where sdkiln brings an "
    "engine of its own."
)


@dataclass(frozen=True)
class Engine:
    """A Docker daemon that answers at `host`, and the `docker` program that speaks to it.

    `builder` is a buildx builder of the user's own that builds in this daemon's place.
    """

    host: str
    program: Path
    embedded: bool
    builder: str = ""

    def environment(self) -> dict[str, str]:
        """Return the environment in which buildx speaks to this daemon, or to the builder."""
        if self.builder:
            # The user's own settings know where it is.
            return {**os.environ, "BUILDX_BUILDER": self.builder}
        # The builder "default" is the daemon itself: another one would keep the image elsewhere.
        made = {**os.environ, "DOCKER_HOST": self.host, "BUILDX_BUILDER": "default"}
        made.pop("DOCKER_CONTEXT", None)
        if self.embedded:
            made["BUILDX_CONFIG"] = str(ENGINE / "config" / "buildx")
        return made

    @property
    def buildx_command(self) -> list[str]:
        """How buildx is started."""
        if self.embedded:
            # Not through `docker`, which looks for plugins in the folder of its settings: those are
            # the user's, because they hold the logins of registries.
            return [str(ENGINE / "config" / "cli-plugins" / "docker-buildx")]
        return [str(self.program), "buildx"]

    def client(self, timeout_s: float = 600) -> docker.DockerClient:
        """Return an SDK client; `timeout_s` bounds each of its requests."""
        return docker.DockerClient(base_url=self.host, timeout=int(timeout_s))

    def buildx(self, *arguments: str) -> str:
        """Run `docker buildx`; return its output. Raises Failure with its message."""
        done = subprocess.run(
            [*self.buildx_command, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failure(f"docker buildx {arguments[0]} failed:\n{done.stderr.strip()}")
        return done.stdout

    def manifest_layers(self, image: str) -> list[tuple[str, int]]:
        """Return digest and stored size in bytes of an image's layers, from the bottom up.

        Docker's own interface does not tell them, so they are read from the embedded engine's
        containerd; empty for an engine whose containerd is not ours to read.
        """
        if not self.embedded:
            return []
        digest = str(self.client(30).images.get(image).id)
        document = self._content(digest)
        while "manifests" in document:
            document = self._content(document["manifests"][0]["digest"])
        return [(layer["digest"], layer["size"]) for layer in document["layers"]]

    def _content(self, digest: str) -> Any:
        socket = f"--address={exec_root()}/containerd/containerd.sock"
        done = subprocess.run(
            [str(BIN / "ctr"), socket, "--namespace=moby", "content", "get", digest],
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def containerd_store(self) -> bool:
        """Whether images are kept by containerd: zstd layers and rewritten times need it."""
        status = self.client(30).info().get("DriverStatus") or []
        return any(name == "driver-type" for name, _ in status)


def ensure() -> Engine:
    """Return an engine that answers, starting the embedded one when the machine has none.

    Raises Failure when there is none and none can be started; the message says what to do.
    """
    if os.environ.get(EMBEDDED) != "1" and (own := existing()):
        return own
    return start()


def existing() -> Engine | None:
    """Return the machine's own engine when one answers and can build what we build.

    Raises Failure when the daemon is there but may not be used, or lacks something: to start
    another beside it without a word would hide that.
    """
    named = os.environ.get("DOCKER_HOST")
    program = shutil.which("docker")
    if program is None:
        if named:
            raise Failure("DOCKER_HOST is set, but there is no program docker.", hint=INSTALL_HINT)
        return None
    context = [program, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    host = named or _run(context).stdout.strip()
    if not host:
        return None
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).exists():
        if named:
            raise Failure(f"DOCKER_HOST names {host}, where nothing is.", hint="Unset or mend it.")
        return None
    try:
        docker.DockerClient(base_url=host, timeout=20).ping()
    except DockerException as error:
        if "Permission denied" in str(error) or isinstance(error.__cause__, PermissionError):
            raise Failure(
                f"the Docker engine at {host} does not let this user in.",
                hint="Add yourself to its group (usermod -aG docker $USER, then log in again).",
            ) from None
        if named:
            raise Failure(f"the Docker engine at {host} does not answer: {error}") from None
        return None
    own = Engine(host, Path(program), embedded=False)
    _require_features(own)
    return own


def _require_features(own: Engine) -> None:
    """Raise Failure when the machine's engine cannot build what we build; say how it could."""
    instead = f"Or, as root on Debian or Ubuntu, take the embedded engine: {EMBEDDED}=1"
    said = _run([str(own.program), "buildx", "inspect"], own.environment()).stdout
    found = re.search(r"^BuildKit(?: version)?:\s*v?(\d+)\.(\d+)", said, re.MULTILINE)
    if found is None or (int(found[1]), int(found[2])) < LEAST_BUILDKIT:
        what = f"BuildKit {found[1]}.{found[2]}" if found else "no buildx"
        raise Failure(
            f"the Docker engine at {own.host} has {what}; BuildKit 0.13 or newer is needed.",
            hint=f"{INSTALL_HINT}\n  {instead}",
        )
    if not own.containerd_store():
        raise Failure(
            f"the Docker engine at {own.host} keeps images in its classic store, which cannot "
            "hold what is built here (OCI layouts, zstd layers).",
            hint='Put {"features": {"containerd-snapshotter": true}} into its daemon.json and '
            f"restart it.\n  {instead}",
        )


def socket_path() -> Path:
    """Return the embedded daemon's socket: short, and its own for each workspace."""
    return Path("/run") / f"sdkiln-{hashlib.sha256(str(ENGINE).encode()).hexdigest()[:12]}.sock"


def exec_root() -> Path:
    """Return the folder of the embedded daemon's run-time state and of its containerd's socket."""
    return socket_path().with_suffix("")


def unavailable() -> str | None:
    """Return why the embedded engine cannot run on this machine, or None when it can."""
    if os.geteuid() != 0:
        return "must be started as root"
    if reason := apt.available():
        return f"cannot be unpacked: {reason}"
    return None


def embedded() -> Engine:
    """Return the embedded engine, whether it runs or not."""
    return Engine(f"unix://{socket_path()}", BIN / "docker", embedded=True)


def running() -> int | None:
    """Return the process id of the embedded daemon, or None when it does not run."""
    return _process(PID_FILE)


def _process(pid_file: Path) -> int | None:
    """Return the id in a file when it is a living process of this engine, else None.

    An id alone could be another process by now: ours names the engine's folder or its socket's.
    """
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    ours = (str(ENGINE).encode(), str(exec_root()).encode())
    return pid if any(path in command for path in ours) else None


def start() -> Engine:
    """Start the embedded engine unless it runs; the second of two at once waits for the first.

    Raises Failure with the tail of the daemon's log when it does not become ready.
    """
    if reason := unavailable():
        raise Failure(
            f"no Docker engine answers, and the embedded one {reason}.", hint=INSTALL_HINT
        )
    with exclusive(ENGINE / "lock", "starting the engine"):
        process = None
        if running() is None:
            _unpack()
            _end_steps()
            process = _launch()
        _wait(process)
    return embedded()


def _unpack() -> None:
    """Bring the engine's programs below the workspace, once."""
    if (BIN / "dockerd").exists():
        return
    require_space(ENGINE, 1_000_000_000, "the embedded engine")
    print("Unpacking the embedded engine from Debian's packages (once).", flush=True)
    shutil.rmtree(ROOT_FOLDER, ignore_errors=True)
    for suite, names in SUITES.items():
        apt.apt(suite).unpack(names, ROOT_FOLDER)
    plugins = ENGINE / "config" / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    _link(plugins / "docker-buildx", ROOT_FOLDER / "usr/libexec/docker/cli-plugins/docker-buildx")
    BIN.mkdir(exist_ok=True)
    for name in ("iptables", "ip6tables"):
        wrapper = BIN / name
        # By its own place, so that the workspace can be moved.
        wrapper.write_text(
            "#!/bin/sh\n"
            'root=$(dirname "$(readlink -f "$0")")/../root\n'
            "export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu\n"
            "export XTABLES_LIBDIR=$LD_LIBRARY_PATH/xtables\n"
            f'exec "$root/usr/sbin/xtables-nft-multi" {name} "$@"\n'
        )
        wrapper.chmod(0o755)
    for folder in ("usr/bin", "usr/sbin"):
        for program in (ROOT_FOLDER / folder).iterdir():
            if program.name in PROGRAMS:
                _link(BIN / program.name, program)
    # Last, because it is what tells that the engine is unpacked.
    _link(BIN / "dockerd", ROOT_FOLDER / "usr/sbin/dockerd")


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def _launch() -> "subprocess.Popen[bytes]":
    require_space(ENGINE, 2_000_000_000, "running the embedded engine")
    PID_FILE.unlink(missing_ok=True)
    write_atomic(ENGINE / "daemon.json", json.dumps({"features": {"containerd-snapshotter": True}}))
    command = [
        str(BIN / "dockerd"),
        f"--config-file={ENGINE}/daemon.json",
        f"--data-root={ENGINE}/data",
        f"--exec-root={exec_root()}",
        f"--pidfile={PID_FILE}",
        f"--host=unix://{socket_path()}",
    ]
    # What a killed daemon leaves mounted is then below ENGINE, where `stop` looks.
    temporary = ENGINE / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": str(temporary),
    }
    with LOG.open("wb") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A session of its own: Ctrl-C on a build must not stop what another session uses.
            start_new_session=True,
        )


def _wait(process: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            embedded().client(5).ping()
        except DockerException:
            time.sleep(0.2)
            if process is not None and process.poll() is not None:
                break
        else:
            return
    raise Failure(f"the embedded engine did not become ready.\n{log_tail()}")


def log_tail(lines: int = 15) -> str:
    """Return the last lines of the embedded daemon's log, under a heading."""
    try:
        text = LOG.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return f"{shown(LOG)} is missing."
    return f"The end of {shown(LOG)}:\n" + "\n".join(f"  {line}" for line in text)


def why_gone(engine: Engine) -> str:
    """Return the log's tail when `engine` is the embedded one and its daemon has died, else ''."""
    return log_tail() if engine.embedded and running() is None else ""


def stop() -> bool:
    """Stop the embedded engine and what a killed one left; return whether it ran."""
    pid = running()
    if pid is not None:
        _end(pid, running)
    # A daemon that was killed leaves its containerd running and its folder mounted on itself.
    if (orphan := _process(exec_root() / "containerd" / "containerd.pid")) is not None:
        _end(orphan, lambda: _process(exec_root() / "containerd" / "containerd.pid"))
    _end_steps()
    _unmount(ENGINE)
    shutil.rmtree(exec_root(), ignore_errors=True)
    return pid is not None


def _end_steps() -> None:
    """End the steps of a build whose daemon was killed: they run on, and nobody waits for them."""
    if not (BIN / "runc").exists():
        return
    runc = [str(BIN / "runc")]
    listed = subprocess.run([*runc, "list", "--format=json"], capture_output=True, check=True)
    for container in json.loads(listed.stdout) or ():
        bundle = Path(container["bundle"])
        if bundle.is_relative_to(ENGINE):
            # One that ended in the meantime is no failure.
            subprocess.run([*runc, "delete", "--force", container["id"]], capture_output=True)
            _unmount(bundle)
            shutil.rmtree(bundle, ignore_errors=True)


def _unmount(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed([each for each in mounted if Path(each).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", path], check=True)


def _end(pid: int, alive: Callable[[], int | None]) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while alive() == pid:
        if time.monotonic() > deadline:
            raise Failure(f"the embedded engine (process {pid}) does not stop.\n{log_tail()}")
        time.sleep(0.1)


def status() -> str:
    """Return which engine serves: the machine's, the embedded one, or none.

    Of the embedded one it says in a second line where its images and build cache lie, and what room
    there is.
    """
    if os.environ.get(EMBEDDED) != "1" and (own := existing()):
        return f"The machine's own engine at {own.host} is used."
    if pid := running():
        return f"The embedded engine runs: process {pid}, {embedded().host}\n{_place()}"
    if not (BIN / "dockerd").exists():
        return "No engine: the embedded one is not unpacked yet. `build` starts it."
    return f"The embedded engine is stopped. `build` starts it.\n{_place()}"


def _place() -> str:
    free = shutil.disk_usage(ENGINE).free / 1e9
    return f"Its images and build cache lie in {shown(ENGINE)}, a disk with {free:.1f} GB free."


def _run(
    command: Sequence[str], environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            list(command), env=environment, capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command)} does not answer within 60 s.") from None
