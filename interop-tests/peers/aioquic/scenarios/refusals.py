"""What the daemon's acceptor must refuse without disturbing anything else; and what this peer
refuses of it."""

import asyncio

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from peer import wire
from peer.flow import FlowFailed
from peer.identity import Identity, self_signed
from peer.lane import Handler, Lane, LaneClosed
from peer.session import PARAMS, Rejected, Session

from . import Place, check, equal
from .acceptor import _acked, _both, _exchange, _far, _forgotten, _lanes, _Peer
from .daemon import Daemon
from .origin import Origin

MIB = 1 << 20

# TLS alerts (RFC 8446 §6).
HANDSHAKE_FAILURE, BAD_CERTIFICATE, UNSUPPORTED_CERTIFICATE, ACCESS_DENIED = 40, 42, 43, 49
CERTIFICATE_REQUIRED, NO_APPLICATION_PROTOCOL = 116, 120

# As TLS over TCP begins: read as a message, one of type 0x16 and of 3 bytes.
# As few as fit well into the memory that the daemon keeps for a peer's flows.
LIMITS = "[limits]\nflows = 256\n"

GARBAGE = bytes.fromhex("1603010200010001fc0303")


class _Inbox(Handler):
    """The handler of a lane without a session: it keeps the messages."""

    def __init__(self):
        self.messages = []

    def message(self, lane, message) -> None:
        self.messages.append(message)


async def _closed(lane: Lane, timeout: float = 10.0) -> LaneClosed:
    await asyncio.wait_for(lane.gone.wait(), timeout)
    return lane.closed


async def _raw(us: _Peer, local: str = "127.0.0.1", **options) -> Lane:
    lane = await Lane.dial(us.identity, us.peer, local, us.remote, **options)
    us.place.lanes.append(lane)
    lane.handler = _Inbox()
    return lane


async def _refused(us: _Peer, identity: Identity | None = None, **options) -> LaneClosed:
    """Returns how the acceptor closes a lane whose handshake it refuses. The dialer learns of it
    only after its own handshake is complete (§3)."""
    try:
        lane = await Lane.dial(identity or us.identity, us.peer, "127.0.0.1", us.remote, **options)
    except LaneClosed as closed:
        return closed
    return await _closed(lane)


async def a_key_that_the_acceptor_does_not_know_is_refused(place: Place) -> None:
    async with _both(place) as (us, daemon):
        closed = await _refused(us, Identity())
        check(closed.alert is not None, "closed without a TLS alert:", closed)
        equal(await daemon.sessions(), [], "sessions")
        # The known key is still admitted.
        await us.lane()


async def a_dialer_without_a_certificate_or_with_another_kind_of_key_is_refused(
    place: Place,
) -> None:
    async with _both(place) as (us, daemon):

        def without(configuration) -> None:
            configuration.certificate = configuration.private_key = None

        closed = await _refused(us, configure=without)
        check(closed.alert in (CERTIFICATE_REQUIRED, HANDSHAKE_FAILURE), "no alert:", closed)

        def with_p256(configuration) -> None:
            configuration.private_key = ec.generate_private_key(ec.SECP256R1())
            configuration.certificate = self_signed(configuration.private_key, hashes.SHA256())

        closed = await _refused(us, configure=with_p256)
        check(closed.alert is not None, "closed without a TLS alert:", closed)

        def with_anothers(configuration) -> None:
            """The certificate of a known peer, which is no secret, and a key of one's own."""
            configuration.private_key = Identity().key

        closed = await _refused(us, configure=with_anothers)
        check(closed.alert is not None, "closed without a TLS alert:", closed)
        equal(await daemon.sessions(), [], "sessions")
        await us.lane()


async def this_peer_refuses_an_acceptor_with_another_key(place: Place) -> None:
    async with _both(place) as (us, daemon):
        try:
            await Lane.dial(us.identity, Identity().id, "127.0.0.1", us.remote)
            check(False, "a lane came up with a key that is not pinned")
        except LaneClosed as closed:
            equal(closed.alert, BAD_CERTIFICATE, "the alert")
        equal(await daemon.sessions(), [], "sessions")


async def another_alpn_and_none_are_refused(place: Place) -> None:
    async with _both(place) as (us, daemon):
        for alpn in (("throughline/2",), ("h3",), ()):
            closed = await _refused(us, alpn=alpn)
            equal(closed.alert, NO_APPLICATION_PROTOCOL, f"the alert to ALPN {alpn}")
        await daemon.says("no common protocol version")
        # It is selected from a list of several.
        lane = await _raw(us, alpn=("h3", wire.ALPN))
        equal(lane.connection.tls.alpn_negotiated, wire.ALPN, "ALPN")
        lane.close()
        equal(await daemon.sessions(), [], "sessions")


