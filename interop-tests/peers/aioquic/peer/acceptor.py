"""The accepting end (§4, "Admission")."""

import asyncio

from . import wire
from .identity import Identity
from .lane import Endpoint, Handler, Lane
from .session import PARAMS, Session

MAX_LANES = 16
MAX_SESSIONS = 4
HELLO_TIMEOUT = 5.0


class Acceptor(Handler):
    def __init__(
        self, identity: Identity, known: set[bytes], local=("127.0.0.1", 0), alpn=(wire.ALPN,)
    ):
        self.identity = identity
        self.sessions: dict[tuple[bytes, int], Session] = {}
        self.on_flow = lambda flow: flow.answer(wire.Outcome(wire.NO_SERVICE, "nobody listens"))
        self.hellos: list[tuple[Lane, wire.Hello]] = []
        self.params = PARAMS
        self.version = wire.VERSION  # the version in `Welcome`
        self.refuse_with: int | None = None  # reject every `Hello` with this code
        self.endpoint = Endpoint(identity, known, local, self._accept, alpn)

    @property
    def addr(self) -> tuple[str, int]:
        return self.endpoint.addr

    def _accept(self, lane: Lane) -> None:
        lane.handler = self
        asyncio.get_running_loop().call_later(2 * HELLO_TIMEOUT, self._late, lane)

    def _late(self, lane: Lane) -> None:
        if lane.handler is self and lane.closed is None:
            lane.close(wire.PROTOCOL, "no Hello arrived")

    def message(self, lane: Lane, message) -> None:
        if not isinstance(message, wire.Hello):
            raise wire.Violation("the first message is not a Hello")
        self.hellos.append((lane, message))
        code = self._admit(lane, message)
        if code is not None:
            lane.send(wire.Reject(code, "by the rules of admission"))
            lane.finish_control()
            asyncio.get_running_loop().call_later(2, self._rejected, lane)

    def segment(self, lane: Lane, header: wire.SegmentHeader) -> bool:
        raise wire.Violation("a segment before the Hello")

    def _rejected(self, lane: Lane) -> None:
        if lane.closed is None:
            lane.close(wire.REJECTED)

    def _admit(self, lane: Lane, hello: wire.Hello) -> int | None:
        """Attaches the lane, or returns the code of the `Reject`."""
        if self.refuse_with is not None:
            return self.refuse_with
        if hello.version < 1:
            return wire.BAD_VERSION
        peer = lane.connection.peer
        session = self.sessions.get((peer, hello.session))
        if session is not None and session.over:
            session = None
        if session is None:
            if hello.intent == wire.RESUME:
                return wire.UNKNOWN_SESSION
            if not self._room(peer):
                return wire.LIMIT
            session = Session(initiator=False, id=hello.session, params=self.params)
            session.on_flow = self.on_flow
            self.sessions[peer, hello.session] = session
        elif hello.generation < session.generation:
            return wire.STALE
        if (
            hello.lane in [other.number for other in session.lanes]
            or len(session.lanes) >= MAX_LANES
        ):
            return wire.LIMIT
        session.peer_params = hello.params
        session.generation = hello.generation
        lane.number = hello.lane
        lane.send(wire.Welcome(self.params, self.version))
        session.attach(lane)
        return None

    def _room(self, peer: bytes) -> bool:
        """Makes room for another session of this peer if one of its sessions has no lanes."""
        here = [key for key, session in self.sessions.items() if key[0] == peer]
        if len(here) < MAX_SESSIONS:
            return True
        idle = next((key for key in here if not self.sessions[key].lanes), None)
        if idle is not None:
            self.sessions.pop(idle)
        return idle is not None

    def close(self) -> None:
        for session in self.sessions.values():
            if not session.over:
                session.close()
        self.endpoint.close()
