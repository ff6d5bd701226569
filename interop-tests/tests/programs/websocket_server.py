"""A WebSocket server that takes and sends numbered messages, each exactly once and in order.

    websocket_server.py [ADDRESS [short]]       short: what it takes is but the number of a message
"""

import asyncio
import sys

import websockets

from numbered import message

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
SHORT = sys.argv[2:] == ["short"]


async def connection(socket):
    async def push():
        number = 0
        while True:
            await socket.send(message("down", number))
            number += 1
            await asyncio.sleep(0.01)

    pushing = asyncio.create_task(push())
    number = 0
    async for text in socket:
        if text == "enough":
            pushing.cancel()
            await socket.send(f"taken {number}")
            continue
        if text != (f"up {number} " if SHORT else message("up", number)):
            await socket.close(1002, f"not message {number}: {text[:40]}")
            break
        number += 1
    print(f"closed with {socket.close_code} after {number}", file=sys.stderr, flush=True)


async def main():
    async with websockets.serve(connection, ADDRESS, 0, ping_interval=1, ping_timeout=10) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on {port};", file=sys.stderr, flush=True)
        await asyncio.Future()


asyncio.run(main())
