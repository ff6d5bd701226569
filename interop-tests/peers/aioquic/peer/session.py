"""A session (§1, §4): flows over lanes that come and go."""

import asyncio
import secrets

from . import wire
from .flow import Flow
from .identity import Identity
from .lane import Handler, Lane

# Some datagrams, far below the 1 MiB allowed, so that lanes take turns.
SEGMENT_SIZE = 64 << 10

TICK = 0.005  # facts and acknowledgements are sent within it
SPACING = 0.001
STATE_THRESHOLD = 32 << 10
RETRANSMIT_FIRST, RETRANSMIT_MAX = 0.25, 4.0

PARAMS = wire.SessionParams(linger=3600, initial_window=256 << 10, flow_limit=64)


class Rejected(Exception):
    def __init__(self, reject: wire.Reject):
        super().__init__(f"rejected: code {reject.code}, {reject.detail!r}")
        self.code = reject.code


class Session(Handler):
    """A session in either role; `initiator` says which."""

    def __init__(
        self, *, initiator: bool, id: int | None = None, params: wire.SessionParams = PARAMS
    ):
        self.id = secrets.randbits(128) if id is None else id
        self.initiator, self.params = initiator, params
        self.lanes: list[Lane] = []
        self.flows: dict[int, Flow] = {}
        self.over: str | None = None
        self.peer_params: wire.SessionParams | None = None
        self.on_flow = lambda flow: flow.answer(wire.Outcome(wire.NO_SERVICE, "nobody listens"))
        # For the scenarios: every message, and every segment with its lane's number.
        self.messages: list = []
        self.segments: list[tuple[int, wire.SegmentHeader]] = []
        self.withhold_acks = False  # a scenario wants no FactAck sent
        self.next_lane = 1
        self.generation = 0  # the highest that attached
        self._welcomed = False
        self._next_id = 0 if initiator else 1
        self._high = 1 if initiator else 0  # of the peer's ids: the lowest above all seen
        self._unseen: set[int] = set()
        self._acks: dict[int, int] = {}
        self._next_lane_index = 0
        self._waiting: dict[Lane, asyncio.Future] = {}
        self._synced: set[Lane] = set()
        self._loop = asyncio.get_running_loop()
        self._ticking = self._loop.call_later(TICK, self._tick)

    # --- lanes ------------------------------------------------------------------------------

    async def dial(self, identity: Identity, peer: bytes, local: str, remote, **options) -> Lane:
        """As the initiator, adds a lane, and attaches it."""
        lane = await Lane.dial(identity, peer, local, remote, **options)
        await self.hello(lane)
        return lane

    async def hello(self, lane: Lane, /, **changes) -> None:
        """Attaches a lane; `changes` replace fields of the `Hello`."""
        lane.number = changes.get("lane", self.next_lane)
        self.next_lane = max(self.next_lane, lane.number) + 1
        fields = {
            "session": self.id,
            "intent": wire.RESUME if self._welcomed else wire.CREATE,
            "lane": lane.number,
            "params": self.params,
        } | changes
        answer = self._waiting[lane] = self._loop.create_future()
        lane.handler = self
        lane.send(wire.Hello(**fields))
        await asyncio.wait_for(answer, 5)

    def attach(self, lane: Lane) -> None:
        """Sends all states, then `EndOfSync`: the `Hello` exchange is done."""
        lane.handler = self
        self.lanes.append(lane)
        for flow in self.flows.values():
            flow.retransmit_after = RETRANSMIT_FIRST
            self._new_version(flow)
            self._send_fact(flow, [lane])
        for other in self.lanes:
            if other.our_use.version >= 0:
                lane.send(other.our_use)
        lane.send(wire.EndOfSync())

    def synced(self) -> list[Lane]:
        """Returns the lanes for segments: the cheapest, and those not suspect before others."""
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
            flow.retransmit_after = RETRANSMIT_FIRST
            flow.retransmit_at = self._loop.time() + RETRANSMIT_FIRST
        self._send_all()

    def close(self, code: int = 0, detail: str = "") -> None:
        """Closes the session for good."""
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

    def advertise_use(
        self, lane: Lane, version: int, cost: int = 0, draining: bool = False
    ) -> None:
        """Advertises the use of a lane on all lanes. It binds this end too."""
        advertisement = wire.LaneUse(lane.number, version, cost, draining)
        if version > lane.our_use.version:
            lane.our_use = advertisement
        for other in self.lanes:
            other.send(advertisement)

    # --- flows ------------------------------------------------------------------------------

    def open(self, target: wire.Target, mode: int = wire.AUTO) -> Flow:
        max_offset = self.peer_params.initial_window if self.peer_params else 0
        opening = wire.Open(target, mode)
        flow = Flow(self, self._next_id, opening, True, max_offset, self.params.initial_window)
        self._next_id += 2
        self.flows[flow.id] = flow
        self.send_state(flow)
        return flow

    def _find_flow(self, id: int, opening: wire.Open | None) -> Flow | None:
        """Returns the flow of an id, or `None` if it is finished."""
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
        if len(self._unseen | skipped) > wire.MAX_UNSEEN:
            raise wire.Violation("too many ids are left out")
        theirs = sum(1 for flow in self.flows.values() if not flow.mine)
        if theirs >= 2 * self.params.flow_limit:
            raise wire.Violation("twice as many flows as are allowed")
        self._unseen = (self._unseen | skipped) - {id}
        self._high = max(self._high, id + 2)
        max_offset = self.peer_params.initial_window
        flow = Flow(self, id, opening, False, max_offset, self.params.initial_window)
        self.flows[id] = flow
        if theirs >= self.params.flow_limit:
            flow.answer(wire.Outcome(wire.LIMIT_REACHED, f"{theirs} flows are open"))
        else:
            self.on_flow(flow)
        return flow

    # --- sending ----------------------------------------------------------------------------

    def send_segments(self, flow: Flow) -> None:
        lanes = self.synced()
        if not lanes:
            return
        while chunk := flow.next_chunk(SEGMENT_SIZE):
            start, data = chunk
            lane = lanes[self._next_lane_index % len(lanes)]
            self._next_lane_index += 1
            opening = flow.opening if flow.mine and not flow.open_acked else None
            header = wire.SegmentHeader(flow.id, start, opening, resent=start < flow.sent_to)
            stream = lane.send_segment(header, data)
            flow.sent_on(lane, stream, start, start + len(data))

    def _send_all(self) -> None:
        for flow in self.flows.values():
            self.send_segments(flow)

    def send_state(self, flow: Flow) -> None:
        """Sends the state of a flow at once, on all lanes."""
        flow.dirty = True
        self._new_version(flow)
        self._send_fact(flow, self.lanes)

    def send_if_urgent(self, flow: Flow) -> None:
        """Sends an urgent change at once, once in a millisecond; `send_due` sends the others."""
        now = self._loop.time()
        if flow.urgent and now - flow.sent_at >= SPACING:
            self.send_state(flow)

    def _new_version(self, flow: Flow) -> None:
        if flow.dirty:
            flow.version += 1
            flow.dirty = flow.urgent = False
            flow.unstated_bytes = 0
            flow.retransmit_after = RETRANSMIT_FIRST

    def _send_fact(self, flow: Flow, lanes: list[Lane]) -> None:
        now = self._loop.time()
        fact = flow.fact()
        for lane in lanes:
            lane.send(fact)
        flow.sent_at, flow.retransmit_at = now, now + flow.retransmit_after

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(TICK, self._tick)
        self.send_due()

    def send_due(self) -> None:
        """Sends acknowledgements, changes and retransmissions, and forgets flows."""
        if not self.lanes:
            return
        now = self._loop.time()
        while self._acks and not self.withhold_acks:
            some = list(self._acks.items())[: wire.MAX_FACT_ACKS]
            for flow, _ in some:
                del self._acks[flow]
            self.lanes[0].send(wire.FactAck(some))
        for flow in list(self.flows.values()):
            if flow.dirty:
                self.send_state(flow)
            elif flow.acked < flow.version and now >= flow.retransmit_at:
                flow.retransmit_after = min(2 * flow.retransmit_after, RETRANSMIT_MAX)
                self._send_fact(flow, self.lanes)
            if flow.forgotten():
                del self.flows[flow.id]

    # --- events of lanes --------------------------------------------------------------------

    def message(self, lane: Lane, message) -> None:
        self.messages.append(message)
        answer = self._waiting.pop(lane, None)
        if answer is not None:
            self._first_message(lane, message, answer)
            return
        match message:
            case wire.Hello() | wire.Welcome() | wire.Reject():
                raise wire.Violation("a Hello, Welcome or Reject out of place")
            case wire.FlowState(flow=id, version=version):
                self._fact(id, version, message)
            case wire.FactAck(entries=entries):
                for id, version in entries:
                    if flow := self.flows.get(id):
                        flow.open_acked = True
                        flow.acked = max(flow.acked, min(version, flow.version))
            case wire.EndOfSync():
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

    def _first_message(self, lane: Lane, message, answer: asyncio.Future) -> None:
        match message:
            case wire.Welcome(version=version) if 1 <= version <= wire.LATEST_VERSION:
                self.peer_params = message.params
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
        flow = self._find_flow(id, fact.open)
        self._acks[id] = max(version, self._acks.get(id, 0))
        if flow:
            flow.open_acked = True
            flow.merge(fact)
            self.send_segments(flow)

    def segment(self, lane: Lane, header: wire.SegmentHeader) -> bool:
        self.segments.append((lane.number, header))
        return self._find_flow(header.flow, header.open) is not None

    def bytes(self, lane: Lane, header: wire.SegmentHeader, offset: int, data: bytes) -> bool:
        flow = self.flows.get(header.flow)
        if flow is None or flow.own_reset is not None:
            return False
        flow.take(offset, data)
        flow.unstated_bytes += len(data)
        flow.urgent |= header.resent or flow.unstated_bytes >= STATE_THRESHOLD
        self.send_if_urgent(flow)
        return True
