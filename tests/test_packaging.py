"""What other projects install: the app alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers import ROOT
from tests.test_make import copy_of_the_tree

DATA = (
    "realtime/migrations/__init__.py",
    "realtime/migrations/9999_last.py",
    "realtime/templates/page.html",
    "realtime/templates/admin/realtime/deep/page.html",
    "realtime/static/realtime/deep/client.mjs",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks, and one more file of each kind that an installer could forget."""
    folder = tmp_path_factory.mktemp("tree")
    copy_of_the_tree(folder)
    for name in DATA:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path) -> ZipFile:
    """The wheel, made from the source distribution, as an installer would that finds nothing else."""
    subprocess.run([sys.executable, "-m", "build", tree], check=True, timeout=100)
    return ZipFile(next(tree.glob("dist/*.whl")))


@pytest.mark.xdist_group("wheel")
def test_contents(wheel: ZipFile, tree: Path) -> None:
    """The wheel holds every file of `realtime`, and no tests, no site, no benchmarks."""
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == {str(path.relative_to(tree)) for path in tree.glob("realtime/**/*") if path.is_file()}
    assert files >= {"realtime/py.typed", *DATA}
    assert "realtime/management/commands/realtime_listen.py" in files


@pytest.mark.xdist_group("wheel")
def test_metadata(wheel: ZipFile) -> None:
    """The wheel says its license, and that it needs nothing that only the site or the tests need."""
    folder = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = wheel.read(folder).decode()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "Requires-Dist: Django<6,>=4.2\n" in metadata
    assert "Requires-Dist: channels<5,>=4.1\n" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert "django-environ" not in metadata.partition("\n\n")[0]


def pins(path: Path) -> dict[str, str]:
    """The versions in a requirements file, whose every line is a pin, a comment or an -r."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    assert all(str(requirement.specifier).startswith("==") for requirement in requirements)
    return {canonicalize_name(requirement.name): str(requirement.specifier)[2:] for requirement in requirements}


def test_pins() -> None:
    """The pinned versions are within the ranges for embedding, and are the ones that the tests run on."""
    run, dev = pins(ROOT / "requirements.txt"), pins(ROOT / "requirements-dev.txt")
    for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(run[canonicalize_name(requirement.name)]), text
    assert not run.keys() & dev.keys()
    assert {name: version(name) for name in run | dev} == run | dev
