"""docker-compose.yml, Dockerfile, deploy/nginx.conf and deploy/systemd agree with one another and with the code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from inspect import signature
from typing import Any

import pytest
import yaml

from realtime.admission import FIRST_LOOK
from realtime.conf import Settings
from realtime.redishost import COMMAND_TIMEOUT
from realtime.server import server
from realtime.server.files import FOR_REQUESTS
from realtime.server.server import DRAIN_TIME, DRAIN_TIMEOUT, LAST_MOMENT
from tests.servers import DAPHNE, ROOT, Server, daphne, environment

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REPLICAS = {name: service for name, service in SERVICES.items() if "build" in service and "command" not in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMMAND: list[str] = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[0])
PORT = COMMAND[COMMAND.index("-p") + 1]
NGINX = (ROOT / "deploy/nginx.conf").read_text()
RUNNING = (ROOT / "docs/running.md").read_text()
UNIT = (ROOT / "deploy/systemd/hopeflow-realtime@.service").read_text()

each_replica = pytest.mark.parametrize("replica", REPLICAS.values(), ids=REPLICAS.keys())


def test_replicas() -> None:
    """The same image runs at least twice."""
    first, *others = REPLICAS.values()
    assert others
    assert all(other == first for other in others)


@each_replica
def test_variables(replica: dict[str, Any]) -> None:
    """Every environment variable is one that the site's settings read."""
    settings = ast.parse((ROOT / "hopeflow_site/settings.py").read_text())
    read = {node.value for node in ast.walk(settings) if isinstance(node, ast.Constant)}
    assert set(replica["environment"]) <= read
    assert replica["environment"] == SERVICES["migrate"]["environment"]


@each_replica
def test_secrets(replica: dict[str, Any]) -> None:
    """Compose refuses to start without the secrets that are needed, and none stands in the file."""
    variables = replica["environment"]
    assert re.fullmatch(r"\$\{DJANGO_SECRET_KEY:\?[^}]+\}", variables["DJANGO_SECRET_KEY"])
    assert variables["JWT_SECRET"] == "${JWT_SECRET:-}"
    user, password = "hopeflow", "${POSTGRES_PASSWORD:?a password for the database}"
    assert variables["DATABASE_URL"] == f"postgres://{user}:{password}@postgres:5432/hopeflow"
    database = SERVICES["postgres"]["environment"]
    assert database == {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password}


def test_migrations() -> None:
    """The tables are there before the first process starts."""
    assert all(replica["depends_on"]["migrate"]["condition"].endswith("successfully") for replica in REPLICAS.values())
    assert SERVICES["migrate"]["command"][1:] == ["manage.py", "migrate"]


@each_replica
def test_redis(replica: dict[str, Any]) -> None:
    """Every process is told the address of the Redis beside it."""
    host = re.fullmatch(r"redis://(\w+):6379/0", replica["environment"]["REDIS_URL"])
    assert host is not None
    assert host[1] in SERVICES


@each_replica
def test_healthcheck(replica: dict[str, Any]) -> None:
    """The health check passes while the service answers, and fails when it does not."""
    kind, _, *arguments = replica["healthcheck"]["test"]
    assert kind == "CMD"

    def check(server: Server) -> int:
        own = [argument.replace(f"http://127.0.0.1:{PORT}", server.url) for argument in arguments]
        return subprocess.run([sys.executable, *own], stderr=subprocess.DEVNULL).returncode

    with daphne(environment()) as server:
        assert check(server) == 0
    assert check(server) != 0


def test_upstreams() -> None:
    """nginx balances exactly the processes that Compose starts, on the port that Daphne listens on."""
    assert sorted(re.findall(r"^ *server ([\w.:-]+) fail_timeout", NGINX, re.MULTILINE)) == sorted(
        f"{name}:{PORT}" for name in REPLICAS
    )
    assert set(SERVICES["nginx"]["depends_on"]) == set(REPLICAS)


