"""The encoding: §2 (varints, strings, targets), §4 (control messages), §6 (segment headers) and §7
(datagrams) of docs/PROTOCOL.md. Pure functions and plain data, without QUIC."""

import ipaddress
import secrets
import struct
from dataclasses import dataclass, field

ALPN = "throughline/1"
VERSION = 1
# What the daemon speaks at most; what it has beyond ours is not sent to us.
LATEST_VERSION = 3
# This process, by which an acceptor tells it from an earlier one.
INSTANCE = secrets.randbits(64)

# Application error codes (§3).
DONE, PROTOCOL, REPLACED, LANE_SILENT, REJECTED, ONE_WAY = range(6)

# Stream error codes (§3).
SEGMENT_SUPERSEDED = 1
SEGMENT_FINISHED = 0

# Control messages (§4).
(
    HELLO,
    WELCOME,
    REJECT,
    FLOW_STATE,
    FACT_ACK,
    END_OF_SYNC,
    LOCATORS,
    LANE_USE,
    LANE_HEALTH,
    CLOSE,
) = range(0x01, 0x0B)
FIRST_OPTIONAL_TYPE = 0x40

CREATE, RESUME = 0, 1

# Reject codes (§4).
UNKNOWN_SESSION, BAD_VERSION, STALE, SUPERSEDED, LIMIT, SHUTTING_DOWN = range(1, 7)

# Failure codes of an outcome (§4).
OPENED, REFUSED, HOST_UNREACHABLE, NETWORK_UNREACHABLE, NOT_ALLOWED = range(5)
TIMED_OUT, NAME_NOT_FOUND, NO_SERVICE, LIMIT_REACHED, OTHER = range(5, 10)

AUTO, SINGLE, BOND, REDUNDANT, AUTO_BOND = range(5)

# Bounds (§9).
MAX_BODY = 16384
MAX_FACT_ACKS = 512
MAX_RANGES = 32
MAX_LOCATORS = 64
MAX_SEGMENT = 1 << 20
MAX_UNSEEN = 32768
MAX_DETAIL = 255
MAX_VARINT = (1 << 62) - 1
MAX_OFFSET = MAX_VARINT - MAX_SEGMENT


class Violation(Exception):
    """A protocol violation by the peer: its lane is closed with error 1."""


class Incomplete(Exception):
    """The rest has not arrived yet."""


def varint(value: int) -> bytes:
    if value < 1 << 6:
        return struct.pack(">B", value)
    if value < 1 << 14:
        return struct.pack(">H", value | 0x4000)
    if value < 1 << 30:
        return struct.pack(">I", value | 0x8000_0000)
    return struct.pack(">Q", value | 0xC000_0000_0000_0000)


def string(text: str, most: int) -> bytes:
    data = text.encode()[:most]
    return varint(len(data)) + data


class Reader:
    """Reads fields from the front of some bytes."""

    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if len(self.data) - self.at < count:
            raise Incomplete
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def u128(self) -> int:
        return int.from_bytes(self.take(16), "big")

    def varint(self) -> int:
        first = self.u8()
        rest = self.take((1 << (first >> 6)) - 1)
        return int.from_bytes(bytes([first & 0x3F]) + rest, "big")

    def string(self, most: int) -> str:
        length = self.varint()
        if length > most:
            raise Violation(f"a string of {length} bytes where {most} are allowed")
        return self.take(length).decode(errors="replace")

    def flags(self, known: int) -> int:
        flags = self.u8()
        if flags & ~known:
            raise Violation(f"an undefined flag in {flags:#x}")
        return flags

    def boolean(self) -> bool:
        return self.up_to(1) == 1

    def up_to(self, most: int) -> int:
        value = self.u8()
        if value > most:
            raise Violation(f"{value} where at most {most} is allowed")
        return value

    def end(self) -> None:
        if self.at != len(self.data):
            raise Violation("bytes are left over in a message")


@dataclass(frozen=True)
class Address:
    """Target kinds 1 and 2."""

    ip: str
    port: int

    def encode(self) -> bytes:
        packed = ipaddress.ip_address(self.ip).packed
        return bytes([1 if len(packed) == 4 else 2]) + packed + struct.pack(">H", self.port)


@dataclass(frozen=True)
class Name:
    """Target kind 3."""

    host: str
    port: int

    def encode(self) -> bytes:
        return b"\x03" + string(self.host, 255) + struct.pack(">H", self.port)


@dataclass(frozen=True)
class Service:
    """Target kind 4."""

    name: str

    def encode(self) -> bytes:
        return b"\x04" + string(self.name, 255)


Target = Address | Name | Service