async def _rejected_with(us: _Peer, code: int, session: Session, **changes) -> None:
    lane = await _raw(us)
    try:
        await session.hello(lane, **changes)
        check(False, f"welcomed with {changes}")
    except Rejected as rejected:
        equal(rejected.code, code, f"the code of the Reject of {changes}")
    await _closed(lane)


async def _drop_one(us: _Peer, daemon: Daemon) -> None:
    us.session.lanes[0].close()
    await _lanes(daemon, len(us.session.lanes))


async def hellos_are_rejected_by_the_rules_of_the_acceptor(place: Place) -> None:
    async with _both(place) as (us, daemon):
        other = Session(initiator=True)
        await _rejected_with(us, wire.BAD_VERSION, other, version=0)
        await daemon.says("version 1 is the lowest of the accepting end")
        await _rejected_with(us, wire.UNKNOWN_SESSION, other, intent=wire.RESUME)
        equal(await daemon.sessions(), [], "sessions that a rejected Hello made")
        # A higher version is welcomed with the version that the acceptor speaks.
        lane = await _raw(us)
        await us.session.hello(lane, version=7)
        equal(us.session.messages[0].version, wire.LATEST_VERSION, "the version of the Welcome")
        # A lane number is used once only, also in a repeated create.
        await _rejected_with(us, wire.LIMIT, us.session, lane=lane.number)
        await _rejected_with(us, wire.LIMIT, us.session, lane=lane.number, intent=wire.CREATE)
        # At most 16 lanes, and no lower generation.
        while len(us.session.lanes) < 16:
            await us.lane()
        await _rejected_with(us, wire.LIMIT, us.session)
        await _drop_one(us, daemon)
        await us.session.hello(await _raw(us), generation=3)
        await _drop_one(us, daemon)
        await _rejected_with(us, wire.STALE, us.session, generation=2)
        # A repeated create attaches.
        await us.session.hello(await _raw(us), intent=wire.CREATE, generation=3)
        equal(len(await daemon.sessions()), 1, "sessions")


async def a_later_dialer_is_answered_in_our_version_and_what_it_says_more_is_skipped(
    place: Place,
) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lane = await _raw(us)
        await us.session.hello(lane, version=7)
        equal(us.session.messages[0].version, wire.LATEST_VERSION, "the version of the Welcome")
        # What a later version has beside this one's messages: optional types, at any time.
        more = _message(0x40, b"") + _message(0x7F, bytes(16384)) + _message(1 << 30, b"more")
        lane.send(more)
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()
        lane.send(more)
        await _exchange(flow, 100_000, 100_000)
        await _forgotten(us.session)
        await _lanes(daemon, 1)


async def a_session_is_not_attached_to_by_another_peer(place: Place) -> None:
    other = Identity()
    more = f"[peers.other]\nkey = '{other}'\n"
    async with _both(place, more) as (us, daemon):
        await us.lane()
        them = _Peer(place, other, us.peer, us.remote)
        thief = Session(initiator=True, id=us.session.id)
        await _rejected_with(them, wire.UNKNOWN_SESSION, thief, intent=wire.RESUME)
        # With a create the same id names another session.
        await thief.hello(await _raw(them))
        sessions = await daemon.sessions()
        equal([s["id"] for s in sessions], [f"{thief.id:032x}"] * 2, "sessions")
        equal([len(s["lanes"]) for s in sessions], [1, 1], "lanes")
        thief.close()


async def a_target_outside_the_acl_is_not_dialed(place: Place) -> None:
    origin = await Origin().start()
    identity = Identity()
    async with _far(place, identity) as (_, peer, remote):
        us = _Peer(place, identity, peer, remote)
        await us.lane()
        # The ACL allows the ports of 127.0.0.1.
        for target in (
            wire.Address("127.0.0.2", origin.port),
            wire.Address("::ffff:127.0.0.2", origin.port),
            wire.Address("192.0.2.1", 80),
            wire.Address("224.0.0.1", 80),
            wire.Address("0.0.0.0", origin.port),
        ):
            await _fails(us.session, target, wire.NOT_ALLOWED)
        await _fails(us.session, wire.Service("nobody"), wire.NO_SERVICE)
        closed = asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        server = await closed
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await _fails(us.session, wire.Address("127.0.0.1", port), wire.REFUSED)
        equal(origin.connections, 0, "connections to the origin")
        flow = us.session.open(wire.Address("127.0.0.1", origin.port))
        await _exchange(flow, 1000, 1000)
        await _forgotten(us.session)
        us.session.close()