def test_nginx_mount() -> None:
    """nginx gets the file that the tests run, and its port is the one that is published."""
    source, target, mode = SERVICES["nginx"]["volumes"][0].split(":")
    assert (ROOT / source).samefile(ROOT / "deploy/nginx.conf")
    assert (target, mode) == ("/etc/nginx/nginx.conf", "ro")
    published = SERVICES["nginx"]["ports"][0].split(":")[1]
    assert re.findall(r"listen (\d+);", NGINX) == [published]


def test_body_bounds() -> None:
    """nginx lets a body pass that is slightly larger than the service takes, so that the service answers it."""
    megabytes = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert Settings.MAX_BODY_BYTES < int(megabytes[0]) * 2**20 <= 2 * Settings.MAX_BODY_BYTES


def test_images() -> None:
    """Every image that is pulled has a version in its tag."""
    pulled = [service["image"] for service in SERVICES.values() if "build" not in service]
    for image in [*pulled, *re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]:
        assert re.fullmatch(r"[\w/.-]+:\d+\.\d+[\w.-]*", image), image


def test_copies() -> None:
    """The Dockerfile copies what exists, and .dockerignore lets it through and hardly anything else."""
    copied = {path for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for path in line.split()[:-1]}
    assert all((ROOT / path).exists() for path in copied)
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert patterns[0] == "*"
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == copied


def test_command() -> None:
    """The container runs our server, with the application that the site has, and not as root."""
    assert COMMAND[:3] == ["python", "-m", "realtime.server"]
    module, name = COMMAND[-1].split(":")
    assert callable(getattr(import_module(module), name))
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)
    assert f"EXPOSE {PORT}" in DOCKERFILE


def test_the_unit_runs_what_the_container_runs() -> None:
    """But for the address: its port is the name of the instance, and only this machine reaches it."""
    (command,) = re.findall(r"^ExecStart=/opt/hopeflow-realtime/.venv/bin/(.+)$", UNIT, re.MULTILINE)
    assert command.replace("127.0.0.1", "0.0.0.0").replace("%i", PORT).split() == COMMAND


def test_a_stop_is_given_all_the_time_that_the_server_may_take() -> None:
    (unit,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    graces = [int(unit), *(int(replica["stop_grace_period"].removesuffix("s")) for replica in REPLICAS.values())]
    assert min(graces) > DRAIN_TIME + DRAIN_TIMEOUT + LAST_MOMENT


def test_the_unit_may_open_as_many_files_as_there_may_be_sockets() -> None:
    (limit,) = re.findall(r"^LimitNOFILE=(\d+)$", UNIT, re.MULTILINE)
    assert int(limit) >= Settings.MAX_SOCKETS + FOR_REQUESTS


def test_nginx_waits_longer_than_a_publish_takes_and_than_the_server_leaves_a_socket_alone() -> None:
    sockets, publishes = map(int, re.findall(r"proxy_read_timeout (\d+)s;", NGINX))
    assert Settings.ACK_TIMEOUT + 2 * Settings.REPORT_TIMEOUT + FIRST_LOOK + COMMAND_TIMEOUT < publishes < sockets
    assert sockets >= 3 * signature(server.Server.__base__).parameters["ping_interval"].default


def test_the_page_about_running_says_what_the_units_and_the_tests_say() -> None:
    for key in ("User", "WorkingDirectory", "EnvironmentFile"):
        (value,) = re.findall(rf"^{key}=(.+)$", UNIT, re.MULTILINE)
        assert f"`{value}`" in RUNNING
    target = (ROOT / "deploy/systemd/hopeflow-realtime.target").read_text()
    ports = re.findall(r"hopeflow-realtime@(\d+)\.service", target)
    assert ports == re.findall(r"hopeflow-realtime@(\d+)(?: |$)", RUNNING, re.MULTILINE)
    assert ports == re.findall(r"`127\.0\.0\.1:(\d+)`", RUNNING)
    assert f"`{' '.join(DAPHNE[1:])}`" in RUNNING
