"""Scenarios: each is an `async def` whose name is a sentence."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Place:
    """What a scenario runs with: the program, a directory, the lanes to report on."""

    throughline: Path
    directory: Path
    lanes: list = field(default_factory=list)  # whose qlogs are kept when it fails


class Failed(AssertionError):
    pass


class Skipped(Exception):
    """Something that the scenario needs is not installed."""


def check(condition, *what) -> None:
    """Asserts, also under `python -O`."""
    if not condition:
        raise Failed(" ".join(str(part) for part in what) or "not as it should be")


def equal(seen, expected, what: str = "") -> None:
    check(seen == expected, f"{what}: {seen!r}, where {expected!r} was expected")
