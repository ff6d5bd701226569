"""aioquic's connection as §3 of docs/PROTOCOL.md requires it: pinned Ed25519 keys both ways, ALPN,
no tickets, the transport parameters.

aioquic is meant for HTTP/3. It has no settings for requesting a client certificate, for pinning a
key, or for the number of streams a peer may open. They are reached through its internals, here and
in `Lane.migrate` only; the version is pinned in requirements.txt."""

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion

from . import wire
from .identity import Identity, key_of

MIB = 1 << 20

# What an Ethernet carries over IPv6. aioquic does not search the path MTU (RFC 8899).
DATAGRAM = 1452

# Header and tag of a packet and the frame around a DATAGRAM's payload, as aioquic writes them:
# 1 + 8 + 2 + 16, and 1 + 2; some room besides.
DATAGRAM_OVERHEAD = 40


def configuration(identity: Identity, *, is_client: bool, alpn=(wire.ALPN,), logger=None):
    configuration = QuicConfiguration(
        is_client=is_client,
        alpn_protocols=list(alpn) if alpn else None,
        congestion_control_algorithm="cubic",
        idle_timeout=30.0,
        max_data=64 * MIB,
        max_stream_data=2 * MIB,
        max_datagram_frame_size=65535,
        max_datagram_size=DATAGRAM,
        supported_versions=[QuicProtocolVersion.VERSION_1],
        quic_logger=logger,
    )
    configuration.certificate = identity.certificate if identity else None
    configuration.private_key = identity.key if identity else None
    # No certificate authority is involved: `Connection` compares the key itself.
    configuration.verify_mode = 0
    return configuration


class Connection(QuicConnection):
    """A connection whose handshake fails unless the peer's key is known."""

    def __init__(self, *, known: set[bytes], **arguments):
        # aioquic requests and issues tickets only if a handler for them is set.
        super().__init__(**arguments)
        self._known = known
        self.peer: bytes | None = None
        for limit, streams in (
            (self._local_max_streams_bidi, 0 if self._is_client else 1),
            (self._local_max_streams_uni, 4096),
        ):
            limit.value = limit.sent = streams

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls._signature_algorithms = [tls.SignatureAlgorithm.ED25519]
        groups = [tls.Group.X25519, tls.Group.SECP256R1, tls.Group.SECP384R1]
        self.tls._supported_groups = groups
        self.tls._request_client_certificate = not self._is_client
        signed, finished = self.tls._check_certificate_verify_signature, self.tls._set_state

        def check_signature(verify) -> None:
            # The peer holds the key of its certificate; is that key known?
            signed(verify)
            peer = key_of(self.tls._peer_certificate)
            if peer not in self._known:
                raise tls.AlertBadCertificate("the key is not pinned")
            self.peer = peer

        def set_state(state) -> None:
            # aioquic lets a client pass that presents no certificate.
            if state == tls.State.SERVER_POST_HANDSHAKE and self.peer is None:
                raise tls.AlertBadCertificate("no certificate")
            finished(state)

        self.tls._check_certificate_verify_signature = check_signature
        self.tls._set_state = set_state