async def _fails(session: Session, target: wire.Target, code: int) -> None:
    flow = session.open(target)
    try:
        await flow.opened()
        check(False, f"{target} was opened")
    except FlowFailed as failed:
        equal(failed.outcome.code, code, f"the outcome of {target} ({failed.outcome.detail})")
    # A failure comes together with a reset (code 1, at 0).
    equal(flow.peer_reset, wire.Reset(1, 0), "the reset that comes with it")
    flow.reset(1)
    await _forgotten(session)


async def _violation(us: _Peer, what: str, act) -> None:
    """Breaks a rule (`act`) on a new lane; checks that this lane is closed, and nothing else."""
    before = list(us.session.lanes)
    lane = await us.lane()
    act(lane)
    try:
        closed = await _closed(lane)
    except TimeoutError:
        check(False, f"the lane was not closed at {what}")
    equal((closed.application, closed.code), (True, wire.PROTOCOL), f"how it closed at {what}")
    check(closed.reason, f"no reason was given at {what}")
    equal(us.session.lanes, before, f"the other lanes after {what}")


def _message(kind: int, body: bytes) -> bytes:
    return wire.varint(kind) + wire.varint(len(body)) + body


async def violations_close_the_lane_and_nothing_else(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()

        def fact(**fields) -> wire.FlowState:
            return wire.FlowState(**{"flow": flow.id, "version": 50, "max_offset": 0} | fields)

        header = wire.SegmentHeader
        opening = flow.opening
        hello = wire.Hello(us.session.id, wire.RESUME, 99, PARAMS)
        rules = {
            "garbage": lambda lane: lane.send(GARBAGE),
            "a type of a later version": lambda lane: lane.send(_message(0x0B, b"")),
            "a message beyond 16384 bytes": lambda lane: lane.send(
                b"\x40\x40" + wire.varint(16385)
            ),
            "bytes left over": lambda lane: lane.send(_message(wire.END_OF_SYNC, b"\x00")),
            "a message that is too short": lambda lane: lane.send(
                _message(wire.FACT_ACK, b"\x02\x00\x01")
            ),
            "a second Hello": lambda lane: lane.send(hello),
            "a Welcome of the initiator": lambda lane: lane.send(wire.Welcome(PARAMS)),
            "the control stream's end": lambda lane: lane.finish_control(),
            "the control stream's reset": lambda lane: lane.reset(0, 0),
            "an unknown flag of a FlowState": lambda lane: lane.send(
                _message(wire.FLOW_STATE, b"\x00\x01\x00\x10\x00")
            ),
            "an empty range": lambda lane: lane.send(
                _message(wire.FLOW_STATE, b"\x00\x01\x00\x00\x01\x00\x00")
            ),
            "33 ranges": lambda lane: lane.send(
                fact(ranges=[(9 * i, 9 * i + 1) for i in range(33)])
            ),
            "a range beyond what was sent": lambda lane: lane.send(fact(ranges=[(0, 1 << 30)])),
            "an open of the wrong parity": lambda lane: lane.send(
                wire.FlowState(1, 1, 0, open=opening)
            ),
            "an unseen id without an open": lambda lane: lane.send(wire.FlowState(1000, 1, 0)),
            "an id too far ahead": lambda lane: lane.send(
                wire.FlowState(1 << 20, 1, 0, open=opening)
            ),
            "port 0": lambda lane: lane.send(
                wire.FlowState(1000, 1, 0, open=wire.Open(wire.Address("127.0.0.1", 0)))
            ),
            "an address as a host name": lambda lane: lane.send(
                wire.FlowState(1000, 1, 0, open=wire.Open(wire.Name("127.0.0.1", 80)))
            ),
            "mode 5": lambda lane: lane.send(
                wire.FlowState(1000, 1, 0, open=wire.Open(opening.target, 5))
            ),
            "a LaneUse that drains by 2": lambda lane: lane.send(
                _message(wire.LANE_USE, b"\x01\x01\x00\x02")
            ),
            "a stream of an unknown kind": lambda lane: lane.send_segment(b"\x02\x00\x00\x00"),
            "an unknown flag of a segment": lambda lane: lane.send_segment(b"\x01\x04\x00\x00"),
            "a header that ends early": lambda lane: lane.send_segment(b"\x01\x00\x00"),
            "a segment of an unseen id": lambda lane: lane.send_segment(header(1000, 0)),
            "an offset beyond the last": lambda lane: lane.send_segment(
                header(flow.id, wire.MAX_OFFSET + 1)
            ),
            "a byte beyond the max offset": lambda lane: lane.send_segment(
                header(flow.id, flow.max_offset), b"x"
            ),
            "a datagram without a kind": lambda lane: lane.send_datagram(b""),
            "a ping without its number": lambda lane: lane.send_datagram(b"\x01"),
        }
        for what, act in rules.items():
            await _violation(us, what, act)
        # A type from 0x40 up is skipped, and a second EndOfSync is ignored.
        (lane,) = us.session.lanes
        lane.send(wire.EndOfSync(), _message(0x40, b"whatever") + _message(1 << 40, bytes(16384)))
        # The flow is not affected.
        await _exchange(flow, MIB, MIB)
        await _forgotten(us.session)
        equal(origin.connections, 1, "connections to the origin")
        await _lanes(daemon, 1)


async def contradictions_of_a_flow_are_violations(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()
        size = wire.FlowState(flow.id, 60, 0, final_size=100)
        us.session.lanes[0].send(size)
        await _acked(us.session, flow.id, size.version)
        header = wire.SegmentHeader(flow.id, 100)
        for what, act in {
            "a second final size": lambda lane: lane.send(
                wire.FlowState(flow.id, 61, 0, final_size=101)
            ),
            "a byte beyond the final size": lambda lane: lane.send_segment(header, b"x"),
            "a reset at another offset": lambda lane: lane.send(
                wire.FlowState(flow.id, 62, 0, final_size=100, reset=wire.Reset(1, 99))
            ),
        }.items():
            await _violation(us, what, act)
        # Repeating the same fact is no violation.
        us.session.messages.clear()
        us.session.lanes[0].send(size)
        await _acked(us.session, flow.id, size.version)
        equal(len(us.session.lanes), 1, "lanes")


async def what_comes_before_the_hello_closes_the_lane(place: Place) -> None:
    async with _both(place) as (us, daemon):
        for what, first in {
            "garbage": GARBAGE,
            "a fact": wire.FlowState(0, 1, 0),
            "an intent of 2": wire.Hello(1, 2, 1, PARAMS),
        }.items():
            lane = await _raw(us)
            lane.send(first)
            closed = await _closed(lane)
            equal(
                (closed.application, closed.code), (True, wire.PROTOCOL), f"how it closed at {what}"
            )
            equal(lane.handler.messages, [], f"the answer to {what}")
        equal(await daemon.sessions(), [], "sessions")
        # A lane on which nothing is sent is closed after 5 s.
        lane = await _raw(us)
        began = asyncio.get_running_loop().time()
        closed = await _closed(lane, 20)
        elapsed = asyncio.get_running_loop().time() - began
        check(4 < elapsed < 15, f"a lane without a Hello was closed after {elapsed:.1f} s")


async def too_many_flows_are_refused_and_far_too_many_a_violation(place: Place) -> None:
    """Refused flows count until the acceptor has forgotten them; without acknowledgements none is."""
    async with _both(place, LIMITS) as (us, daemon):
        lane = await us.lane()
        us.session.withhold_acks = True
        limit = us.session.peer_params.flow_limit

        async def outcomes(count: int, code: int) -> None:
            # The egress handles 128 opens at a time.
            for _ in range(0, count, 64):
                flows = [us.session.open(wire.Address("192.0.2.1", 80)) for _ in range(64)]
                for flow in flows:
                    try:
                        await flow.opened()
                        check(False, "a target outside the ACL was opened")
                    except FlowFailed as failed:
                        equal(failed.outcome.code, code, failed.outcome.detail)

        await outcomes(limit, wire.NOT_ALLOWED)
        # And 64: those with which an honest opener has finished before the acceptor knows.
        await outcomes(limit + 64, wire.LIMIT_REACHED)
        equal(len((await daemon.sessions())[0]["flows"]), 2 * limit + 64, "flows")
        us.session.open(wire.Address("192.0.2.1", 80))
        closed = await _closed(lane)
        equal((closed.application, closed.code), (True, wire.PROTOCOL), "how it closed")