def read_target(reader: Reader) -> Target:
    kind = reader.u8()
    if kind in (1, 2):
        target = Address(
            str(ipaddress.ip_address(reader.take(4 if kind == 1 else 16))), reader.u16()
        )
    elif kind == 3:
        target = Name(reader.string(255), reader.u16())
        allowed = "abcdefghijklmnopqrstuvwxyz0123456789-._"
        if not target.host or set(target.host) - set(allowed) or is_ip(target.host):
            raise Violation("an invalid host name")
    elif kind == 4:
        return Service(reader.string(255))
    else:
        raise Violation(f"a target of kind {kind}")
    if target.port == 0:
        raise Violation("port 0")
    return target


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Open:
    """The open of a flow: mode and target."""

    target: Target
    mode: int = AUTO

    def encode(self) -> bytes:
        return bytes([self.mode]) + self.target.encode()

    @staticmethod
    def read(reader: Reader) -> "Open":
        mode = reader.u8()
        if mode > AUTO_BOND:
            raise Violation(f"mode {mode}")
        return Open(read_target(reader), mode)


@dataclass(frozen=True)
class SessionParams:
    """The limits that one end sets for the session."""

    linger: int
    initial_window: int
    flow_limit: int

    def encode(self) -> bytes:
        return varint(self.linger) + varint(self.initial_window) + varint(self.flow_limit)

    @staticmethod
    def read(reader: Reader) -> "SessionParams":
        return SessionParams(min(reader.varint(), 30 * 86400), reader.varint(), reader.varint())


@dataclass(frozen=True)
class Hello:
    session: int
    intent: int
    lane: int
    params: SessionParams
    version: int = VERSION
    generation: int = 0
    instance: int = INSTANCE
    type = HELLO

    def body(self) -> bytes:
        head = varint(self.version) + self.session.to_bytes(16, "big") + varint(self.intent)
        head += varint(self.generation) + self.instance.to_bytes(8, "big")
        return head + varint(self.lane) + self.params.encode()

    @staticmethod
    def read(reader: Reader) -> "Hello":
        version, session, intent = reader.varint(), reader.u128(), reader.varint()
        if intent > RESUME:
            raise Violation(f"intent {intent}")
        generation, instance, lane = reader.varint(), reader.u64(), reader.varint()
        params = SessionParams.read(reader)
        return Hello(session, intent, lane, params, version, generation, instance)


@dataclass(frozen=True)
class Welcome:
    params: SessionParams
    version: int = VERSION
    type = WELCOME

    def body(self) -> bytes:
        return varint(self.version) + self.params.encode()

    @staticmethod
    def read(reader: Reader) -> "Welcome":
        version = reader.varint()
        return Welcome(SessionParams.read(reader), version)


@dataclass(frozen=True)
class Reject:
    code: int
    detail: str = ""
    type = REJECT

    def body(self) -> bytes:
        return varint(self.code) + string(self.detail, MAX_DETAIL)

    @staticmethod
    def read(reader: Reader) -> "Reject":
        return Reject(reader.varint(), reader.string(MAX_DETAIL))


@dataclass(frozen=True)
class Outcome:
    """Whether the peer opened a flow."""

    code: int
    detail: str = ""


@dataclass(frozen=True)
class Reset:
    code: int
    at: int


@dataclass
class FlowState:
    flow: int
    version: int
    max_offset: int
    ranges: list[tuple[int, int]] = field(default_factory=list)
    final_size: int | None = None
    open: Open | None = None
    outcome: Outcome | None = None
    reset: Reset | None = None
    type = FLOW_STATE

    def body(self) -> bytes:
        flags = (
            (self.final_size is not None)
            | (self.open is not None) << 1
            | (self.outcome is not None) << 2
            | (self.reset is not None) << 3
        )
        parts = [varint(self.flow), varint(self.version), varint(self.max_offset), bytes([flags])]
        parts.append(varint(len(self.ranges)))
        end = 0
        for start, stop in self.ranges:
            parts += [varint(start - end), varint(stop - start)]
            end = stop
        if self.final_size is not None:
            parts.append(varint(self.final_size))
        if self.open is not None:
            parts.append(self.open.encode())
        if self.outcome is not None:
            parts.append(varint(self.outcome.code))
            if self.outcome.code != OPENED:
                parts.append(string(self.outcome.detail, MAX_DETAIL))
        if self.reset is not None:
            parts += [varint(self.reset.code), varint(self.reset.at)]
        return b"".join(parts)

    @staticmethod
    def read(reader: Reader) -> "FlowState":
        state = FlowState(reader.varint(), reader.varint(), reader.varint())
        flags = reader.flags(0x0F)
        count = reader.varint()
        if count > MAX_RANGES:
            raise Violation(f"{count} ranges")
        end = 0
        for index in range(count):
            gap, length = reader.varint(), reader.varint()
            if length == 0 or (index > 0 and gap == 0):
                raise Violation("an empty range or gap")
            state.ranges.append((end + gap, end + gap + length))
            end += gap + length
        if flags & 1:
            state.final_size = reader.varint()
        if flags & 2:
            state.open = Open.read(reader)
        if flags & 4:
            code = reader.varint()
            state.outcome = Outcome(code, "" if code == OPENED else reader.string(MAX_DETAIL))
        if flags & 8:
            state.reset = Reset(reader.varint(), reader.varint())
        return state


