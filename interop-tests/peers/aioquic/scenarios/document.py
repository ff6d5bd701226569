"""The examples of docs/PROTOCOL.md, §10, against `peer.wire`."""

import re
from pathlib import Path

from peer import wire

from . import Place, check, equal

PROTOCOL = Path(__file__).parents[4] / "docs" / "PROTOCOL.md"


def _examples() -> dict[str, bytes]:
    found = {}
    for name, body in re.findall(r"```hex (\w+)\n(.*?)```", PROTOCOL.read_text(), re.DOTALL):
        lines = (line.split(";")[0] for line in body.splitlines())
        found[name] = bytes.fromhex("".join(lines))
    return found


async def the_documents_examples_are_what_this_peer_writes_and_reads(_: Place) -> None:
    params = wire.SessionParams(linger=43200, initial_window=262144, flow_limit=1024)
    opening = wire.Open(wire.Name("db.internal", 5432))
    messages = {
        "Hello": wire.Hello(
            0x00112233445566778899AABBCCDDEEFF,
            wire.CREATE,
            1,
            params,
            instance=0x0123456789ABCDEF,
            version=wire.LATEST_VERSION,
        ),
        "FlowState": wire.FlowState(
            flow=6,
            version=3,
            max_offset=262144,
            ranges=[(0, 1000), (1200, 1500)],
            final_size=70000,
            outcome=wire.Outcome(wire.OPENED),
        ),
        "LaneUse": wire.LaneUse(lane=3, version=2, cost=65),
        "Locators": wire.Locators(
            1,
            [
                wire.Address("192.0.2.1", 5443),
                wire.Address("2001:db8::1", 5443),
            ],
        ),
    }
    examples = _examples()
    for name, message in messages.items():
        equal(wire.encode(message).hex(), examples[name].hex(), name)
        equal(list(wire.ControlReader().feed(examples[name])), [message], name)
    header = wire.SegmentHeader(6, 0, opening)
    equal((header.encode() + b"hello").hex(), examples["Segment"].hex(), "Segment")
    reader = wire.Reader(examples["Segment"])
    equal(wire.SegmentHeader.read(reader), header, "Segment")
    equal(examples["Segment"][reader.at :], b"hello", "Segment")
    equal(wire.pong(300, 2_500_000), examples["Pong"], "Pong")
    equal(wire.ping(300, 8), examples["Ping"], "Ping")
    equal(wire.notice(narrow=True), examples["Notice"], "Notice")
    # What versions 2 and 3 add is not this peer's.
    check("FlowDatagram" in examples, "no example of version 2")
    check("ClassedDatagram" in examples, "no example of version 3")
    long = wire.Reader(examples["LongDatagram"])
    try:
        wire.SegmentHeader.read(long)
    except wire.Violation:
        pass
    else:
        check(False, "a stream of version 2 is read as a segment of version 1")
    check(len(examples) == 11, "examples that nobody looks at:", *examples)
