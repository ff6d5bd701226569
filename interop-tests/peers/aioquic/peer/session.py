"""A session (§1, §4): flows over lanes that come and go."""

import asyncio
import secrets

from . import wire
from .flow import Flow
from .identity import Identity
from .lane import Handler, Lane

# Of each segment: some datagrams, far below the 1 MiB that are allowed, so that lanes take turns.
PIECE = 64 << 10

TICK = 0.005  # facts and echoes are due within it
SPACING = 0.001
STATE_EVERY = 32 << 10
RESTATE_FIRST, RESTATE_LAST = 0.25, 4.0

OFFER = wire.Offer(linger=3600, initial_window=256 << 10, flow_limit=64)


class Rejected(Exception):
    def __init__(self, reject: wire.Reject):
        super().__init__(f"rejected: code {reject.code}, {reject.detail!r}")
        self.code = reject.code


class Session(Handler):
    """One class for both roles; `initiator` says which."""

    def __init__(self, *, initiator: bool, id: int | None = None, offer: wire.Offer = OFFER):
        self.id = secrets.randbits(128) if id is None else id
        self.initiator, self.offer = initiator, offer
        self.lanes: list[Lane] = []
        self.flows: dict[int, Flow] = {}
        self.over: str | None = None
        self.peer_offer: wire.Offer | None = None
        self.on_flow = lambda flow: flow.answer(wire.Outcome(wire.NO_SERVICE, "nobody listens"))
        # For those who look: every message, and every segment with its lane's number.
        self.heard: list = []
        self.came: list[tuple[int, wire.SegmentHeader]] = []
        self.mute = False  # holds back echoes
        self.next_lane = 1
        self.generation = 0  # the highest that attached
        self._welcomed = False
        self._next_id = 0 if initiator else 1
        self._high = 1 if initiator else 0  # of the peer's ids: the lowest above all seen
        self._unseen: set[int] = set()
        self._echoes: dict[int, int] = {}
        self._turn = 0
        self._waiting: dict[Lane, asyncio.Future] = {}
        self._synced: set[Lane] = set()
        self._loop = asyncio.get_running_loop()
        self._ticking = self._loop.call_later(TICK, self._tick)

    # --- lanes ------------------------------------------------------------------------------

    async def dial(self, identity: Identity, peer: bytes, local: str, remote, **options) -> Lane:
        """As the initiator: another lane, attached and synchronised."""
        lane = await Lane.dial(identity, peer, local, remote, **options)
        await self.hello(lane)
        return lane

    async def hello(self, lane: Lane, /, **changes) -> None:
        """Attaches it; `changes` are to the fields of the `Hello`."""
        lane.number = changes.get("lane", self.next_lane)
        self.next_lane = max(self.next_lane, lane.number) + 1
        fields = {
            "session": self.id,
            "intent": wire.RESUME if self._welcomed else wire.CREATE,
            "lane": lane.number,
            "offer": self.offer,
        } | changes
        answer = self._waiting[lane] = self._loop.create_future()
        lane.handler = self
        lane.send(wire.Hello(**fields))
        await asyncio.wait_for(answer, 5)

    def attach(self, lane: Lane) -> None:
        """The exchange is done: all states, then their end."""
        lane.handler = self
        self.lanes.append(lane)
        for flow in self.flows.values():
            flow.restate_after = RESTATE_FIRST
            self._bump(flow)
            self._say(flow, [lane])
        for other in self.lanes:
            if other.our_use.version >= 0:
                lane.send(other.our_use)
        lane.send(wire.SyncEnd())

    def synced(self) -> list[Lane]:
        """Lanes that segments may go on, the cheapest, and those not in doubt before others."""
        lanes = [lane for lane in self.lanes if lane in self._synced]
        sound = [lane for lane in lanes if not lane.draining and not lane.peer_suspects] or lanes
        cheapest = min((lane.cost for lane in sound), default=0)
        return [lane for lane in sound if lane.cost <= max(cheapest, 127)]

    def closed(self, lane: Lane) -> None:
        answer = self._waiting.pop(lane, None)
        if answer and not answer.done():
            answer.set_exception(lane.closed)
        if lane not in self.lanes:
            return
        self.lanes.remove(lane)
        self._synced.discard(lane)
        for flow in self.flows.values():
            flow.lane_lost(lane)
            flow.restate_after = RESTATE_FIRST
            flow.restate_at = self._loop.time() + RESTATE_FIRST
        self._send_all()

    def close(self, code: int = 0, detail: str = "") -> None:
        """For good."""
        self._end("closed here")
        lanes = list(self.lanes)
        for lane in lanes:
            lane.send(wire.Close(code, detail))
            lane.finish_control()
        self._loop.call_later(0.3, lambda: [lane.close() for lane in lanes if not lane.closed])

    def _end(self, why: str) -> None:
        self.over = self.over or why
        self._ticking.cancel()
        for flow in self.flows.values():
            flow.wake()

    def use(self, lane: Lane, version: int, cost: int = 0, draining: bool = False) -> None:
        """Our word on a lane, on all of them. It binds us too."""
        word = wire.LaneUse(lane.number, version, cost, draining)
        if version > lane.our_use.version:
            lane.our_use = word
        for other in self.lanes:
            other.send(word)

    # --- flows ------------------------------------------------------------------------------

    def open(self, target: wire.Target, mode: int = wire.AUTO) -> Flow:
        edge = self.peer_offer.initial_window if self.peer_offer else 0
        opening = wire.Open(target, mode)
        flow = Flow(self, self._next_id, opening, True, edge, self.offer.initial_window)
        self._next_id += 2
        self.flows[flow.id] = flow
        self.state(flow)
        return flow

    def _mentioned(self, id: int, opening: wire.Open | None) -> Flow | None:
        """The flow of an id; `None` where it is finished."""
        if flow := self.flows.get(id):
            return flow
        if id % 2 == (0 if self.initiator else 1):
            if id >= self._next_id:
                raise wire.Violation(f"flow {id} is ours and was never given out")
            return None
        if id < self._high and id not in self._unseen:
            return None
        if opening is None:
            raise wire.Violation(f"flow {id} is mentioned without its open")
        skipped = set(range(self._high, id, 2))
        if len(self._unseen | skipped) > wire.UNSEEN_MAX:
            raise wire.Violation("too many ids are left out")
        theirs = sum(1 for flow in self.flows.values() if not flow.mine)
        if theirs >= 2 * self.offer.flow_limit:
            raise wire.Violation("twice as many flows as are allowed")
        self._unseen = (self._unseen | skipped) - {id}
        self._high = max(self._high, id + 2)
        edge = self.peer_offer.initial_window
        flow = Flow(self, id, opening, False, edge, self.offer.initial_window)
        self.flows[id] = flow
        if theirs >= self.offer.flow_limit:
            flow.answer(wire.Outcome(wire.LIMIT_REACHED, f"{theirs} flows are open"))
        else:
            self.on_flow(flow)
        return flow

    # --- sending ----------------------------------------------------------------------------

    def send_segments(self, flow: Flow) -> None:
        lanes = self.synced()
        if not lanes:
            return
        while piece := flow.next_piece(PIECE):
            start, data = piece
            lane = lanes[self._turn % len(lanes)]
            self._turn += 1
            opening = flow.opening if flow.mine and not flow.known else None
            header = wire.SegmentHeader(flow.id, start, opening, resent=start < flow.sent_to)
            stream = lane.send_segment(header, data)
            flow.sent_on(lane, stream, start, start + len(data))

    def _send_all(self) -> None:
        for flow in self.flows.values():
            self.send_segments(flow)

    def state(self, flow: Flow) -> None:
        """At once, on all lanes."""
        flow.dirty = True
        self._bump(flow)
        self._say(flow, self.lanes)

    def due(self, flow: Flow) -> None:
        """At once where it is urgent, but not without end; else the next turn does it."""
        now = self._loop.time()
        if flow.urgent and now - flow.stated_at >= SPACING:
            self.state(flow)

    def _bump(self, flow: Flow) -> None:
        if flow.dirty:
            flow.version += 1
            flow.dirty = flow.urgent = False
            flow.gathered = 0
            flow.restate_after = RESTATE_FIRST

    def _say(self, flow: Flow, lanes: list[Lane]) -> None:
        now = self._loop.time()
        fact = flow.fact()
        for lane in lanes:
            lane.send(fact)
        flow.stated_at, flow.restate_at = now, now + flow.restate_after

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(TICK, self._tick)
        self.turn()

    def turn(self) -> None:
        """What is due: echoes, changes, what was not echoed, forgetting."""
        if not self.lanes:
            return
        now = self._loop.time()
        while self._echoes and not self.mute:
            some = list(self._echoes.items())[: wire.ECHO_MAX]
            for flow, _ in some:
                del self._echoes[flow]
            self.lanes[0].send(wire.Echo(some))
        for flow in list(self.flows.values()):
            if flow.dirty:
                self.state(flow)
            elif flow.echoed < flow.version and now >= flow.restate_at:
                flow.restate_after = min(2 * flow.restate_after, RESTATE_LAST)
                self._say(flow, self.lanes)
            if flow.forgotten():
                del self.flows[flow.id]

    # --- what lanes tell --------------------------------------------------------------------

    def message(self, lane: Lane, message) -> None:
        self.heard.append(message)
        answer = self._waiting.pop(lane, None)
        if answer is not None:
            self._first(lane, message, answer)
            return
        match message:
            case wire.Hello() | wire.Welcome() | wire.Reject():
                raise wire.Violation("a first message that is not the first")
            case wire.FlowState(flow=id, version=version):
                self._fact(id, version, message)
            case wire.Echo(entries=entries):
                for id, version in entries:
                    if flow := self.flows.get(id):
                        flow.known = True
                        flow.echoed = max(flow.echoed, min(version, flow.version))
            case wire.SyncEnd():
                self._synced.add(lane)
                self._send_all()
            case wire.LaneUse(lane=number, version=version):
                for other in self._numbered(number):
                    if version > other.peer_use.version:
                        other.peer_use = message
            case wire.LaneHealth(lane=number, version=version):
                for other in self._numbered(number):
                    if version > other.peer_health.version:
                        other.peer_health = message
            case wire.Close(code=code, detail=detail):
                self._end(f"the peer closed the session: {code}, {detail!r}")
                for other in list(self.lanes):
                    other.close()

    def _first(self, lane: Lane, message, answer: asyncio.Future) -> None:
        match message:
            case wire.Welcome(version=version) if 1 <= version <= wire.VERSION:
                self.peer_offer = message.offer
                self._welcomed = True
                self.attach(lane)
                answer.set_result(None)
            case wire.Reject():
                answer.set_exception(Rejected(message))
                lane.close()
            case _:
                answer.set_exception(ConnectionError("neither Welcome nor Reject"))
                raise wire.Violation("neither Welcome nor Reject")

    def _numbered(self, number: int) -> list[Lane]:
        return [lane for lane in self.lanes if lane.number == number]

    def _fact(self, id: int, version: int, fact: wire.FlowState) -> None:
        flow = self._mentioned(id, fact.open)
        self._echoes[id] = max(version, self._echoes.get(id, 0))
        if flow:
            flow.known = True
            flow.merge(fact)
            self.send_segments(flow)

    def segment(self, lane: Lane, header: wire.SegmentHeader) -> bool:
        self.came.append((lane.number, header))
        return self._mentioned(header.flow, header.open) is not None

    def bytes(self, lane: Lane, header: wire.SegmentHeader, offset: int, data: bytes) -> bool:
        flow = self.flows.get(header.flow)
        if flow is None or flow.reset_said is not None:
            return False
        flow.take(offset, data)
        flow.gathered += len(data)
        flow.urgent |= header.resent or flow.gathered >= STATE_EVERY
        self.due(flow)
        return True
