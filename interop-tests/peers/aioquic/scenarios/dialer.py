"""A real daemon that dials, with a SOCKS5 ingress, against this peer as the acceptor. The peer is
also the destination of the flows: a small HTTP server."""

import asyncio
import shutil
import struct
import time
from contextlib import asynccontextmanager

from peer import wire
from peer.acceptor import Acceptor
from peer.flow import Flow, FlowReset
from peer.identity import Identity, written
from peer.lane import Lane

from . import Place, Skipped, check, equal
from .acceptor import _parameters, _until
from .daemon import Daemon, keygen
from .origin import digest, payload

MIB = 1 << 20

# The uplinks of the dialer; on loopback an address is a provider's prefix.
PRIMARY, SECONDARY = "127.0.51.1", "127.0.52.1"
# Bytes of a transfer that is under way.
EARLY = 300_000
ORIGIN = wire.Name("origin.test", 80)


@asynccontextmanager
async def _near(place: Place, acceptor: Acceptor, key: str | None = None, standby: bool = False):
    """Runs the daemon with two uplinks; with `standby`, the second one is metered."""
    configuration = f"""
        [uplinks.a]
        prefixes = ['{PRIMARY}/32']
        [uplinks.b]
        prefixes = ['{SECONDARY}/32']
        metered = {str(standby).lower()}
        [peers.python]
        key = '{key or acceptor.identity}'
        locators = ['{acceptor.addr[0]}:{acceptor.addr[1]}']
        [ingress.socks]
        kind = 'socks5'
        listen = '127.0.0.1:0'
        via = 'python'
    """
    async with Daemon(place, "near", configuration) as daemon:
        yield daemon


@asynccontextmanager
async def _acceptor(place: Place, **options):
    near = await keygen(place, "near")
    acceptor = Acceptor(Identity(), options.pop("known", {near}), **options)
    acceptor.on_flow = lambda flow: asyncio.ensure_future(_serve(flow))
    yield acceptor
    place.lanes += acceptor.endpoint.lanes
    acceptor.close()
    await asyncio.sleep(0.05)


async def _serve(flow: Flow) -> None:
    """Answers `GET /N` with N bytes, and `PUT` with the SHA-256 of its body (RFC 9112)."""
    if flow.opening.target != ORIGIN:
        flow.answer(wire.Outcome(wire.REFUSED, "there is one destination here"))
        return
    flow.answer(wire.Outcome(wire.OPENED))
    try:
        head = b""
        while b"\r\n\r\n" not in head:
            part = await flow.read()
            if not part:
                return flow.reset(1)
            head += part
        head, body = head.split(b"\r\n\r\n", 1)
        request, *fields = head.decode().split("\r\n")
        fields = dict(field.lower().split(": ", 1) for field in fields)
        if request.startswith("GET /"):
            answer = payload(7, int(request.split()[1][1:]))
        else:
            if fields.get("expect") == "100-continue":
                await flow.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            rest = int(fields["content-length"]) - len(body)
            body += await flow.read_exactly(rest)
            answer = (await asyncio.to_thread(digest, body)).encode()
        await flow.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        await flow.write(f"Content-Length: {len(answer)}\r\n\r\n".encode())
        for at in range(0, len(answer), 1 << 16):
            await flow.write(answer[at : at + (1 << 16)])
        flow.finish()
        while await flow.read():
            pass
    except (FlowReset, ConnectionError):
        flow.reset(1)


async def _curl(daemon: Daemon, *arguments, body: bytes | None = None) -> tuple[int, bytes]:
    """Runs curl through the ingress; returns its exit status and what it received."""
    if shutil.which("curl") is None:
        raise Skipped("curl is not installed (apt-get install curl)")
    host, port = await daemon.ingress("socks")
    process = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--socks5-hostname",
        f"{host}:{port}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"no_proxy": ""},
    )
    got, _ = await asyncio.wait_for(process.communicate(body), 30)
    return process.returncode, got


async def _connect(daemon: Daemon, host: bytes):
    """Connects through the ingress (RFC 1928) to port 80; returns the reply and the connection."""
    reader, writer = await asyncio.open_connection(*await daemon.ingress("socks"))
    name = bytes([len(host)]) + host
    writer.write(b"\x05\x01\x00\x05\x01\x00\x03" + name + struct.pack(">H", 80))
    answer = await asyncio.wait_for(reader.readexactly(12), 10)
    return answer[3], reader, writer


async def _download(daemon: Daemon, length: int, *options: str) -> None:
    status, got = await _curl(daemon, *options, f"http://origin.test/{length}")
    equal(status, 0, "curl's exit status")
    equal(digest(got), digest(payload(7, length)), f"the hash of {len(got)} bytes that came")


