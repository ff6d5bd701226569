"""Scenarios against a daemon that accepts, whose egress connects to TCP servers of the scenario."""

import asyncio
import socket
import struct
import time
from contextlib import asynccontextmanager

from peer import wire
from peer.flow import FlowReset
from peer.identity import Identity
from peer.lane import Lane
from peer.session import Session

from . import Place, check, equal
from .daemon import Daemon, keygen
from .origin import Origin, digest, payload

MIB = 1 << 20


@asynccontextmanager
async def _far(place: Place, known: Identity, more: str = ""):
    """Runs the daemon; yields it with its peer id and its address."""
    peer = await keygen(place, "far")
    configuration = f"""
        listen = '127.0.0.1:0'
        linger = '60s'
        [peers.python]
        key = '{known}'
        allow = ['127.0.0.1:*']
        {more}
    """
    async with Daemon(place, "far", configuration) as daemon:
        host, port = (await daemon.status())["listen"][0].rsplit(":", 1)
        yield daemon, peer, (host, int(port))


class _Peer:
    """This peer: an identity, a session, lanes from any loopback address."""

    def __init__(self, place: Place, identity: Identity, peer: bytes, remote):
        self.place, self.identity, self.peer, self.remote = place, identity, peer, remote
        self.session = Session(initiator=True)

    async def lane(self, local: str = "127.0.0.1", **options) -> Lane:
        lane = await self.session.dial(self.identity, self.peer, local, self.remote, **options)
        self.place.lanes.append(lane)
        return lane


@asynccontextmanager
async def _both(place: Place, more: str = ""):
    identity = Identity()
    async with _far(place, identity, more) as (daemon, peer, remote):
        us = _Peer(place, identity, peer, remote)
        yield us, daemon
        if not us.session.over:
            us.session.close()
            await asyncio.sleep(0.05)


async def _exchange(flow, up: int, down: int, while_it_runs=None) -> None:
    """Sends `up` bytes, receives `down` bytes, and checks the hashes of both."""
    data = payload(1, up)

    async def send() -> None:
        await flow.write(struct.pack(">Q", down))
        for at in range(0, up, 1 << 16):
            await flow.write(data[at : at + (1 << 16)])
        flow.finish()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        if while_it_runs:
            group.create_task(while_it_runs())
        came = await flow.read_exactly(down)
        seen = await flow.read_exactly(32)
        equal(await flow.read(), b"", "more than there is")
    equal(digest(came), digest(payload(Origin.SEED, down)), "the hash of what came")
    equal(seen.hex(), digest(data), "the hash of what arrived there")


async def _until(what: str, found, timeout: float = 10.0):
    """Polls until `found()` returns something."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        value = found()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        await asyncio.sleep(0.005)
    check(False, f"not within {timeout:.0f} s:", what)


async def _lanes(daemon: Daemon, count: int) -> list[dict]:
    """Waits until the daemon's one session has `count` lanes; returns them."""

    async def lanes():
        (session,) = await daemon.sessions()
        return (session["lanes"],) if len(session["lanes"]) == count else None

    (found,) = await _until(f"{count} lanes at {daemon.name}", lanes)
    return found


async def _acked(session: Session, flow: int, version: int) -> None:
    """Waits for the acknowledgement of that version, or of a later one."""

    def acked() -> bool:
        acks = [
            entry for m in session.messages if isinstance(m, wire.FactAck) for entry in m.entries
        ]
        return any(entry[0] == flow and entry[1] >= version for entry in acks)

    await _until(f"an acknowledgement of version {version} of flow {flow}", acked)


async def _forgotten(session: Session) -> None:
    """Waits until all flows are forgotten: their last states are acknowledged."""
    await _until("all flows forgotten", lambda: not session.flows)


def _parameters(lane: Lane, streams: int, data: int) -> None:
    """Checks the peer's transport parameters against the table of §3."""
    events = lane.qlog("transport:parameters_set")
    (theirs,) = [e["data"] for e in events if e["data"]["owner"] == "remote"]
    table = {
        "max_datagram_frame_size": 65535,
        "initial_max_streams_bidi": 1,
        "initial_max_streams_uni": streams,
        "initial_max_stream_data_uni": 2 * MIB,
        "initial_max_stream_data_bidi_local": 2 * MIB,
        "initial_max_stream_data_bidi_remote": 2 * MIB,
        "initial_max_data": data,
        "max_idle_timeout": 30_000,
    }
    for name, value in table.items():
        equal(theirs.get(name), value, name)
    check(not theirs.get("disable_active_migration"), "migration is disabled")


