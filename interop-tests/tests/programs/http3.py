"""HTTP/3 (RFC 9114) over aioquic: a server of one file without an end, and a client that hashes it.

    http3.py serve CERTIFICATE KEY      says its port, and what it has sent when standard input ends
    http3.py get PORT                   says how much has come, and the SHA-256 at the end
"""

import asyncio
import hashlib
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

BLOCK = 64 * 1024
# What may wait in the server: a few round trips at 200 Mbit/s.
MAX_WAITING = 4 * 1024 * 1024


class Server(QuicConnectionProtocol):
    ending = None
    h3 = None

    def quic_event_received(self, event):
        if self.h3 is None:
            self.h3 = H3Connection(self._quic)
        for answer in self.h3.handle_event(event):
            if isinstance(answer, HeadersReceived):
                self.sending = asyncio.ensure_future(self.send(answer.stream_id))

    async def send(self, stream):
        self.h3.send_headers(stream, [(b":status", b"200")])
        whole, count = hashlib.sha256(), 0
        while not self.ending.is_set():
            if self.waiting(stream) > MAX_WAITING:
                await asyncio.sleep(0.005)
                continue
            block = count.to_bytes(8, "big") * (BLOCK // 8)
            count += 1
            whole.update(block)
            self.h3.send_data(stream, block, end_stream=False)
            self.transmit()
            await asyncio.sleep(0)
        self.h3.send_data(stream, b"", end_stream=True)
        self.transmit()
        say(f"sent {count * BLOCK} {whole.hexdigest()}")

    def waiting(self, stream):
        sender = self._quic._streams[stream].sender
        return sender._buffer_stop - sender._buffer_start


class Client(QuicConnectionProtocol):
    h3 = None

    async def get(self, authority):
        self.whole, self.length, self.done = hashlib.sha256(), 0, asyncio.Event()
        self.h3 = H3Connection(self._quic)
        stream = self._quic.get_next_available_stream_id()
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", authority), (b":path", b"/")]
        self.h3.send_headers(stream, head, end_stream=True)
        self.transmit()
        await self.done.wait()
        say(f"received {self.length} {self.whole.hexdigest()}")

    def quic_event_received(self, event):
        if self.h3 is None:
            return
        for answer in self.h3.handle_event(event):
            if isinstance(answer, HeadersReceived):
                assert (b":status", b"200") in answer.headers, answer.headers
            if isinstance(answer, DataReceived):
                self.whole.update(answer.data)
                self.length += len(answer.data)
                say(f"so far {self.length}")
                if answer.stream_ended:
                    self.done.set()


def say(line):
    print(line, flush=True)


async def serving(certificate, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(certificate, key)
    Server.ending = asyncio.Event()
    server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
    say(f"port {server._transport.get_extra_info('sockname')[1]}")
    # Its end is that of the file.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    Server.ending.set()
    await asyncio.sleep(60)


async def getting(port):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as client:
        await client.get(b"localhost")


if sys.argv[1] == "serve":
    asyncio.run(serving(sys.argv[2], sys.argv[3]))
else:
    asyncio.run(getting(int(sys.argv[2])))