@dataclass(frozen=True)
class FactAck:
    entries: list[tuple[int, int]]
    type = FACT_ACK

    def body(self) -> bytes:
        entries = b"".join(varint(flow) + varint(version) for flow, version in self.entries)
        return varint(len(self.entries)) + entries

    @staticmethod
    def read(reader: Reader) -> "FactAck":
        count = reader.varint()
        if count > MAX_FACT_ACKS:
            raise Violation(f"a FactAck of {count} entries")
        return FactAck([(reader.varint(), reader.varint()) for _ in range(count)])


@dataclass(frozen=True)
class EndOfSync:
    type = END_OF_SYNC

    def body(self) -> bytes:
        return b""

    @staticmethod
    def read(_: Reader) -> "EndOfSync":
        return EndOfSync()


@dataclass(frozen=True)
class Locators:
    generation: int
    addresses: list[Address]
    type = LOCATORS

    def body(self) -> bytes:
        addresses = b"".join(address.encode() for address in self.addresses)
        return varint(self.generation) + varint(len(self.addresses)) + addresses

    @staticmethod
    def read(reader: Reader) -> "Locators":
        generation, count = reader.varint(), reader.varint()
        if count > MAX_LOCATORS:
            raise Violation(f"{count} locators")
        targets = [read_target(reader) for _ in range(count)]
        if not all(isinstance(target, Address) for target in targets):
            raise Violation("a locator that is not an address")
        return Locators(generation, targets)


@dataclass(frozen=True)
class LaneUse:
    lane: int
    version: int
    cost: int
    draining: bool = False
    type = LANE_USE

    def body(self) -> bytes:
        return varint(self.lane) + varint(self.version) + bytes([self.cost, self.draining])

    @staticmethod
    def read(reader: Reader) -> "LaneUse":
        return LaneUse(reader.varint(), reader.varint(), reader.u8(), reader.boolean())


@dataclass(frozen=True)
class LaneHealth:
    lane: int
    version: int
    suspicion: int
    type = LANE_HEALTH

    def body(self) -> bytes:
        return varint(self.lane) + varint(self.version) + bytes([self.suspicion])

    @staticmethod
    def read(reader: Reader) -> "LaneHealth":
        return LaneHealth(reader.varint(), reader.varint(), reader.up_to(2))


@dataclass(frozen=True)
class Close:
    code: int = 0
    detail: str = ""
    type = CLOSE

    def body(self) -> bytes:
        return varint(self.code) + string(self.detail, MAX_DETAIL)

    @staticmethod
    def read(reader: Reader) -> "Close":
        return Close(reader.varint(), reader.string(MAX_DETAIL))


MESSAGES = [
    Hello,
    Welcome,
    Reject,
    FlowState,
    FactAck,
    EndOfSync,
    Locators,
    LaneUse,
    LaneHealth,
    Close,
]
BY_TYPE = {message.type: message for message in MESSAGES}


def encode(message) -> bytes:
    body = message.body()
    return varint(message.type) + varint(len(body)) + body


class ControlReader:
    """Splits a control stream into messages."""

    def __init__(self):
        self._buffer = bytearray()

    def feed(self, data: bytes):
        """Yields the complete messages."""
        self._buffer += data
        while self._buffer:
            reader = Reader(self._buffer)
            try:
                kind, length = reader.varint(), reader.varint()
                if length > MAX_BODY:
                    raise Violation(f"a message of {length} bytes")
                body = Reader(reader.take(length))
            except Incomplete:
                return
            del self._buffer[: reader.at]
            if kind in BY_TYPE:
                try:
                    message = BY_TYPE[kind].read(body)
                except Incomplete:
                    raise Violation(f"a message of type {kind:#x} that is too short") from None
                body.end()
                yield message
            elif kind < FIRST_OPTIONAL_TYPE:
                raise Violation(f"the peer speaks a later version: type {kind:#x}")


@dataclass(frozen=True)
class SegmentHeader:
    flow: int
    offset: int
    open: Open | None = None
    resent: bool = False

    def encode(self) -> bytes:
        flags = self.resent | (self.open is not None) << 1
        head = bytes([1, flags]) + varint(self.flow) + varint(self.offset)
        return head + (self.open.encode() if self.open else b"")

    @staticmethod
    def read(reader: Reader) -> "SegmentHeader":
        kind = reader.u8()
        if kind != 1:
            raise Violation(f"a stream of kind {kind}")
        flags = reader.flags(3)
        flow, offset = reader.varint(), reader.varint()
        if offset > MAX_OFFSET:
            raise Violation("an offset beyond the last")
        opening = Open.read(reader) if flags & 2 else None
        return SegmentHeader(flow, offset, opening, bool(flags & 1))


def ping(number: int, length: int = 0) -> bytes:
    return (b"\x01" + varint(number)).ljust(length, b"\x00")


def notice(narrow: bool) -> bytes:
    return b"\x05" + varint(int(narrow))


def pong(number: int, micros: int, length: int = 0) -> bytes:
    return (b"\x02" + varint(number) + varint(micros)).ljust(length, b"\x00")