async def a_lane_comes_up_with_pinned_keys_and_no_tickets(place: Place) -> None:
    tickets = []
    async with _both(place) as (us, daemon):
        lane = await us.lane(tickets=tickets.append)
        await daemon.says("lane up")
        (session,) = await daemon.sessions()
        equal(session["id"], f"{us.session.id:032x}", "the session")
        equal(session["side"], "acceptor", "the other end's side")
        equal(session["lanes"][0]["id"], lane.number, "the lane's number")
        equal(lane.connection.peer, us.peer, "the key")
        equal(lane.connection.tls.alpn_negotiated, wire.ALPN, "ALPN")
        _parameters(lane, streams=16, data=16384)
        # The other end probes the path MTU with larger datagrams in this time.
        await asyncio.sleep(0.3)
        equal(tickets, [], "session tickets")
        equal(lane.frames("received", "new_token"), [], "NEW_TOKEN")
        check(lane in us.session.synced(), "no EndOfSync arrived")
        equal(us.session.peer_params.linger, 60, "the linger of the configuration")


async def a_flow_moves_bytes_both_ways(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()
        await _exchange(flow, 3 * MIB, 3 * MIB)
        await _forgotten(us.session)
        equal(origin.connections, 1, "connections to the origin")


def _migration_on_the_wire(lane: Lane, since: float) -> None:
    """Checks in qlog that a migration after `since` (ms) follows RFC 9000 §8.2 and §9.5."""

    def later(name: str) -> list[dict]:
        return [event for event in lane.qlog(name) if event["time"] >= since]

    def data(way: str, kind: str) -> set[str]:
        packets = later(f"transport:packet_{way}")
        frames = [frame for event in packets for frame in event["data"]["frames"]]
        return {frame["data"] for frame in frames if frame["frame_type"] == kind}

    asked, answered = data("received", "path_challenge"), data("sent", "path_response")
    check(asked, "no PATH_CHALLENGE of the acceptor")
    equal(asked - answered, set(), "its challenges without our PATH_RESPONSE")
    asked, answered = data("sent", "path_challenge"), data("received", "path_response")
    check(asked & answered, "no PATH_RESPONSE to our PATH_CHALLENGE")

    def ids(way: str, before: bool) -> set[str]:
        packets = lane.qlog(f"transport:packet_{way}")
        return {
            event["data"]["header"]["dcid"]
            for event in packets
            if event["data"]["header"]["packet_type"] == "1RTT"
            and (event["time"] < since) == before
        }

    # Neither end uses a connection ID on two paths.
    equal(ids("sent", True) & ids("sent", False), set(), "our packets' IDs on both paths")
    check(ids("received", False) - ids("received", True), "its packets' ID did not change")
    offered = lane.frames("received", "new_connection_id")
    fresh = {frame["connection_id"] for _, frame in offered}
    check(ids("sent", False) <= fresh, "an ID that the acceptor did not offer")
    retired = [f["sequence_number"] for _, f in lane.frames("sent", "retire_connection_id")]
    check(0 in retired, "the first ID was not retired")
    # It is the same connection: there is no second handshake.
    hellos = [
        e for e in later("transport:packet_sent") if e["data"]["header"]["packet_type"] != "1RTT"
    ]
    equal(hellos, [], "handshake packets after the move")
    equal(len(lane.logger.to_dict()["traces"]), 1, "connections")


async def the_lane_migrates_to_another_address_and_the_flow_goes_on(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lane = await us.lane("127.0.41.1")
        (before,) = await _lanes(daemon, 1)
        equal(before["remote"].split(":")[0], "127.0.41.1", "where the acceptor sees us")
        flow = us.session.open(wire.Address(origin.host, origin.port))
        moved = 0.0

        async def migrate() -> None:
            nonlocal moved
            while flow.received.prefix < MIB or flow.sent_to < MIB:
                await asyncio.sleep(0.001)
            check(flow.received.prefix < 6 * MIB, "the flow was over before the lane moved")
            moved = time.time() * 1000
            lane.migrate("127.0.42.1")
            equal(lane.local[0], "127.0.42.1", "our address")

        await _exchange(flow, 6 * MIB, 6 * MIB, migrate)
        equal(us.session.lanes, [lane], "lanes")
        (after,) = await _lanes(daemon, 1)
        equal(after["id"], lane.number, "the lane's number")
        equal(after["remote"].split(":")[0], "127.0.42.1", "where the acceptor sees us")
        equal(flow.resent_bytes, 0, "bytes sent again by the session: QUIC's own recovery did it")
        _migration_on_the_wire(lane, moved)
        await _forgotten(us.session)


async def the_lane_migrates_there_and_back_without_a_flow(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lane = await us.lane("127.0.41.1")
        for address in ("127.0.42.1", "127.0.41.1"):
            # The acceptor issues new IDs together with its acknowledgements.
            await asyncio.sleep(0.1)
            at = time.time() * 1000
            lane.migrate(address)
            flow = us.session.open(wire.Address(origin.host, origin.port))
            await _exchange(flow, 100_000, 100_000)
            await asyncio.sleep(0.1)
            _migration_on_the_wire(lane, at)
            (seen,) = await _lanes(daemon, 1)
            equal(seen["remote"].split(":")[0], address, "where the acceptor sees us")


async def a_nat_that_rebinds_is_followed(place: Place) -> None:
    """The port changes without this end noticing, so there is no new connection ID."""
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lane = await us.lane("127.0.41.1")
        flow = us.session.open(wire.Address(origin.host, origin.port))
        rebound = 0.0

        async def rebind() -> None:
            nonlocal rebound
            while flow.received.prefix < MIB:
                await asyncio.sleep(0.001)
            rebound = time.time() * 1000
            port = lane.local[1]
            lane.rebind("127.0.41.1")
            check(lane.local[1] != port, "the same port again")

        await _exchange(flow, 3 * MIB, 3 * MIB, rebind)
        (seen,) = await _lanes(daemon, 1)
        equal(seen["remote"], f"127.0.41.1:{lane.local[1]}", "where the acceptor sees us")
        equal(us.session.lanes, [lane], "lanes")
        challenges = [
            frame
            for event in lane.qlog("transport:packet_received")
            for frame in event["data"]["frames"]
            if frame["frame_type"] == "path_challenge" and event["time"] >= rebound
        ]
        check(challenges, "the acceptor did not validate the new port (RFC 9000 §9.3)")
        await _forgotten(us.session)


async def two_lanes_carry_one_flow_and_either_may_go(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        first, second = await us.lane("127.0.41.1"), await us.lane("127.0.42.1")
        flow = us.session.open(wire.Address(origin.host, origin.port), wire.BOND)

        async def drop_one() -> None:
            while flow.received.prefix < MIB or flow.sent_to < MIB:
                await asyncio.sleep(0.001)
            await _lanes(daemon, 2)
            first.close()

        await _exchange(flow, 4 * MIB, 4 * MIB, drop_one)
        for lane in (first, second):
            segments = {frame["stream_id"] for _, frame in lane.frames("sent", "stream")} - {0}
            check(segments, f"no segment was sent on lane {lane.number}")
        equal(us.session.lanes, [second], "lanes that are left")
        (left,) = await _lanes(daemon, 1)
        equal(left["id"], second.number, "the lane that is left")
        await _forgotten(us.session)


async def a_lane_that_goes_silent_costs_no_byte(place: Place) -> None:
    """The path of a lane drops everything, both ways, without a signal."""
    origin = await Origin().start()
    async with _both(place) as (us, _):
        first, second = await us.lane("127.0.41.1"), await us.lane("127.0.42.1")
        flow = us.session.open(wire.Address(origin.host, origin.port))

        async def silence() -> None:
            while flow.received.prefix < MIB:
                await asyncio.sleep(0.001)
            first.blackholed = True
            # The acceptor advertises on the other lane that it suspects this one, and after this
            # time it has no reason to withdraw that.
            await asyncio.sleep(0.3)
            await _until("LaneHealth on the lane that is silent", lambda: first.peer_suspects)
            # This end closes a lane that it knows to be dead.
            first.close()

        await _exchange(flow, 3 * MIB, 6 * MIB, silence)
        equal(us.session.lanes, [second], "lanes that are left")
        await _forgotten(us.session)


async def a_session_without_lanes_is_resumed(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lane = await us.lane("127.0.41.1")
        flow = us.session.open(wire.Address(origin.host, origin.port))

        async def drop_and_resume() -> None:
            while flow.received.prefix < MIB or flow.sent_to < MIB:
                await asyncio.sleep(0.001)
            lane.close()
            await lane.gone.wait()
            equal(us.session.lanes, [], "lanes")
            held = flow.received.prefix
            await _lanes(daemon, 0)
            (session,) = await daemon.sessions()
            check(session["detached_s"] is not None, "the session is not detached:", session)
            equal(len(session["flows"]), 1, "flows that wait")
            await asyncio.sleep(0.3)
            equal(flow.received.prefix, held, "bytes that came without a lane")
            again = await us.lane("127.0.42.1")
            equal(again.number, lane.number + 1, "the lane's number")

        await _exchange(flow, 4 * MIB, 4 * MIB, drop_and_resume)
        equal(origin.connections, 1, "connections to the origin: the flow was not opened anew")
        (session,) = await daemon.sessions()
        equal(session["id"], f"{us.session.id:032x}", "the session")
        await _forgotten(us.session)


async def a_direction_that_ends_leaves_the_other_open(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.write(struct.pack(">Q", 0) + b"to the end")
        flow.finish()
        # The origin answers only after it has read the end.
        equal((await flow.read_exactly(32)).hex(), digest(b"to the end"), "the hash there")
        equal(await flow.read(), b"", "the end")
        equal((origin.ends, origin.resets), (1, 0), "ends and resets at the origin")
        await _forgotten(us.session)

        # The other order: the destination ends first.
        async def hang_up(reader, writer):
            writer.write(b"bye")
            writer.write_eof()
            said.set_result(await reader.read())
            writer.close()

        said = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        flow = us.session.open(wire.Address(*server.sockets[0].getsockname()[:2]))
        equal(await flow.read_exactly(3), b"bye", "what it said")
        equal(await flow.read(), b"", "its end")
        await flow.write(b"after your end")
        flow.finish()
        equal(await asyncio.wait_for(said, 5), b"after your end", "what came after its end")
        await _forgotten(us.session)


async def a_reset_delivers_what_precedes_it(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.write(struct.pack(">Q", 0) + b"before the reset")
        flow.reset(7)
        await _until("a reset at the origin", lambda: origin.resets)
        equal((origin.ends, origin.resets), (0, 1), "ends and resets at the origin")
        equal(origin.last, b"before the reset", "what came before it")
        await _forgotten(us.session)

        # The other direction: the destination resets its TCP connection.
        async def abort(reader, writer):
            await reader.readexactly(5)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

        server = await asyncio.start_server(abort, "127.0.0.1", 0)
        flow = us.session.open(wire.Address(*server.sockets[0].getsockname()[:2]))
        await flow.write(b"hello")
        try:
            await flow.read()
            check(False, "an honest-looking end")
        except FlowReset:
            pass
        await _forgotten(us.session)


async def an_open_that_comes_on_two_lanes_and_again_is_one_dial(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        lanes = [await us.lane("127.0.41.1"), await us.lane("127.0.42.1")]
        for lane in lanes:
            while lane not in us.session.synced():
                await asyncio.sleep(0.001)
        # By hand, before the session sends anything: four segments and four facts with the open.
        flow = us.session.open(wire.Address(origin.host, origin.port))
        hello = struct.pack(">Q", 0) + b"once"
        header = wire.SegmentHeader(flow.id, 0, flow.opening)
        for lane in lanes * 2:
            lane.send_segment(header, hello)
            lane.send(flow.fact())
        await flow.write(hello)
        flow.finish()
        equal((await flow.read_exactly(32)).hex(), digest(b"once"), "the hash there")
        equal(await flow.read(), b"", "the end")
        await _forgotten(us.session)
        # The id is finished: nothing opens it again, and the fact is still acknowledged.
        us.session.messages.clear()
        lanes[0].send(wire.FlowState(flow.id, 99, 1 << 20, open=flow.opening))
        lanes[1].send_segment(header, hello)
        await _acked(us.session, flow.id, 99)
        await asyncio.sleep(0.1)
        equal(origin.connections, 1, "connections to the origin")
        check(all(lane.closed is None for lane in lanes), "a lane was closed")


async def pings_are_answered_as_long_as_they_are(place: Place) -> None:
    async with _both(place) as (us, _):
        lane = await us.lane()
        times = []
        for number, length in ((5, 0), (300, 8), (70_000, 600), (1 << 40, 1150)):
            lane.send_datagram(wire.ping(number, length))
            seen, micros, long = await asyncio.wait_for(lane.pongs.get(), 5)
            equal(seen, number, "the pong's number")
            check(long >= length, f"a pong of {long} bytes to a ping of {length}")
            times.append(micros)
            await asyncio.sleep(0.01)
        check(times == sorted(times), "the times of the pongs do not grow:", times)
        # An unknown kind is ignored.
        lane.send_datagram(b"\x3f\x01")
        lane.send_datagram(wire.ping(1))
        equal((await asyncio.wait_for(lane.pongs.get(), 5))[0], 1, "the pong after them")


async def _small_exchanges(us: _Peer, origin: Origin) -> list[set[int]]:
    """Opens flows of a few bytes each; returns the lanes that the answers arrived on."""
    lanes = []
    for _ in range(20):
        us.session.segments.clear()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await _exchange(flow, 100, 100)
        await _forgotten(us.session)
        lanes.append({lane for lane, header in us.session.segments if header.flow == flow.id})
    return lanes


async def a_lane_that_drains_gets_nothing_new(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        kept, drained = await us.lane("127.0.41.1"), await us.lane("127.0.42.1")
        # If the machine stalls for some 10 ms, a lane becomes suspect, and the other one is
        # better even if it drains. So most exchanges, not all, must be as expected.
        before = await _small_exchanges(us, origin)
        both = [lanes for lanes in before if lanes == {kept.number, drained.number}]
        check(len(both) >= 15, "thin flows of mode auto use both lanes, but:", before)
        us.session.advertise_use(drained, version=1, draining=True)
        # An older advertisement, and one about an unknown lane, change nothing.
        us.session.advertise_use(drained, version=0, draining=False)
        for lane in (kept, drained):
            lane.send(wire.LaneUse(77, 1, 200))
        await asyncio.sleep(0.1)
        after = await _small_exchanges(us, origin)
        only = [lanes for lanes in after if lanes == {kept.number}]
        check(len(only) >= 15, "segments on the lane that drains:", after)
        # A lane of cost 128 or more is used only where there is no cheaper one.
        us.session.advertise_use(drained, version=2, draining=False)
        us.session.advertise_use(kept, version=1, cost=200)
        await asyncio.sleep(0.1)
        after = await _small_exchanges(us, origin)
        only = [lanes for lanes in after if lanes == {drained.number}]
        check(len(only) >= 15, "segments on the lane that costs:", after)


async def facts_are_retransmitted_until_they_are_acknowledged(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        for address in ("127.0.41.1", "127.0.42.1"):
            await us.lane(address)
        # This peer acknowledges nothing: the acceptor retransmits, under the same version.
        us.session.withhold_acks = True
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()
        await asyncio.sleep(1.2)
        facts = [m for m in us.session.messages if isinstance(m, wire.FlowState)]
        latest = max(fact.version for fact in facts)
        again = [fact for fact in facts if fact.version == latest]
        check(len(again) >= 2 * 3, "sent at 0, 250 and 750 ms on both lanes, but:", facts)
        check(all(fact == again[0] for fact in again), "one version with two states:", again)
        us.session.withhold_acks = False
        await asyncio.sleep(0.3)
        us.session.messages.clear()
        # The next retransmissions would follow after 1 s and 2 s.
        await asyncio.sleep(2.5)
        facts = [m for m in us.session.messages if isinstance(m, wire.FlowState)]
        equal(facts, [], "facts after their acknowledgement")


async def closing_ends_the_session_and_its_flows(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, daemon):
        lanes = [await us.lane("127.0.41.1"), await us.lane("127.0.42.1")]
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.write(struct.pack(">Q", 0))
        await flow.opened()
        us.session.close(0, "that is all")
        for lane in lanes:
            await asyncio.wait_for(lane.gone.wait(), 5)
            equal((lane.closed.code, lane.closed.application), (wire.DONE, True), "how it closed")
        await _until("a reset at the origin", lambda: origin.resets)

        async def over() -> bool:
            return not await daemon.sessions()

        await _until("no session at the acceptor", over)
