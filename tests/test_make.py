"""What a newcomer does: `make run` in a fresh copy, and pasting what it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from typing import IO
from urllib.request import urlopen

import pytest

from tests import servers
from tests.servers import ROOT, Server, running

pytestmark = [pytest.mark.xdist_group("make"), pytest.mark.timeout(300)]  # a new .venv has to be filled


def copy_of_the_tree(target: Path) -> None:
    """Copy what git tracks, or would after `git add .`, into the folder `target`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, copy)


def make(*arguments: str) -> list[str]:
    """The command line of a `make` that owns its process group and hears Ctrl-C, as in a terminal."""
    return ["env", "--default-signal=INT", "setsid", "make", "--no-print-directory", *arguments]


@pytest.fixture(scope="module", autouse=True)
def newcomer() -> Iterator[None]:
    """An environment without a word about this project, and the patience that a first installation takes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(
                ("DATABASE_", "DJANGO_", "JWT_", "LOG_", "MAKE", "MFLAGS", "PORT", "REALTIME_", "REDIS_")
            ):
                patch.delenv(name)
        patch.setattr(servers, "START_TIMEOUT", 240.0)
        yield


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hopeflow")
    copy_of_the_tree(folder)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


@contextmanager
def make_run(tree: Path, port: int) -> Iterator[Server]:
    command = make("-C", str(tree), "run", f"PORT={port}")
    with running(command, r"Listening on TCP address 127\.0\.0\.1:(\d+)", {}) as server:
        yield server


@pytest.fixture(scope="module")
def site(tree: Path, unused_tcp_port_factory: Callable[[], int]) -> Iterator[Server]:
    """The service after the first `make run`, .venv and all."""
    with make_run(tree, unused_tcp_port_factory()) as server:
        yield server


def test_what_it_prints(site: Server, tree: Path) -> None:
    """The two printed commands, pasted into two terminals, show an envelope and its ack."""
    listen, publish = re.findall(r"^ +(\.venv/bin/python manage\.py .+)$", site.log, re.MULTILINE)
    with subprocess.Popen(
        listen, shell=True, cwd=tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listener:
        assert listener.stdout is not None
        assert listener.stderr is not None
        try:
            said = "".join(iter_until(listener.stderr, "listening"))
            assert listener.poll() is None, said
            published = subprocess.run(publish, shell=True, cwd=tree, text=True, capture_output=True, timeout=60)
            assert published.stdout == '{"clientCount":1,"results":["displayed"]}\n', published.stderr
            envelope = json.loads(listener.stdout.readline())
        finally:
            listener.terminate()
    assert (envelope["userId"], envelope["type"], envelope["payload"]) == ("ann", "chat_message", {"text": "hello"})


def test_the_printed_page_is_there(site: Server) -> None:
    """The demo, in development, at the address that is printed."""
    (link,) = re.findall(r"^ +(http://\S+)$", site.log, re.MULTILINE)
    assert link == f"{site.url}/demo/"
    with urlopen(link) as answer:
        assert "A first minute" in answer.read().decode()


def iter_until(lines: IO[str], text: str) -> Iterator[str]:
    """The lines up to the one that holds `text`, or all of them."""
    for line in lines:
        yield line
        if text in line:
            return


def test_a_port_in_use(site: Server, tree: Path) -> None:
    """A second `make run` on the same port ends with a message that says what to do."""
    port = site.url.rpartition(":")[2]
    second = subprocess.run(
        make("-C", str(tree), "run", f"PORT={port}"),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert second.returncode != 0
    assert f"127.0.0.1:{port} is in use. Take another port, as in: make run PORT=8001" in second.stderr
    assert "Traceback" not in second.stderr


def test_secrets(site: Server, tree: Path) -> None:
    """The secrets are long, random, readable by their owner only, and ignored by git."""
    path = tree / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=tree).returncode == 0
    variables = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert list(variables) == ["JWT_SECRET", "DJANGO_SECRET_KEY", "POSTGRES_PASSWORD", "DJANGO_DEBUG"]
    assert variables["JWT_SECRET"] != variables["DJANGO_SECRET_KEY"]
    assert min(len(variables["JWT_SECRET"]), len(variables["DJANGO_SECRET_KEY"])) >= 48


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_starting_again(
    site: Server, tree: Path, unused_tcp_port_factory: Callable[[], int], sig: signal.Signals
) -> None:
    """A later start keeps the secrets, installs nothing, and a signal leaves no process behind."""
    secrets, installed = (tree / ".env").read_text(), (tree / ".venv/run.stamp").stat().st_mtime_ns
    port = unused_tcp_port_factory()
    with make_run(tree, port) as server:
        # Ctrl-C goes to all processes of a terminal, a process manager's SIGTERM to `make` alone.
        os.killpg(server.process.pid, sig) if sig == signal.SIGINT else server.process.send_signal(sig)
        server.process.wait(30)
    socket.create_server(("127.0.0.1", port)).close()
    assert (tree / ".env").read_text() == secrets
    assert (tree / ".venv/run.stamp").stat().st_mtime_ns == installed


def test_help() -> None:
    """`make` on its own starts nothing and tells what there is."""
    shown = subprocess.run(make("-C", str(ROOT)), capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make (\w+)", shown, re.MULTILINE) == ["run", "test", "docs", "fuzz", "bench", "pictures"]
