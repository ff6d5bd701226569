"""A flow (§5): what is sent until the peer states that it has it, what has come until the
application reads it, and the state that is stated about both."""

import asyncio
from dataclasses import dataclass

from . import wire
from .ranges import Ranges

# What we let the peer send ahead of the reader.
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
    """Bytes that went out in a segment."""

    lane: object
    stream: int
    start: int
    stop: int


class Flow:
    def __init__(self, session, id: int, opening: wire.Open, mine: bool, edge: int, window: int):
        self.session, self.id, self.opening, self.mine = session, id, opening, mine
        self._changed = asyncio.Event()
        # What we send.
        self.edge = edge  # the peer takes what precedes it
        self.final_size: int | None = None
        self.reset_said: wire.Reset | None = None
        self.outcome_said: wire.Outcome | None = None
        self._buffer = bytearray()  # what the peer does not state yet, from `_base` on
        self._base = 0
        self._stated = Ranges()
        self._pending = Ranges()
        self.sent: list[Sent] = []
        self.sent_to = 0
        self.resent_bytes = 0
        # What comes.
        self.window = window  # the edge that we stated
        self.peer_final: int | None = None
        self.peer_reset: wire.Reset | None = None
        self.outcome: wire.Outcome | None = None
        self.received = Ranges()
        self.duplicate_bytes = 0
        self._pieces: dict[int, bytes] = {}  # beyond a hole
        self._ready = bytearray()
        self._read_to = 0
        self._ended = False  # the application has read to the end
        # Facts.
        self.version = 0
        self.echoed = 0
        self.dirty = True
        self.urgent = False
        self.gathered = 0  # bytes that came since the last
        self.stated_at = 0.0
        self.restate_at = 0.0
        self.restate_after = 0.25
        # The peer is known to have the open.
        self.known = not mine

    # --- for the application ----------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Waits while more than a few windows are on their way."""
        while len(self._buffer) > 4 * WINDOW and self.peer_reset is None:
            await self._wait()
        if self.peer_reset or self.reset_said:
            raise FlowReset((self.peer_reset or self.reset_said).code)
        start = self._base + len(self._buffer)
        self._buffer += data
        if data:
            self._pending.add(start, start + len(data))
        self.session.send_segments(self)

    def finish(self) -> None:
        """Nothing more will be written."""
        if self.final_size is None and self.reset_said is None:
            self.final_size = self._base + len(self._buffer)
            self.session.state(self)

    def reset(self, code: int) -> None:
        """Ends both directions; what was written before is still delivered."""
        if self.reset_said is None:
            end = self._base + len(self._buffer)
            self.reset_said = wire.Reset(code, end)
            self._ended = True
            self.session.state(self)

    def answer(self, outcome: wire.Outcome) -> None:
        """As the end that the flow was opened to."""
        self.outcome_said = outcome
        if outcome.code != wire.OPENED:
            self.reset_said = wire.Reset(1, 0)
            self._ended = True
        self.session.state(self)

    async def opened(self) -> None:
        while self.outcome is None:
            await self._wait()
        if self.outcome.code != wire.OPENED:
            raise FlowFailed(self.outcome)

    async def read(self, most: int = 1 << 16) -> bytes:
        """Empty at the end."""
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
        moved = self._read_to + WINDOW - self.window
        if moved > 0:
            # All was read, or a quarter of the window: the peer shall know at once.
            self.dirty = True
            self.urgent |= not self._ready or moved >= WINDOW // 4
            self.session.due(self)
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

    async def _wait(self, patience: float = 20.0) -> None:
        if self.session.over:
            raise ConnectionError(self.session.over)
        self._changed.clear()
        await asyncio.wait_for(self._changed.wait(), patience)

    def wake(self) -> None:
        self._changed.set()

    # --- sending ----------------------------------------------------------------------------

    def next_piece(self, most: int) -> tuple[int, bytes] | None:
        """Bytes to be sent now, taken from what is pending."""
        if not self._pending or self.peer_reset:
            return None
        start, stop = self._pending.first
        stop = min(stop, start + most, self.edge)
        if stop <= start:
            return None
        self._pending.subtract(start, stop)
        return start, bytes(self._buffer[start - self._base : stop - self._base])

    def sent_on(self, lane, stream: int, start: int, stop: int) -> None:
        self.sent.append(Sent(lane, stream, start, stop))
        self.sent_to = max(self.sent_to, stop)

    def lane_lost(self, lane) -> None:
        """What went out there, and is not stated, goes out again."""
        for one in self.sent:
            if one.lane is lane:
                self._pending.add(one.start, one.stop)
                self.resent_bytes += one.stop - one.start
        self.sent = [one for one in self.sent if one.lane is not lane]
        for start, stop in self._stated:
            self._pending.subtract(start, stop)

    # --- receiving --------------------------------------------------------------------------

    def take(self, offset: int, data: bytes) -> None:
        stop = offset + len(data)
        if stop > self.window:
            raise wire.Violation(f"a byte at {stop - 1}, where {self.window} is the window's edge")
        end = self.peer_reset.at if self.peer_reset else self.peer_final
        if end is not None and stop > end:
            raise wire.Violation(f"a byte at {stop - 1}, beyond the final size {end}")
        new = self.received.missing(offset, stop)
        for first, last in new:
            self._pieces[first] = data[first - offset : last - offset]
        self.duplicate_bytes += len(data) - sum(last - first for first, last in new)
        if new:
            self.received.add(offset, stop)
            self.dirty = True
        while piece := self._pieces.pop(self._read_to + len(self._ready), None):
            self._ready += piece
        self.wake()

    # --- facts ------------------------------------------------------------------------------

    def fact(self) -> wire.FlowState:
        self.window = max(self.window, self._read_to + WINDOW)
        return wire.FlowState(
            flow=self.id,
            version=self.version,
            window=self.window,
            ranges=list(self.received)[: wire.RANGES_MAX],
            final_size=self.final_size,
            open=self.opening if self.mine and not self.known else None,
            outcome=self.outcome_said,
            reset=self.reset_said,
        )

    def merge(self, fact: wire.FlowState) -> None:
        """The peer's state: any order, any repetition."""
        for start, stop in fact.ranges:
            if stop > self.sent_to:
                raise wire.Violation(f"bytes to {stop} received, {self.sent_to} were sent")
            self._stated.add(start, stop)
            self._pending.subtract(start, stop)
        del self._buffer[: self._stated.prefix - self._base]
        self._base = self._stated.prefix
        self.sent = [one for one in self.sent if not self._stated.holds(one.start, one.stop)]
        self.edge = max(self.edge, fact.window)
        if fact.final_size is not None:
            if (
                self.peer_final not in (None, fact.final_size)
                or fact.final_size < self.received.end
            ):
                raise wire.Violation("another final size")
            self.peer_final = fact.final_size
        if fact.outcome is not None and self.outcome is None:
            self.outcome = fact.outcome
        if fact.reset is not None and self.peer_reset is None:
            at = fact.reset.at
            if at < self.received.end or self.peer_final not in (None, at):
                raise wire.Violation("a reset that does not fit what came")
            self.peer_reset = fact.reset
            self._pending = Ranges()
        self.wake()

    def forgotten(self) -> bool:
        """Whether nothing can be wanted of this flow any more (§5, "Forgetting")."""
        mine = self.reset_said.at if self.reset_said else self.final_size
        theirs = self.peer_reset.at if self.peer_reset else self.peer_final
        sent = self.peer_reset is not None or (mine is not None and self._base >= mine)
        have = self.received.prefix
        come = self.reset_said is not None or (theirs is not None and have >= theirs)
        released = self._ended and (mine is not None or self.peer_reset is not None)
        return released and sent and come and not self.dirty and self.echoed == self.version
