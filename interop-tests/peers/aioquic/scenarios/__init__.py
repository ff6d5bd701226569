"""What is shown with the peer: each scenario is an `async def` with a name that is a sentence."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Place:
    """Where a scenario runs."""

    throughline: Path
    directory: Path
    lanes: list = field(default_factory=list)  # whose qlogs are kept when it fails


class Failed(AssertionError):
    pass


class Skipped(Exception):
    """What it needs is not installed."""


def check(condition, *what) -> None:
    """`assert` that no optimisation takes away."""
    if not condition:
        raise Failed(" ".join(str(part) for part in what) or "not as it should be")


def equal(seen, expected, what: str = "") -> None:
    check(seen == expected, f"{what}: {seen!r}, where {expected!r} was expected")
