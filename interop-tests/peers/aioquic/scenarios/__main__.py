"""Runs scenarios: `python -m scenarios --throughline PROGRAM [NAME…]`, or lists them: `--list`."""

import argparse
import asyncio
import gc
import inspect
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import Place, Skipped, acceptor, dialer, document, refusals

MODULES = [document, acceptor, refusals, dialer]

# Each takes some seconds.
SCENARIO_TIMEOUT = 60.0


def scenarios() -> dict:
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if inspect.iscoroutinefunction(value) and value.__module__ == module.__name__:
                if not name.startswith("_"):
                    found[name] = value
    return found


async def run(scenario, place: Place) -> None:
    """Runs a scenario; an error in a callback fails it like one in its own code."""
    errors = []
    running = asyncio.ensure_future(scenario(place))

    def failed(_, context) -> None:
        errors.append(context.get("exception") or RuntimeError(context["message"]))
        running.cancel()

    asyncio.get_running_loop().set_exception_handler(failed)
    try:
        await asyncio.wait_for(running, SCENARIO_TIMEOUT)
    except asyncio.CancelledError:
        pass
    if errors:
        raise errors[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--throughline", type=Path, help="the built program")
    parser.add_argument("--artefacts", type=Path, help="where qlogs and logs go when one fails")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    known = scenarios()
    if arguments.list:
        print("\n".join(known))
        return 0
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"there is no scenario {unknown[0]}; --list shows them")
    if arguments.throughline is None:
        parser.error("--throughline is needed")
    # qlog keeps many objects, and each collection stops acknowledgements for some 10 ms. Cycles
    # hardly outlive their scenario.
    gc.disable()
    logging.getLogger("quic").setLevel(logging.CRITICAL)
    failed = 0
    for name in arguments.names or known:
        with tempfile.TemporaryDirectory() as directory:
            place = Place(arguments.throughline.absolute(), Path(directory))
            began = time.monotonic()
            try:
                asyncio.run(run(known[name], place))
                print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Skipped as why:
                print(f"SKIPPED: {name}: {why}", flush=True)
                failed += os.environ.get("THROUGHLINE_NO_SKIP") == "1"
            except Exception:
                failed += 1
                print(f"FAILED  {name} ({time.monotonic() - began:.1f} s)", flush=True)
                traceback.print_exc()
                keep(place, name, arguments.artefacts)
    return 1 if failed else 0


def keep(place: Place, name: str, artefacts: Path | None) -> None:
    """Prints the daemons' logs, and keeps them and the qlogs, which qvis can show."""
    for log in sorted(place.directory.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()}", file=sys.stderr)
    if artefacts is None:
        return
    folder = artefacts / name
    folder.mkdir(parents=True, exist_ok=True)
    for log in place.directory.glob("*.log"):
        (folder / log.name).write_bytes(log.read_bytes())
    for index, lane in enumerate(place.lanes):
        (folder / f"lane-{index}.qlog").write_text(json.dumps(lane.logger.to_dict()))
    print(f"kept in {folder}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
