"""The page about moving over: its commands and its code, on two services that know nothing of each other."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from .clients import NOBODY, answered, token
from .servers import ROOT, daphne, environment

PAGE = (ROOT / "docs/moving.md").read_text()


async def shell(line: str, env: dict[str, str]) -> Process:
    line = line.replace("python manage.py", f"exec {sys.executable} manage.py")
    return await asyncio.create_subprocess_shell(line, cwd=ROOT, env=env, stdout=PIPE, stderr=PIPE)


async def printed(line: str, env: dict[str, str]) -> str:
    out, _ = await (await shell(line, env)).communicate()
    return out.decode().strip()


async def test_the_check_list_passes_and_publishing_to_both_sides_adds_the_counts() -> None:
    (commands,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    sides, made, *lines = commands.splitlines()
    assert sides == "export OLD=https://edge.example.org NEW=https://realtime.example.org"
    (publisher,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with daphne(environment()) as old, daphne(environment()) as new:
        env = {"PATH": "/usr/bin:/bin", **environment(OLD=old.url, NEW=new.url)}
        (name, command) = re.fullmatch(r"export (\w+)=\$\((.+)\)", made).groups()  # type: ignore[union-attr]
        env[name] = await printed(command, env)
        listeners = [await shell(line, env) for line in lines[:2]]
        for listener in listeners:
            assert listener.stderr is not None
            async with asyncio.timeout(30):
                while b"listening" not in await listener.stderr.readline():
                    pass
        answers = [await printed(line, env) for line in lines[2:]]
        assert answers == [answered(1, '"old"'), answered(1, '"new"')]
        assert all(f"`{answer}`" in PAGE for answer in (*answers, NOBODY))

        names: dict[str, Any] = {}
        exec(publisher.replace("os.environ", repr(env)), names)
        envelope = {"userId": "ann", "type": "moving", "payload": {"text": "hello"}}
        both = await asyncio.to_thread(names["publish"], token("a publisher"), envelope)
        assert both == {"clientCount": 2, "results": ["old", "new"]}
        for listener in listeners:
            listener.kill()
            await listener.communicate()
        assert await printed(lines[-1], env) == NOBODY