async def _upload(daemon: Daemon, length: int, *options: str) -> None:
    body = payload(8, length)
    # From a file, so that curl sends a Content-Length.
    file = daemon.place.directory / "body"
    file.write_bytes(body)
    upload = ("--upload-file", str(file), "http://origin.test/")
    status, got = await _curl(daemon, *options, *upload)
    equal(status, 0, "curl's exit status")
    equal(got.decode(), digest(body), "the hash of what arrived")


def _session(acceptor: Acceptor):
    (session,) = acceptor.sessions.values()
    return session


async def our_dialer_comes_with_two_lanes_and_moves_bytes_both_ways(place: Place) -> None:
    async with _acceptor(place) as acceptor, _near(place, acceptor) as daemon:
        await _until("two lanes", lambda: len(acceptor.hellos) >= 2)
        await daemon.says("lane up")
        session = _session(acceptor)
        await _until("both synchronised", lambda: len(session.synced()) == 2)
        intents = [hello.intent for _, hello in acceptor.hellos]
        equal(intents[0], wire.CREATE, "the first Hello's intent")
        numbers = [hello.lane for _, hello in acceptor.hellos]
        check(len(set(numbers)) == len(numbers), "a lane's number came twice:", numbers)
        sources = {lane.connection.get_peer_address()[0] for lane in session.lanes}
        equal(sources, {PRIMARY, SECONDARY}, "where the lanes come from")
        for lane in session.lanes:
            equal(written(lane.connection.peer), (await daemon.status())["id"], "its key")
            _parameters(lane, streams=64, data=2 * MIB)
        await _download(daemon, 4 * MIB)
        await _upload(daemon, 2 * MIB)
        await _until("forgotten flows", lambda: not session.flows)
        # An outcome reaches the application: 5 is "connection refused" (RFC 1928 §6).
        reply, _, writer = await _connect(daemon, b"other")
        equal(reply, 5, "the SOCKS5 reply to a flow that was refused")
        writer.close()


def _validated(lane: Lane, since: float) -> None:
    """Checks in the acceptor's qlog that the new path was validated (RFC 9000 §8.2, §9.5)."""

    def frames(way: str, kind: str, field: str) -> set:
        events = [e for e in lane.qlog(f"transport:packet_{way}") if e["time"] >= since]
        found = [f for e in events for f in e["data"]["frames"] if f["frame_type"] == kind]
        return {frame[field] for frame in found}

    asked = frames("sent", "path_challenge", "data")
    answered = frames("received", "path_response", "data")
    check(asked & answered, "no PATH_RESPONSE to our PATH_CHALLENGE:", asked, answered)
    asked = frames("received", "path_challenge", "data")
    equal(asked - frames("sent", "path_response", "data"), set(), "its challenges, unanswered")

    def ids(way: str, before: bool) -> set[str]:
        return {
            event["data"]["header"]["dcid"]
            for event in lane.qlog(f"transport:packet_{way}")
            if event["data"]["header"]["packet_type"] == "1RTT"
            and (event["time"] < since) == before
        }

    fresh = {frame["connection_id"] for _, frame in lane.frames("sent", "new_connection_id")}
    after = ids("received", False)
    check(after - ids("received", True), "the dialer's packets come with the old ID")
    check(after & fresh, "an ID that we did not offer")
    check(ids("sent", False) - ids("sent", True), "our packets go with the old ID")
    check(frames("received", "retire_connection_id", "sequence_number"), "no ID was retired")
    moved = [e for e in lane.qlog("transport:packet_received") if e["time"] >= since]
    kinds = {event["data"]["header"]["packet_type"] for event in moved}
    equal(kinds, {"1RTT"}, "the kinds of packets after the move: it is the same connection")


async def our_dialer_migrates_and_this_peer_validates_the_path(place: Place) -> None:
    """There is one lane, and the second uplink is a metered standby. The first uplink's ISP drops
    everything during a download and an upload."""
    for data in ((7, 4 * MIB), (8, 4 * MIB)):
        payload(*data)
    # If the machine stalls for some 30 ms, the only lane becomes suspect and migrates before
    # anything fails. Then there is nothing to check, and the scenario starts anew.
    for attempt in range(5):
        if await _migrates_once(place):
            return
        print(f"    the lane moved before the cut; attempt {attempt + 1}", flush=True)
    check(False, "the lane does not stay where nothing fails")


