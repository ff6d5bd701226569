"""A real daemon: `throughline run`."""

import asyncio
import json
import re
from pathlib import Path

from peer.identity import parsed

from . import Failed, Place


async def keygen(place: Place, name: str) -> bytes:
    """Creates NAME.key if it does not exist; returns its peer id."""
    file = place.directory / f"{name}.key"
    return parsed(await output(place, "id" if file.exists() else "keygen", file))


async def output(place: Place, *arguments) -> str:
    process = await asyncio.create_subprocess_exec(
        place.throughline, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise Failed(f"throughline {arguments[0]} failed")
    return said.decode().strip()


class Daemon:
    """A daemon that runs a configuration until the `async with` block ends."""

    def __init__(self, place: Place, name: str, configuration: str):
        self.place, self.name = place, name
        self.file: Path = place.directory / f"{name}.toml"
        head = f"identity = '{name}.key'\nadmin = '{place.directory / name}.sock'\n"
        self.file.write_text(head + configuration)
        self.log: list[str] = []
        self._said = asyncio.Condition()

    async def __aenter__(self) -> "Daemon":
        self.process = await asyncio.create_subprocess_exec(
            self.place.throughline,
            "run",
            "-c",
            self.file,
            stderr=asyncio.subprocess.PIPE,
            env={"NO_COLOR": "1", "THROUGHLINE_LOG": "info,throughline=debug"},
        )
        self._reader = asyncio.ensure_future(self._read())
        try:
            await self.says("running")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reader
        (self.place.directory / f"{self.name}.log").write_text("\n".join(self.log))

    async def _read(self) -> None:
        async for line in self.process.stderr:
            async with self._said:
                self.log.append(re.sub(r"\x1b\[[0-9;]*m", "", line.decode()).rstrip())
                self._said.notify_all()

    async def says(self, part: str, timeout: float = 10.0) -> str:
        """Waits for a log line that contains `part`; returns it."""

        def line():
            return next((line for line in self.log if part in line), None)

        async with self._said:
            try:
                await asyncio.wait_for(self._said.wait_for(line), timeout)
            except TimeoutError:
                raise Failed(f"{self.name} did not say `{part}`") from None
            return line()

    async def ingress(self, name: str) -> tuple[str, int]:
        """Returns the TCP address of an ingress."""
        line = await self.says(f'ingress="{name}"')
        host, port = re.search(r"addr=(\S+):(\d+)", line).groups()
        return host, int(port)

    async def status(self) -> dict:
        return json.loads(await output(self.place, "status", "--json", "-c", self.file))

    async def sessions(self) -> list[dict]:
        """Returns the sessions with all peers."""
        return [one for peer in (await self.status())["peers"] for one in peer["sessions"]]
