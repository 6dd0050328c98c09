"""A product that does what the README says: a new Django project in a virtual environment of its own, with the wheel.

`python -m tests.embedding FOLDER [--oldest]` makes one. The contract runs on both, under the README's prefix.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from tests.servers import ROOT, SECRET
from tests.test_make import copy_of_the_tree

Versions = Literal["oldest", "newest"]

PREFIX = "/rt"  # the README's
APPLICATION = "product.asgi:application"
NO_REDIS = "redis://127.0.0.1:1"  # for commands, which need none
PINS = ("requirements.txt", "requirements-dev.txt")

# What the tests wait for and the README does not say.
HURRIED = """
from product.settings import *

REALTIME = {**REALTIME, "ACK_TIMEOUT": float(os.environ["REALTIME_ACK_TIMEOUT"])}
"""


@dataclass(frozen=True)
class Product:
    """Where a product lies, and the interpreter that it runs on."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder.parent / "venv/bin/python"

    @classmethod
    def make(cls, common: Path, versions: Versions) -> Product:
        """The product on these versions in the folder `common`, which is made once for all who ask."""
        product = cls(common / versions / "product")
        once(common / versions, lambda: product.build(versions, wheel(common / "wheel")))
        return product

    def build(self, versions: Versions, wheel: Path) -> None:
        constraints = self.folder.parent / "constraints.txt"
        constraints.write_text("\n".join(lower_bounds() if versions == "oldest" else pins()))
        run(sys.executable, "-m", "venv", "--without-pip", str(self.folder.parent / "venv"))
        self.install("--constraint", str(constraints), str(wheel))
        self.start_project(several_processes=versions == "oldest")

    def install(self, *arguments: str) -> None:
        """Install with the pip of this interpreter: one less to be made for each product."""
        pip = (sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-compile")
        run(*pip, "--disable-pip-version-check", *arguments)

    def start_project(self, several_processes: bool) -> None:
        """What `startproject` makes, plus the lines of the README and its page as they stand, and then its commands."""
        self.folder.mkdir()
        admin = self.python.with_name("django-admin")
        run(str(admin), "startproject", "product", str(self.folder))
        for name, aside, lines in blocks(r"python\n# (\w+\.py)(.*)"):
            if not aside or several_processes:
                with (self.folder / "product" / name).open("a") as file:
                    file.write(f"\n{lines}")
        (self.folder / "product/hurried.py").write_text(HURRIED)
        path = f"{self.python.parent}:{os.environ['PATH']}"
        ((commands,),) = blocks("console")
        run("sh", "-ec", commands.replace("python manage.py runserver\n", ""), folder=self.folder, env={"PATH": path})
        self.manage("check", "--fail-level", "WARNING", "--database", "default")

    def manage(self, *arguments: str) -> str:
        return run(str(self.python), "-W", "error", "manage.py", *arguments, folder=self.folder)


def blocks(head: str) -> list[Any]:
    """Of the README's "Embedding" and its page's "Several processes": what `head` says of each block, and its lines."""
    text = section("README.md", "Embedding") + section("docs/embedding.md", "Several processes")
    found = re.findall(rf"^```{head}\n((?:(?!```).*\n)*)```", text, re.MULTILINE)
    return [block if isinstance(block, tuple) else (block,) for block in found]


def section(page: str, title: str) -> str:
    """The text of the one section with this title."""
    texts = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)
    (found,) = [text for text in texts if text.startswith(f"{title}\n")]
    return found


def lower_bounds() -> list[str]:
    """The oldest version of each dependency that pyproject.toml allows, as pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [_lower_bound(Requirement(text)) for text in project["dependencies"]]


def _lower_bound(requirement: Requirement) -> str:
    """Raises ValueError where there is none."""
    (least,) = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
    return f"{requirement.name}=={least}"


def pins() -> list[str]:
    """What the site and the tests run on."""
    lines = [line.partition("#")[0].strip() for name in PINS for line in (ROOT / name).read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("-r")]


def wheel(folder: Path) -> Path:
    """The wheel of this tree, made in `folder` once."""

    def build() -> None:
        copy_of_the_tree(folder / "tree")
        run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(folder / "tree"))

    once(folder, build)
    return next(folder.glob("*.whl"))


def once(folder: Path, make: Callable[[], None]) -> None:
    """Call `make`, which fills `folder`, in one process of all that ask. Where it fails, RuntimeError is for all."""
    folder.mkdir(parents=True, exist_ok=True)
    outcome = folder / "outcome"
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not outcome.exists():
            try:
                make()
            except Exception as error:
                outcome.write_text(str(error))
                raise
            outcome.touch()
    if failure := outcome.read_text():
        raise RuntimeError(failure)


def run(*command: str, folder: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """The output of a command that knows nothing of this project but a secret. Raises RuntimeError with the output."""
    strangers = ("DJANGO_", "REALTIME_", "PYTEST_", "PYTHON")
    own = {name: value for name, value in os.environ.items() if not name.startswith(strangers)}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**own, "JWT_SECRET": SECRET, "REDIS_URL": NO_REDIS, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.embedding", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to make it; what is there already is taken as it is")
    parser.add_argument("--oldest", action="store_true", help="with the oldest versions that pyproject.toml allows")
    options = parser.parse_args()
    product = Product.make(options.folder.resolve(), "oldest" if options.oldest else "newest")
    variables = f"JWT_SECRET={SECRET} REDIS_URL=redis://localhost:6379"
    print(f"cd {product.folder} && {variables} {product.python} manage.py runserver")


if __name__ == "__main__":
    main()
