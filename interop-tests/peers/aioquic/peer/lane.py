"""A lane: one QUIC connection and its socket (§3, §7). It handles messages, segments and pings, and
knows nothing of sessions."""

import asyncio
import socket
import time

from aioquic.buffer import Buffer
from aioquic.quic import events
from aioquic.quic.logger import QuicLogger
from aioquic.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_version_negotiation,
    pull_quic_header,
)

from . import quic, wire
from .identity import Identity

CONTROL = 0  # the stream
KEEP_ALIVE = 15.0
RECEIVE_BUFFER = 4 << 20
DATAGRAMS_PER_TURN = 16  # datagrams


class LaneClosed(Exception):
    """The error code that closed a lane; `application` says whose code it is."""

    def __init__(self, code: int, application: bool, reason: str):
        super().__init__(f"{'application' if application else 'QUIC'} error {code:#x}: {reason}")
        self.code, self.application, self.reason = code, application, reason

    @property
    def alert(self) -> int | None:
        """The TLS alert, if one closed the lane (RFC 9001 §4.8)."""
        return self.code - 0x100 if not self.application and 0x100 <= self.code < 0x200 else None


class Handler:
    """Receives the events of a lane. Its methods may raise `wire.Violation`."""

    def message(self, lane: "Lane", message) -> None: ...
    def segment(self, lane: "Lane", header: wire.SegmentHeader) -> bool:
        """Handles the start of a segment; `False` stops its stream (code 0)."""
        return True

    def bytes(self, lane: "Lane", header: wire.SegmentHeader, offset: int, data: bytes) -> bool:
        """Handles bytes of a segment; `False` stops its stream (code 0)."""
        return True

    def closed(self, lane: "Lane") -> None: ...


class IncomingSegment:
    """A segment being received: its header, then the next offset."""

    def __init__(self):
        self.buffer = b""
        self.header: wire.SegmentHeader | None = None
        self.offset = 0
        self.stopped = False


