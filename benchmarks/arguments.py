"""What arguments of the commands may be. A file that can't be written is refused before the run, not after it."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e6:
        raise ValueError
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def new_file(text: str) -> Path:
    """One to write, or to replace. Its folder is there."""
    file = Path(text)
    if (file.exists() and not file.is_file()) or not is_open(file.parent):
        raise ArgumentTypeError(f"no file can be written there: {text}")
    return file


def new_folder(text: str) -> Path:
    """One to write into, which need not be there yet."""
    folder = Path(text)
    if not is_open(next(each for each in (folder, *folder.parents) if each.exists())):
        raise ArgumentTypeError(f"no folder can be there: {text}")
    return folder


def is_open(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)
