"""What is in the image: the locked packages and nothing else, readable, and nothing to write to."""

import json

import pytest
from docker.models.containers import Container

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.lock.lockfile import locked
from tests.support.containers import python, strict

INSTALLED = """
import importlib.metadata, json, re
installed = importlib.metadata.distributions()
print(json.dumps({re.sub("[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in installed}))
"""


@pytest.mark.parametrize(
    ("interpreter", "lock"),
    [
        ("/opt/webui/bin/python", "webui-cu121-py3.11"),
        ("/opt/worker/bin/python", "worker-py3.11"),
    ],
)
def test_an_environment_is_exactly_its_lock(webui: Container, interpreter: str, lock: str) -> None:
    expected = {pin.name: pin.version for pin in locked(lock)}
    assert json.loads(python(webui, INSTALLED, interpreter)) == expected


def test_the_user_is_a_number_and_not_root(engine: Engine, image: BuildRecord) -> None:
    assert engine.client().images.get(image.image).attrs["Config"]["User"] == "10001:10001"


def test_the_web_ui_listens_on_loopback_alone(webui: Container) -> None:
    # proc(5): local addresses in hexadecimal, state 0A is LISTEN; 0BB8 is port 3000.
    listening = python(
        webui,
        "for line in open('/proc/net/tcp'):\n"
        "    fields = line.split()\n"
        "    if fields[3] == '0A': print(fields[1])\n",
    ).split()
    assert listening == ["0100007F:0BB8"]


def test_tcmalloc_is_mapped_into_the_web_ui(webui: Container) -> None:
    found = python(
        webui,
        "import pathlib\n"
        "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    if b'webui.py' in path.read_bytes().split(bytes(1)):\n"
        "        print('libtcmalloc_minimal' in (path.parent / 'maps').read_text())\n",
    )
    assert found.split() == ["True"]


def test_the_tokenizer_works_offline_with_openais_numbers(webui: Container) -> None:
    found = python(
        webui,
        "from transformers import CLIPTokenizer\n"
        "print(CLIPTokenizer.from_pretrained('openai/clip-vit-large-patch14')"
        "('a photo of a cat')['input_ids'])",
        "/opt/webui/bin/python",
    )
    assert "[49406, 320, 1125, 539, 320, 2368, 49407]" in found


def test_bytecode_is_there_and_never_goes_stale(webui: Container) -> None:
    # PEP 552: bit 0 says hash-based, bit 1 that the source is checked; 1 is "unchecked".
    found = python(
        webui,
        "import pathlib, struct, collections\n"
        "site = pathlib.Path('/opt/webui/lib/python3.11/site-packages/torch')\n"
        "files = list(site.rglob('*.pyc'))\n"
        "flags = {struct.unpack('<I', path.read_bytes()[4:8])[0] for path in files}\n"
        "print(len(files) > 1000, flags)",
    )
    assert found.split() == ["True", "{1}"]


def test_every_backend_of_the_bench_agrees_with_float64(engine: Engine, image: BuildRecord) -> None:
    from scripts.bench.container import MOUNT, staged_probe

    with (
        staged_probe() as folder,
        strict(
            engine,
            image,
            ["-m", "probe", "parity"],
            environment={"PYTHONPATH": MOUNT},
            volumes={str(folder): {"bind": MOUNT, "mode": "ro"}},
            entrypoint=["/opt/webui/bin/python"],
        ) as started,
    ):
        assert started.wait() == 0, started.log()
