"""Servers and commands as forks of a process that has imported Twisted, Django and the rest, which costs more CPU than
most tests.

A fork runs the same module or script by its name, as Python does, with an environment, a folder and files of its own,
and imports all of our code itself. `make run`, systemd's units, the products of tests/embedding.py, the commands that
the README shows and the benchmarks are started in the plain way.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import IO, Any

# Nothing of ours, and nothing that makes an event loop or wants settings when it is imported.
IMPORTED = (
    "autobahn.twisted.websocket",
    "channels.consumer",
    "channels.layers",
    "channels_redis.core",
    "channels_redis.pubsub",
    "cryptography.fernet",
    "django.contrib.admin",
    "django.contrib.auth.hashers",
    "django.contrib.staticfiles.finders",
    "django.core.handlers.asgi",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.forms",
    "django.template.defaulttags",
    "django.views.debug",
    "environ",
    "jwt",
    "msgpack",
    "msgspec",
    "prometheus_client",
    "redis.asyncio",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "uvicorn.main",
    "whitenoise.middleware",
)
LONGEST = 1 << 20  # bytes of a request: a command line and an environment


class Forked:
    """What tests use of `subprocess.Popen`, for a process whose parent is another child of ours."""

    def __init__(self, forks: Forks, args: list[str], pid: int) -> None:
        self.args, self.pid = args, pid
        self.returncode: int | None = None
        self._forks, self._lock = forks, threading.Lock()
        self._ended = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """How it ended, as Popen says it. None: it runs."""
        with self._lock:
            if self.returncode is None and self._has_ended(0):
                self.returncode = self._forks.ask(ended=self.pid)
                os.close(self._ended)
            return self.returncode

    def _has_ended(self, timeout: float | None) -> bool:
        """Wait for it for some seconds, or (None) as long as it takes."""
        poll = select.poll()  # which knows no highest file, as select does
        poll.register(self._ended, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def wait(self, timeout: float | None = None) -> int:
        """How it ended. Raises TimeoutExpired after `timeout` seconds."""
        if self.poll() is None:
            self._has_ended(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that forks, which starts with the first fork and ends with ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def start(
        self,
        command: list[str],
        env: Mapping[str, str],
        home: Path,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Forked:
        """Run `command`: this interpreter with `-m` and a module, or a script, and perhaps `-W error` before."""
        assert command[0] == sys.executable
        files = [file.fileno() for file in (stdin, stdout, stderr)]
        return Forked(self, command, self.ask(*files, command=command[1:], env=dict(env), home=str(home)))

    def ask(self, *files: int, **request: Any) -> int:
        """What it answers. Raises RuntimeError, or OSError, when it has ended: what it had to say is on stderr."""
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(request).encode()], files)
            if not (answer := self._channel.recv(LONGEST)):
                raise RuntimeError("the process that forks has ended")
            return int(answer)

    @cached_property
    def _channel(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                pass_fds=[theirs.fileno()],
            )
        return ours

    def end(self) -> None:
        if "_channel" in vars(self):
            self._channel.close()
            self._process.wait()


def serve(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork on request, and say how forks ended, until the other end is closed. In a fork, returns what it shall run and
    its stdin, stdout and stderr.
    """
    while True:
        message, files, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not message:
            return None
        request = json.loads(message)
        if "ended" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["ended"], 0)[1])
        elif (answer := os.fork()) == 0:
            return request, files
        for file in files:
            os.close(file)
        channel.send(str(answer).encode())


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    ours = [name for name in sys.modules if name.startswith(("realtime", "hopeflow_site", "daphne"))]
    assert not ours, f"{ours} would not be imported by the servers themselves"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for all: the tests still need an end
    gc.freeze()  # else each fork, at the latest when it ends, looks at all of it, and copies it by that
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        request = serve(channel)
    if request is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(*request)


def run(request: dict[str, Any], files: list[int]) -> None:
    """Be what was asked for, until it ends."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["home"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["home"]
    sys.argv = request["command"]
    if sys.argv[:2] == ["-W", "error"]:
        warnings.simplefilter("error")
        del sys.argv[:2]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