async def _migrates_once(place: Place) -> bool:
    async with _acceptor(place) as acceptor, _near(place, acceptor, standby=True) as daemon:
        await _until("a lane", lambda: acceptor.hellos)
        session = _session(acceptor)
        (lane,) = await _until("attached", lambda: list(session.lanes))

        def at() -> str:
            return lane.connection.get_peer_address()[0]

        def under_way() -> bool:
            live = list(session.flows.values())
            down = any(flow.sent_to > EARLY for flow in live)
            return down and any(flow.received.prefix > EARLY for flow in live)

        # Python cannot receive as fast as the daemon can send.
        slow = ("--limit-rate", "2M")
        transfers = asyncio.gather(
            _download(daemon, 4 * MIB, *slow), _upload(daemon, 4 * MIB, *slow)
        )
        await _until("both transfers under way", under_way)
        check(not transfers.done(), "over before the cut")
        if session.lanes != [lane] or at() != PRIMARY:
            await transfers
            return False
        cut = time.time() * 1000
        acceptor.endpoint.blackholed.add(PRIMARY)
        await _until("the lane on the other path", lambda: at() == SECONDARY)
        await transfers
        check(lane.closed is None, "the lane was closed:", lane.closed)
        _validated(lane, cut)
        lanes = [seen for one in await daemon.sessions() for seen in one["lanes"]]
        (seen,) = [seen for seen in lanes if seen["id"] == lane.number]
        check(seen["migrations"] > 0, "the dialer counts no migration")
        await _until("forgotten flows", lambda: not session.flows)
        return True


async def our_dialer_resumes_when_all_lanes_are_gone(place: Place) -> None:
    async with _acceptor(place) as acceptor, _near(place, acceptor) as daemon:
        await _until("two lanes", lambda: len(acceptor.hellos) >= 2)
        session = _session(acceptor)
        downloading = asyncio.ensure_future(_download(daemon, 16 * MIB))

        def under_way() -> bool:
            return any(flow.sent_to > EARLY for flow in session.flows.values())

        await _until("the download under way", under_way)
        (flow,) = session.flows.values()
        before = len(acceptor.hellos)
        for lane in list(session.lanes):
            lane.close()
        await _until("all lanes closed", lambda: not session.lanes)
        await _until("a lane again", lambda: session.lanes)
        check(not downloading.done(), "over before the lanes were")
        await downloading
        again = [hello for _, hello in acceptor.hellos[before:]]
        equal({hello.intent for hello in again}, {wire.RESUME}, "the intents of the later Hellos")
        equal({hello.session for hello in again}, {session.id}, "their session")
        equal(list(acceptor.sessions.values()), [session], "sessions")
        check(flow.resent_bytes > 0, "nothing had to be sent again")


async def our_dialer_learns_that_its_session_is_unknown_and_makes_another(place: Place) -> None:
    """As after a restart of the acceptor: flows end, and new ones go over another session."""
    async with _acceptor(place) as acceptor, _near(place, acceptor) as daemon:
        await _until("two lanes", lambda: len(acceptor.hellos) >= 2)
        session = _session(acceptor)
        running = asyncio.ensure_future(_curl(daemon, f"http://origin.test/{64 * MIB}"))
        await _until("it under way", lambda: any(f.sent_to for f in session.flows.values()))
        acceptor.sessions.clear()
        session._end("forgotten")
        for lane in list(session.lanes):
            lane.close()
        status, _ = await running
        check(
            status not in (0, 28), "curl's exit status is that of a success or a timeout:", status
        )
        await _until("another session", lambda: acceptor.sessions)
        check(_session(acceptor).id != session.id, "the same session")
        await _download(daemon, 1000)


async def our_dialer_tries_again_later_where_it_is_rejected_for_now(place: Place) -> None:
    async with _acceptor(place) as acceptor:
        acceptor.refuse_with = wire.SHUTTING_DOWN
        async with _near(place, acceptor) as daemon:
            await _until("a second attempt", lambda: len(acceptor.hellos) >= 3)
            for lane, _ in acceptor.hellos[:1]:
                await asyncio.wait_for(lane.gone.wait(), 5)
                check(lane.closed.application, "closed by:", lane.closed)
            acceptor.refuse_with = None
            await daemon.says("lane up")
            await _download(daemon, 1000)


