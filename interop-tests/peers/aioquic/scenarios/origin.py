"""TCP servers on loopback: the destinations behind an egress."""

import asyncio
import functools
import hashlib
import random
import struct


# A megabyte takes some milliseconds, and a loop that stands still is a lane that does.
@functools.cache
def payload(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Origin:
    """A server that, on each connection, reads the length of its answer (8 bytes), sends that many
    bytes (`payload` with the seed 2) while it reads to the end, and then sends the SHA-256 of what
    it read."""

    SEED = 2

    def __init__(self):
        self.connections = 0
        self.resets = 0
        self.ends = 0
        self.last = b""

    async def start(self, host: str = "127.0.0.1") -> "Origin":
        self.server = await asyncio.start_server(self._serve, host, 0)
        self.host, self.port = self.server.sockets[0].getsockname()[:2]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            (wanted,) = struct.unpack(">Q", await reader.readexactly(8))
            sending = asyncio.ensure_future(self._send(writer, wanted))
            hashed = hashlib.sha256()
            self.last = b""
            while part := await reader.read(1 << 16):
                hashed.update(part)
                self.last = part
            self.ends += 1
            await sending
            writer.write(hashed.digest())
            writer.write_eof()
        except (OSError, asyncio.IncompleteReadError):
            self.resets += 1
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, wanted: int) -> None:
        data = payload(self.SEED, wanted)
        for at in range(0, wanted, 1 << 16):
            writer.write(data[at : at + (1 << 16)])
            await writer.drain()
