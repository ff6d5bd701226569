"""A flow (§5): the bytes sent until the peer has received them, the bytes received until the
application reads them, and the facts about both."""

import asyncio
from dataclasses import dataclass

from . import wire
from .ranges import Ranges

# How many bytes the peer may send ahead of the reader.
WINDOW = 1 << 20


class FlowReset(Exception):
    def __init__(self, code: int):
        super().__init__(f"the peer reset the flow with code {code}")
        self.code = code


class FlowFailed(Exception):
    def __init__(self, outcome: wire.Outcome):
        super().__init__(f"not opened: code {outcome.code}, {outcome.detail!r}")
        self.outcome = outcome


@dataclass
class Sent:
    """Bytes that were sent in a segment."""

    lane: object
    stream: int
    start: int
    stop: int


class Flow:
    def __init__(
        self, session, id: int, opening: wire.Open, mine: bool, max_offset: int, window: int
    ):
        self.session, self.id, self.opening, self.mine = session, id, opening, mine
        self._changed = asyncio.Event()
        # The sending direction.
        self.max_offset = max_offset  # we may send what precedes it
        self.final_size: int | None = None
        self.own_reset: wire.Reset | None = None
        self.own_outcome: wire.Outcome | None = None
        self._buffer = bytearray()  # what the peer has not received, from `_base` on
        self._base = 0
        self._acked_ranges = Ranges()
        self._pending = Ranges()
        self.sent: list[Sent] = []
        self.sent_to = 0
        self.resent_bytes = 0
        # The receiving direction.
        self.own_max_offset = window  # the peer may send what precedes it
        self.peer_final: int | None = None
        self.peer_reset: wire.Reset | None = None
        self.outcome: wire.Outcome | None = None
        self.received = Ranges()
        self.duplicate_bytes = 0
        self._chunks: dict[int, bytes] = {}  # beyond a gap
        self._ready = bytearray()
        self._read_to = 0
        self._ended = False  # the application has read to the end
        # Facts.
        self.version = 0
        self.acked = 0
        self.dirty = True
        self.urgent = False
        self.unstated_bytes = 0  # received since the last fact
        self.sent_at = 0.0
        self.retransmit_at = 0.0
        self.retransmit_after = 0.25
        # The peer is known to have the open.
        self.open_acked = not mine

    # --- for the application ----------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Waits while more than four windows are in flight."""
        while len(self._buffer) > 4 * WINDOW and self.peer_reset is None:
            await self._wait()
        if self.peer_reset or self.own_reset:
            raise FlowReset((self.peer_reset or self.own_reset).code)
        start = self._base + len(self._buffer)
        self._buffer += data
        if data:
            self._pending.add(start, start + len(data))
        self.session.send_segments(self)

    def finish(self) -> None:
        """Ends the sending direction."""
        if self.final_size is None and self.own_reset is None:
            self.final_size = self._base + len(self._buffer)
            self.session.send_state(self)

    def reset(self, code: int) -> None:
        """Resets both directions; what was written before is still delivered."""
        if self.own_reset is None:
            end = self._base + len(self._buffer)
            self.own_reset = wire.Reset(code, end)
            self._ended = True
            self.session.send_state(self)

    def answer(self, outcome: wire.Outcome) -> None:
        """Sets the outcome, as the flow's acceptor."""
        self.own_outcome = outcome
        if outcome.code != wire.OPENED:
            self.own_reset = wire.Reset(1, 0)
            self._ended = True
        self.session.send_state(self)

    async def opened(self) -> None:
        while self.outcome is None:
            await self._wait()
        if self.outcome.code != wire.OPENED:
            raise FlowFailed(self.outcome)

    async def read(self, most: int = 1 << 16) -> bytes:
        """Returns nothing at the end."""
        while not self._ready:
            end = self.peer_reset.at if self.peer_reset else self.peer_final
            if self._ended or end == self._read_to:
                self._ended = True
                self.dirty = True
                if self.peer_reset:
                    raise FlowReset(self.peer_reset.code)
                return b""
            await self._wait()
        data = bytes(self._ready[:most])
        del self._ready[:most]
        self._read_to += len(data)
        moved = self._read_to + WINDOW - self.own_max_offset
        if moved > 0:
            # Sent at once when all was read, or when it has grown by a quarter of the window.
            self.dirty = True
            self.urgent |= not self._ready or moved >= WINDOW // 4
            self.session.send_if_urgent(self)
        return data

    async def read_exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = await self.read(count)
            if not part:
                raise EOFError(f"{count} bytes before the end")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    async def _wait(self, timeout: float = 20.0) -> None:
        if self.session.over:
            raise ConnectionError(self.session.over)
        self._changed.clear()
        await asyncio.wait_for(self._changed.wait(), timeout)

    def wake(self) -> None:
        self._changed.set()

    # --- sending ----------------------------------------------------------------------------

    def next_chunk(self, most: int) -> tuple[int, bytes] | None:
        """Takes bytes that may be sent now from those pending."""
        if not self._pending or self.peer_reset:
            return None
        start, stop = self._pending.first
        stop = min(stop, start + most, self.max_offset)
        if stop <= start:
            return None
        self._pending.subtract(start, stop)
        return start, bytes(self._buffer[start - self._base : stop - self._base])

    def sent_on(self, lane, stream: int, start: int, stop: int) -> None:
        self.sent.append(Sent(lane, stream, start, stop))
        self.sent_to = max(self.sent_to, stop)

    def lane_lost(self, lane) -> None:
        """Queues again what was sent on the lane and is not acknowledged."""
        for one in self.sent:
            if one.lane is lane:
                self._pending.add(one.start, one.stop)
                self.resent_bytes += one.stop - one.start
        self.sent = [one for one in self.sent if one.lane is not lane]
        for start, stop in self._acked_ranges:
            self._pending.subtract(start, stop)

    # --- receiving --------------------------------------------------------------------------

    def take(self, offset: int, data: bytes) -> None:
        stop = offset + len(data)
        if stop > self.own_max_offset:
            raise wire.Violation(
                f"a byte at {stop - 1}, where the max offset is {self.own_max_offset}"
            )
        end = self.peer_reset.at if self.peer_reset else self.peer_final
        if end is not None and stop > end:
            raise wire.Violation(f"a byte at {stop - 1}, beyond the final size {end}")
        new = self.received.missing(offset, stop)
        for first, last in new:
            self._chunks[first] = data[first - offset : last - offset]
        self.duplicate_bytes += len(data) - sum(last - first for first, last in new)
        if new:
            self.received.add(offset, stop)
            self.dirty = True
        while chunk := self._chunks.pop(self._read_to + len(self._ready), None):
            self._ready += chunk
        self.wake()

    # --- facts ------------------------------------------------------------------------------

    def fact(self) -> wire.FlowState:
        self.own_max_offset = max(self.own_max_offset, self._read_to + WINDOW)
        return wire.FlowState(
            flow=self.id,
            version=self.version,
            max_offset=self.own_max_offset,
            ranges=list(self.received)[: wire.MAX_RANGES],
            final_size=self.final_size,
            open=self.opening if self.mine and not self.open_acked else None,
            outcome=self.own_outcome,
            reset=self.own_reset,
        )

    def merge(self, fact: wire.FlowState) -> None:
        """Merges the peer's state, in any order and any number of times."""
        for start, stop in fact.ranges:
            if stop > self.sent_to:
                raise wire.Violation(f"bytes to {stop} received, {self.sent_to} were sent")
            self._acked_ranges.add(start, stop)
            self._pending.subtract(start, stop)
        del self._buffer[: self._acked_ranges.prefix - self._base]
        self._base = self._acked_ranges.prefix
        self.sent = [one for one in self.sent if not self._acked_ranges.holds(one.start, one.stop)]
        self.max_offset = max(self.max_offset, fact.max_offset)
        if fact.final_size is not None:
            if (
                self.peer_final not in (None, fact.final_size)
                or fact.final_size < self.received.end
            ):
                raise wire.Violation("a second final size")
            self.peer_final = fact.final_size
        if fact.outcome is not None and self.outcome is None:
            self.outcome = fact.outcome
        if fact.reset is not None and self.peer_reset is None:
            at = fact.reset.at
            if at < self.received.end or self.peer_final not in (None, at):
                raise wire.Violation("a reset below what was received, or at another final size")
            self.peer_reset = fact.reset
            self._pending = Ranges()
        self.wake()

    def forgotten(self) -> bool:
        """Returns whether the flow may be forgotten (§5, "Forgetting")."""
        mine = self.own_reset.at if self.own_reset else self.final_size
        theirs = self.peer_reset.at if self.peer_reset else self.peer_final
        sent = self.peer_reset is not None or (mine is not None and self._base >= mine)
        prefix = self.received.prefix
        arrived = self.own_reset is not None or (theirs is not None and prefix >= theirs)
        released = self._ended and (mine is not None or self.peer_reset is not None)
        return released and sent and arrived and not self.dirty and self.acked == self.version