async def our_dialer_refuses_another_key_another_alpn_and_a_later_version(place: Place) -> None:
    async with _acceptor(place) as acceptor:
        async with _near(place, acceptor, key=str(Identity())) as daemon:
            lane = await _until("an attempt", lambda: acceptor.endpoint.lanes[:1])
            await asyncio.wait_for(lane[0].gone.wait(), 5)
            check(lane[0].closed.alert is not None, "closed without a TLS alert:", lane[0].closed)
            equal(acceptor.hellos, [], "what it sent to an unknown peer")
            equal(await daemon.sessions() and (await daemon.sessions())[0]["lanes"], [], "lanes")
    async with _acceptor(place, alpn=("h3",)) as acceptor, _near(place, acceptor) as daemon:
        lane = await _until("an attempt", lambda: acceptor.endpoint.lanes[:1])
        await asyncio.wait_for(lane[0].gone.wait(), 5)
        equal(lane[0].closed.alert, 120, "the alert where no ALPN is common")
        await daemon.says("no common protocol version")
    async with _acceptor(place) as acceptor:
        acceptor.version = 4
        async with _near(place, acceptor) as daemon:
            lane, _ = (await _until("an attempt", lambda: acceptor.hellos))[0]
            await asyncio.wait_for(lane.gone.wait(), 5)
            check(lane.closed.application, "closed by:", lane.closed)
            await daemon.says("no common protocol version: the accepting end answered with version 4")
            check("version 4" in lane.closed.reason, "this end is told:", lane.closed)


async def our_dialer_says_that_an_acceptor_does_not_speak_its_version_any_more(
    place: Place,
) -> None:
    async with _acceptor(place) as acceptor:
        acceptor.refuse_with = wire.BAD_VERSION
        async with _near(place, acceptor) as daemon:
            line = await daemon.says("rejected by the peer")
            check("WARN" in line and "peer=" in line, "somebody must act:", line)
            (peer,) = (await daemon.status())["peers"]
            check("rejected by the peer" in str(peer), "the status does not say so:", peer)


async def our_dialer_skips_what_a_later_acceptor_says(place: Place) -> None:
    async with _acceptor(place) as acceptor, _near(place, acceptor) as daemon:
        await daemon.says("lane up")
        session = _session(acceptor)
        for lane in session.lanes:
            kind, body = 0x40, b"later"
            while kind < 1 << 40:
                lane.send(wire.varint(kind) + wire.varint(len(body)) + body)
                kind <<= 4
        await _download(daemon, 1_000_000)
        check(all(lane.closed is None for lane in session.lanes), "a lane was closed")


async def our_dialer_closes_a_lane_whose_acceptor_breaks_a_rule_and_dials_another(
    place: Place,
) -> None:
    async with _acceptor(place) as acceptor, _near(place, acceptor) as daemon:
        await _until("two lanes", lambda: len(acceptor.hellos) >= 2)
        session = _session(acceptor)
        # The request follows after all the violations.
        reply, reader, writer = await _connect(daemon, b"origin.test")
        equal(reply, 0, "the SOCKS5 reply")
        (flow,) = session.flows.values()
        for what, act in {
            "garbage": lambda lane: lane.send(b"\x16\x03\x01\x02\x00"),
            "a Hello of the acceptor": lambda lane: lane.send(acceptor.hellos[0][1]),
            "the control stream's end": lambda lane: lane.finish_control(),
            "a flow of the initiator's that it never opened": lambda lane: lane.send(
                wire.FlowState(1 << 20, 1, 0)
            ),
            "an unseen flow without its open": lambda lane: lane.send_segment(
                wire.SegmentHeader(1001, 0), b"x"
            ),
            "a byte far beyond the max offset": lambda lane: lane.send_segment(
                wire.SegmentHeader(flow.id, 1 << 40), b"x"
            ),
        }.items():
            lane = (await _until("two lanes", lambda: len(session.lanes) == 2 and session.lanes))[0]
            act(lane)
            await asyncio.wait_for(lane.gone.wait(), 5)
            closed = lane.closed
            equal((closed.application, closed.code), (True, wire.PROTOCOL), f"closed at {what}")
            check(closed.reason, f"no reason was given at {what}")
        writer.write(b"GET /1000000 HTTP/1.1\r\nHost: origin.test\r\n\r\n")
        got = await asyncio.wait_for(reader.read(-1), 10)
        check(got.endswith(payload(7, 1_000_000)), "other bytes than those that were sent")
        writer.close()
        equal(list(acceptor.sessions.values()), [session], "sessions")


async def this_peer_refuses_a_dialer_that_it_does_not_know(place: Place) -> None:
    async with _acceptor(place, known={Identity().id}) as acceptor:
        async with _near(place, acceptor) as daemon:
            lane = await _until("an attempt", lambda: acceptor.endpoint.lanes[:1])
            await asyncio.wait_for(lane[0].gone.wait(), 5)
            equal(lane[0].closed.alert, 42, "the alert")
            await asyncio.sleep(0.3)
            equal(acceptor.hellos, [], "what an unknown peer sent")
            check(not any("lane up" in line for line in daemon.log), "a lane came up")
