"""Against our acceptor: a real daemon whose egress leads to TCP servers of the scenario."""

import asyncio
import struct
from contextlib import asynccontextmanager

from peer import wire
from peer.identity import Identity, written
from peer.lane import Lane
from peer.session import Session

from . import Place, check, equal
from .daemon import Daemon, keygen
from .origin import Origin, digest, payload

MIB = 1 << 20


@asynccontextmanager
async def _far(place: Place, known: Identity, more: str = ""):
    """The daemon; yields it with its peer id and its address."""
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
    """Us: an identity, a session, lanes from any address of loopback."""

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
    """`up` bytes there and `down` bytes back, both checked by their hashes."""
    data = payload(1, up)

    async def send() -> None:
        await flow.write(struct.pack(">Q", down))
        for at in range(0, up, 1 << 16):
            await flow.write(data[at : at + (1 << 16)])
        flow.finish()

    sending = asyncio.ensure_future(send())
    extra = asyncio.ensure_future(while_it_runs()) if while_it_runs else None
    came = await flow.read_exactly(down)
    seen = await flow.read_exactly(32)
    equal(await flow.read(), b"", "more than there is")
    await sending
    if extra:
        await extra
    equal(digest(came), digest(payload(Origin.SEED, down)), "the hash of what came")
    equal(seen.hex(), digest(data), "the hash of what arrived there")


async def _forgotten(session: Session) -> None:
    """Both ends forget a flow that is over: its last state is echoed."""
    for _ in range(400):
        if not session.flows:
            return
        await asyncio.sleep(0.01)
    check(False, "not forgotten:", [vars(flow) for flow in session.flows.values()])


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
        # What §3 says of transport parameters, as they came.
        (event,) = [
            e for e in lane.qlog("transport:parameters_set") if e["data"]["owner"] == "remote"
        ]
        theirs = event["data"]
        table = {
            "max_datagram_frame_size": 65535,
            "initial_max_streams_bidi": 1,
            "initial_max_streams_uni": 4096,
            "initial_max_stream_data_uni": 2 * MIB,
            "initial_max_stream_data_bidi_remote": 2 * MIB,
            "initial_max_data": 64 * MIB,
            "max_idle_timeout": 30_000,
        }
        for name, value in table.items():
            equal(theirs.get(name), value, name)
        check(not theirs.get("disable_active_migration"), "migration is disabled")
        # Larger datagrams than the first are the other end's search for the path MTU.
        await asyncio.sleep(0.3)
        equal(tickets, [], "session tickets")
        equal(lane.frames("received", "new_token"), [], "NEW_TOKEN")
        check(lane in us.session.synced(), "no SyncEnd")
        equal(us.session.peer_offer.linger, 60, "the linger of the configuration")


async def a_flow_moves_bytes_both_ways(place: Place) -> None:
    origin = await Origin().start()
    async with _both(place) as (us, _):
        await us.lane()
        flow = us.session.open(wire.Address(origin.host, origin.port))
        await flow.opened()
        await _exchange(flow, 3 * MIB, 3 * MIB)
        await _forgotten(us.session)
        equal(origin.connections, 1, "connections to the origin")
