"""Sends and takes numbered messages until its input ends; prints a line for each one taken."""

import asyncio
import sys

import websockets

from numbered import message


async def main():
    async with websockets.connect(sys.argv[1], ping_interval=1, ping_timeout=10) as socket:
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(None, sys.stdin.read)

        async def send():
            number = 0
            while not ended.done():
                await socket.send(message("up", number))
                number += 1
                await asyncio.sleep(0.01)
            await socket.send("enough")
            return number

        sending = asyncio.create_task(send())
        number = 0
        async for text in socket:
            if text.startswith("taken "):
                break
            if text != message("down", number):
                sys.exit(f"not message {number}: {text[:40]}")
            print(number, flush=True)
            number += 1
        sent = await sending
        if text != f"taken {sent}":
            sys.exit(f"{sent} sent, but: {text}")
    print(f"closed with {socket.close_code}: {sent} up, {number} down", flush=True)


asyncio.run(main())