class Lane:
    def __init__(self, connection: quic.Connection, logger: QuicLogger, socket_=None):
        self.connection = connection
        self.logger = logger
        self.handler = Handler()
        self.number = 0
        self.connected = asyncio.Event()
        self.closed: LaneClosed | None = None
        self.gone = asyncio.Event()
        self.blackholed = False  # its path drops everything, both ways
        self.issued: set[bytes] = set()  # our connection IDs, for `Endpoint`
        self.pongs: asyncio.Queue[tuple[int, int, int]] = asyncio.Queue()
        # Both ends' advertisements; version -1 means that there was none.
        self.our_use = self.peer_use = wire.LaneUse(0, -1, 0)
        self.peer_health = wire.LaneHealth(0, -1, 0)
        self._socket = socket_
        self._owns_socket = False
        self._control = wire.ControlReader()
        self._control_ended = False  # theirs may end
        self._control_finished = False  # ours has
        self._incoming: dict[int, IncomingSegment] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive: asyncio.TimerHandle | None = None
        self._pumping = False
        self._loop = asyncio.get_running_loop()

    # --- set-up -----------------------------------------------------------------------------

    @staticmethod
    async def dial(
        identity: Identity,
        peer: bytes,
        local: str,
        remote: tuple[str, int],
        *,
        alpn=(wire.ALPN,),
        configure=lambda configuration: None,
        tickets=None,
    ) -> "Lane":
        """Connects from `local`; raises `LaneClosed` where the handshake fails here."""
        logger = QuicLogger()
        configuration = quic.configuration(identity, is_client=True, alpn=alpn, logger=logger)
        configure(configuration)
        connection = quic.Connection(
            known={peer}, configuration=configuration, session_ticket_handler=tickets
        )
        lane = Lane(connection, logger)
        lane.rebind(local)
        connection.connect(remote, now=lane._loop.time())
        lane.pump()
        await lane._either(lane.connected)
        return lane

    async def _either(self, event: asyncio.Event, timeout: float = 10.0) -> None:
        tasks = [asyncio.ensure_future(one.wait()) for one in (event, self.gone)]
        try:
            done = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if not done[0]:
            raise TimeoutError("the lane neither came up nor was refused")
        if self.closed and not event.is_set():
            raise self.closed

    def rebind(self, local: str) -> None:
        """Replaces the socket without the connection noticing."""
        if self._owns_socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._socket = udp(local, 0)
        self._owns_socket = True
        self._loop.add_reader(self._socket, self._readable)

    def migrate(self, local: str) -> None:
        """Migrates to another local address (RFC 9000 §9): a new socket, a new connection ID
        (§9.5), and path validation by this end too.

        The old socket is closed, as in a renumbering, so nothing is sent from it."""
        if not self.connection._peer_cid_available:
            raise RuntimeError("the peer has given us no spare connection ID")
        self.rebind(local)
        self.connection.change_connection_id()
        # aioquic's state machine knows remote addresses only, so it does not notice the new path. A
        # client may send on it at once, without the limit of three times what it received.
        path = self.connection._network_paths[0]
        path.is_validated, path.local_challenge_sent = False, False
        path.validation_deadline, path.bytes_received = None, 1 << 60
        self.connection.send_ping(0)
        self.pump()

    @property
    def local(self) -> tuple[str, int]:
        return self._socket.getsockname()

    # The stricter of both advertisements binds both ends.
    @property
    def cost(self) -> int:
        return max(self.our_use.cost, self.peer_use.cost)

    @property
    def draining(self) -> bool:
        return self.our_use.draining or self.peer_use.draining

    @property
    def peer_suspects(self) -> bool:
        return self.peer_health.suspicion != 0

    # --- sending ----------------------------------------------------------------------------

    def send(self, *messages) -> None:
        """Sends control messages, or raw bytes in their place, until the stream has ended."""
        if self._control_finished:
            return
        parts = (m if isinstance(m, bytes) else wire.encode(m) for m in messages)
        self._write(CONTROL, b"".join(parts), False)

    def finish_control(self) -> None:
        self._control_ended = self._control_finished = True
        self._write(CONTROL, b"", True)

    def send_segment(self, header: wire.SegmentHeader | bytes, data: bytes = b"", fin=True) -> int:
        """Sends a segment; returns its stream."""
        head = header if isinstance(header, bytes) else header.encode()
        stream = self.connection.get_next_available_stream_id(is_unidirectional=True)
        self._write(stream, head + data, fin)
        return stream

    def write(self, stream: int, data: bytes, fin: bool) -> None:
        self._write(stream, data, fin)

    def reset(self, stream: int, code: int = wire.SEGMENT_SUPERSEDED) -> None:
        if self.closed is None:
            self.connection.reset_stream(stream, code)
            self.pump_soon()

    def send_datagram(self, data: bytes) -> None:
        self.connection.send_datagram_frame(data)
        self.pump_soon()

    def close(self, code: int = wire.DONE, reason: str = "") -> None:
        self.connection.close(error_code=code, reason_phrase=reason)
        self.pump()

    def _write(self, stream: int, data: bytes, fin: bool) -> None:
        if self.closed is None:
            self.connection.send_stream_data(stream, data, fin)
            self.pump_soon()

    # --- driving the connection -------------------------------------------------------------

    def pump_soon(self) -> None:
        """Schedules one `pump` for everything written in this iteration of the loop."""
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self.pump)

    def pump(self) -> None:
        """Handles events, sends packets, and sets the timer."""
        self._pumping = False
        while self.closed is None and (event := self.connection.next_event()):
            try:
                self._event(event)
            except wire.Violation as violation:
                self.connection.close(error_code=wire.PROTOCOL, reason_phrase=str(violation))
        if self.closed is None:
            for data, addr in self.connection.datagrams_to_send(now=self._loop.time()):
                if not self.blackholed:
                    send_to(self._socket, data, addr)
            # aioquic reports this only after the closing period, three PTOs later.
            if why := self.connection._close_event:
                self._end(LaneClosed(why.error_code, why.frame_type is None, why.reason_phrase))
        if self._timer:
            self._timer.cancel()
            self._timer = None
        at = self.connection.get_timer()
        if self.closed is None and at is not None:
            self._timer = self._loop.call_at(at, self._timeout, at)

    def receive(self, data: bytes, addr) -> None:
        if not self.blackholed:
            self.connection.receive_datagram(data, addr, now=self._loop.time())

    def _readable(self) -> None:
        # A bounded batch, since acknowledgements that wait make a lane suspect.
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, addr = self._socket.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionRefusedError:
                continue
            self.receive(data, addr)
        self.pump()

    def _timeout(self, at: float) -> None:
        self.connection.handle_timer(now=max(at, self._loop.time()))
        self.pump()

    def _send_keep_alive(self) -> None:
        if self.closed is None:
            self.connection.send_ping(0)
            self.pump()
            self._keep_alive = self._loop.call_later(KEEP_ALIVE, self._send_keep_alive)

    def _reset_keep_alive(self) -> None:
        """Postpones the keep-alive, which the initiator of a lane sends."""
        if self._keep_alive:
            self._keep_alive.cancel()
        if self.connection.configuration.is_client:
            self._keep_alive = self._loop.call_later(KEEP_ALIVE, self._send_keep_alive)

    # --- receiving -------------------------------------------------------------------------

    def _event(self, event: events.QuicEvent) -> None:
        match event:
            case events.HandshakeCompleted():
                self.connected.set()
                self._reset_keep_alive()
            case events.StreamDataReceived(data=data, end_stream=fin, stream_id=stream):
                self._reset_keep_alive()
                if stream == CONTROL:
                    self._control_bytes(data, fin)
                elif stream & 2:
                    self._segment_bytes(stream, data, fin)
                else:
                    raise wire.Violation("a second bidirectional stream")
            case events.StreamReset(stream_id=stream):
                if stream == CONTROL:
                    raise wire.Violation("the control stream was reset")
                self._incoming.pop(stream, None)
            case events.DatagramFrameReceived(data=data):
                self._reset_keep_alive()
                self._datagram(data)
            case events.ConnectionTerminated(error_code=code, frame_type=kind, reason_phrase=why):
                self._end(LaneClosed(code, kind is None, why))
            case events.ConnectionIdIssued(connection_id=cid):
                self.issued.add(cid)
            case events.ConnectionIdRetired(connection_id=cid):
                self.issued.discard(cid)

    def _control_bytes(self, data: bytes, fin: bool) -> None:
        for message in self._control.feed(data):
            if isinstance(message, (wire.Close, wire.Reject)):
                self._control_ended = True
            self.handler.message(self, message)
        if fin and not self._control_ended:
            raise wire.Violation("the control stream ended")

    def _segment_bytes(self, stream: int, data: bytes, fin: bool) -> None:
        segment = self._incoming.setdefault(stream, IncomingSegment())
        if fin:
            del self._incoming[stream]
        if segment.stopped:
            return
        if segment.header is None:
            segment.buffer += data
            reader = wire.Reader(segment.buffer)
            try:
                segment.header = wire.SegmentHeader.read(reader)
            except wire.Incomplete:
                if fin:
                    raise wire.Violation("a segment without a whole header") from None
                return
            segment.offset = segment.header.offset
            data, segment.buffer = segment.buffer[reader.at :], b""
            segment.stopped = not self.handler.segment(self, segment.header)
        if not segment.stopped and data:
            if segment.offset + len(data) > segment.header.offset + wire.MAX_SEGMENT:
                raise wire.Violation("a segment of more than 1 MiB")
            wanted = self.handler.bytes(self, segment.header, segment.offset, data)
            segment.offset += len(data)
            segment.stopped = not wanted
        if segment.stopped and not fin:
            self.connection.stop_stream(stream, wire.SEGMENT_FINISHED)

    def _datagram(self, data: bytes) -> None:
        reader = wire.Reader(data)
        try:
            kind = reader.varint()
            if kind not in (1, 2):
                return
            number = reader.varint()
            micros = reader.varint() if kind == 2 else 0
        except wire.Incomplete:
            raise wire.Violation("a datagram that is too short") from None
        if kind == 1:
            # At least as long as the ping, if our packets are large enough.
            length = min(len(data), quic.DATAGRAM - quic.DATAGRAM_OVERHEAD)
            self.send_datagram(wire.pong(number, time.monotonic_ns() // 1000, length))
        else:
            self.pongs.put_nowait((number, micros, len(data)))

    def _end(self, why: LaneClosed) -> None:
        if self.closed:
            return
        self.closed = why
        self.gone.set()
        for timer in (self._timer, self._keep_alive):
            if timer:
                timer.cancel()
        if self._owns_socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self.handler.closed(self)

    # --- for the scenarios -----------------------------------------------------------------

    def qlog(self, name: str) -> list[dict]:
        """Returns the qlog events of one name, in order."""
        events = [e for trace in self.logger.to_dict()["traces"] for e in trace["events"]]
        return [event for event in events if event["name"] == name]

    def frames(self, way: str, kind: str) -> list[tuple[dict, dict]]:
        """Returns the frames of a type, `sent` or `received`, each with its packet's header."""
        found = []
        for event in self.qlog(f"transport:packet_{way}"):
            for frame in event["data"]["frames"]:
                if frame["frame_type"] == kind:
                    found.append((event["data"]["header"], frame))
        return found


class Endpoint:
    """The socket of an acceptor, which lanes share."""

    def __init__(
        self,
        identity: Identity,
        known: set[bytes],
        local: tuple[str, int],
        accept,
        alpn=(wire.ALPN,),
    ):
        self.identity, self.known, self.alpn = identity, known, alpn
        self.accept = accept  # called with each new lane
        self.lanes: list[Lane] = []
        self.blackholed: set[str] = set()  # remote addresses whose path drops everything
        self.closed = False
        self._by_first: dict[bytes, Lane] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = udp(*local)
        self._loop.add_reader(self._socket, self._readable)

    @property
    def addr(self) -> tuple[str, int]:
        return self._socket.getsockname()

    def close(self) -> None:
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def sendto(self, data: bytes, addr) -> None:
        """Sends as a socket does, for the lanes."""
        if addr[0] not in self.blackholed and not self.closed:
            send_to(self._socket, data, addr)

    def getsockname(self):
        return self._socket.getsockname()

    def _readable(self) -> None:
        touched = []
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, addr = self._socket.recvfrom(65535)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionRefusedError:
                continue
            if addr[0] in self.blackholed:
                continue
            if answer := _version_negotiation(data):
                self.sendto(answer, addr)
            elif lane := self._lane_of(data):
                lane.receive(data, addr)
                if lane not in touched:
                    touched.append(lane)
        for lane in touched:
            lane.pump()

    def _lane_of(self, data: bytes) -> Lane | None:
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        except ValueError:
            return None
        cid = header.destination_cid
        for lane in self.lanes:
            if lane.closed is None and (cid in lane.issued or cid == lane.connection.host_cid):
                return lane
        if lane := self._by_first.get(cid):
            return lane if lane.closed is None else None
        if header.packet_type != QuicPacketType.INITIAL or len(data) < 1200:
            return None
        logger = QuicLogger()
        configuration = quic.configuration(
            self.identity, is_client=False, alpn=self.alpn, logger=logger
        )
        connection = quic.Connection(
            known=self.known,
            configuration=configuration,
            original_destination_connection_id=cid,
        )
        lane = Lane(connection, logger, self)
        lane.issued.add(connection.host_cid)
        self._by_first[cid] = lane
        self.lanes.append(lane)
        self.accept(lane)
        return lane


def _version_negotiation(data: bytes) -> bytes | None:
    """Returns the answer to a first packet of another QUIC version, a probe of the path for one
    (RFC 9000 §6.1; the invariants of RFC 8999 §5.1 are all that such a packet is read by)."""
    if len(data) < 1200 or not data[0] & 0x80:
        return None
    if int.from_bytes(data[1:5], "big") in (0, QuicProtocolVersion.VERSION_1):
        return None
    cids, at = [], 5
    for _ in range(2):
        cids.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    destination, source = cids
    return encode_quic_version_negotiation(
        source_cid=destination,
        destination_cid=source,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


def udp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    made.bind((host, port))
    return made


def send_to(sock, data: bytes, addr) -> None:
    """Sends a datagram; what does not fit the queue is lost, as on any path."""
    try:
        sock.sendto(data, addr)
    except (BlockingIOError, ConnectionRefusedError):
        pass
