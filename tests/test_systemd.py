"""deploy/systemd under a real systemd, that of a user, with two processes behind a real nginx."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from .clients import NOBODY, PATIENCE, constant_publishing, service_of
from .servers import ROOT, START_TIMEOUT, Server, environment, free_port, missing, nginx, replaced, unable, valkey

pytestmark = pytest.mark.xdist_group("systemd")

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = ROOT / "deploy/systemd"
TARGET = "hopeflow-realtime.target"
# A manager runs only where systemd is said to have booted the machine. The rest is what hides parts of the file system.
NAMESPACE = """
mount -t tmpfs none /run/systemd && cd /run/systemd && mkdir -p system inaccessible/dir && touch inaccessible/reg &&
mknod inaccessible/chr c 0 0 && cd / && exec "$0" --user --log-target=console
"""


@dataclass
class Manager:
    """A systemd of a user."""

    env: dict[str, str]
    ports: list[int]
    process: subprocess.Popen[bytes]

    def run(self, *arguments: str) -> str:
        command = ["systemctl", "--user", *arguments]
        done = subprocess.run(command, env=self.env, text=True, capture_output=True, timeout=60)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr + self.log)
        return done.stdout.strip()

    def show(self, port: int, name: str) -> str:
        return self.run("show", "--value", "--property", name, f"hopeflow-realtime@{port}.service")

    @property
    def servers(self) -> list[Server]:
        return [
            Server(f"http://127.0.0.1:{port}", self.process, Path(self.env["XDG_RUNTIME_DIR"], f"{port}.log"))
            for port in self.ports
        ]

    @property
    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(Path(self.env["XDG_RUNTIME_DIR"]).glob("*.log")))


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """A manager that knows the units as they are shipped, but for where things are on this machine."""
    if not SYSTEMD.exists() or shutil.which("systemctl") is None:
        missing("systemd")
    folder, ports = tmp_path_factory.mktemp("systemd"), [free_port() for _ in range(2)]
    for name in ("basic.target", "default.target", "exit.target", "shutdown.target", "systemd-exit.service"):
        shutil.copyfile(f"/usr/lib/systemd/user/{name}", folder / name)
    target = {
        f"hopeflow-realtime@{shipped}.service": f"hopeflow-realtime@{port}.service"
        for shipped, port in zip((8001, 8002), ports, strict=True)
    }
    (folder / TARGET).write_text(replaced((UNITS / TARGET).read_text(), target))
    service = {
        "User=hopeflow\n": f"User={getpass.getuser()}\n",
        "WorkingDirectory=/opt/hopeflow-realtime\n": f"WorkingDirectory={ROOT}\n",
        "EnvironmentFile=/etc/hopeflow-realtime.env\n": f"EnvironmentFile={folder}/env\n",
        "ExecStart=/opt/hopeflow-realtime/.venv/bin/python ": f"ExecStart={sys.executable} ",
        "ProtectHome=yes\n": "ProtectHome=read-only\n",  # the interpreter may be there
        "PrivateTmp=yes\n": f"PrivateTmp=yes\nBindReadOnlyPaths={ROOT}\n",  # the project may be there
        "[Service]\n": f"[Service]\nStandardOutput=append:{folder}/%i.log\n",
    }
    name = "hopeflow-realtime@.service"
    (folder / name).write_text(replaced((UNITS / name).read_text(), service))
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_UNIT_PATH": str(folder)}
    with valkey() as redis:
        variables = environment(REDIS_URL=redis.connection_url)
        (folder / "env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        command = ["unshare", "--mount", "sh", "-c", NAMESPACE, str(SYSTEMD)]
        with (
            (folder / "manager.log").open("wb") as log,
            subprocess.Popen(command, env=env, stdout=log, stderr=log) as process,
        ):
            try:
                manager = Manager(env, ports, process)
                wait_until_it_answers(manager)
                yield manager
            finally:
                process.terminate()  # it stops what it has started


def wait_until_it_answers(manager: Manager) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while manager.process.poll() is None and time.monotonic() < deadline:
        try:
            manager.run("show", "--property", "Version")
        except subprocess.CalledProcessError:
            time.sleep(0.02)
        else:
            return
    unable(f"systemd does not run here (it needs root, and mount namespaces): {manager.log}")


@pytest.fixture
def site(manager: Manager) -> Iterator[Server]:
    """nginx in front of the two processes of the target."""
    manager.run("start", TARGET)
    with nginx(*manager.servers) as server:
        yield server


def test_the_units_are_valid() -> None:
    """All that is missed is what this machine has not installed."""
    files = sorted(str(path) for path in UNITS.iterdir())
    said = subprocess.run(["systemd-analyze", "verify", *files], text=True, capture_output=True).stderr.splitlines()
    python = "/opt/hopeflow-realtime/.venv/bin/python"
    assert [line.partition(": ")[2] for line in said] == [
        f"Command {python} is not executable: No such file or directory"
    ]


async def test_a_process_that_is_killed_comes_back_by_itself(manager: Manager, site: Server) -> None:
    port = manager.ports[0]
    for server in manager.servers:
        async with service_of([server], 401) as service:
            assert await service.publish("nobody") == NOBODY
    os.kill(int(manager.show(port, "MainPID")), signal.SIGKILL)
    async with asyncio.timeout(START_TIMEOUT):
        while (manager.show(port, "NRestarts"), manager.show(port, "ActiveState")) != ("1", "active"):
            await asyncio.sleep(0.1)
    async with service_of(manager.servers[:1], 401) as service:
        assert await service.publish("nobody") == NOBODY


async def test_restarting_one_after_the_other_answers_every_publish(manager: Manager, site: Server) -> None:
    """Each command returns when its process can work, so that the next one may begin."""
    before = {manager.show(port, "MainPID") for port in manager.ports}
    async with asyncio.timeout(90), service_of([site], 401) as service, constant_publishing(service) as answers:
        for port in manager.ports:
            await asyncio.to_thread(manager.run, "restart", f"hopeflow-realtime@{port}")
    assert {answer.status_code for answer in answers} == {200}
    assert before.isdisjoint(manager.show(port, "MainPID") for port in manager.ports)


async def test_stopping_the_target_closes_sockets_for_a_restart_and_ends_both_in_order(
    manager: Manager, site: Server
) -> None:
    async with (
        service_of(manager.servers, 401) as service,
        service.connect("ann") as one,
        service.connect("ann") as two,
    ):
        await asyncio.to_thread(manager.run, "stop", TARGET)
        for socket in (one, two):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.connection.close_code == 1012
    async with asyncio.timeout(PATIENCE):  # one that did not end in order stays "failed"
        while any(manager.show(port, "ActiveState") != "inactive" for port in manager.ports):
            await asyncio.sleep(0.05)
    assert "Traceback" not in manager.log
