"""aioquic's connection as §3 of docs/PROTOCOL.md wants it: pinned Ed25519 keys both ways, ALPN, no
tickets, the transport parameters.

aioquic is meant for HTTP/3: that a server asks for a certificate, that a key is pinned, and how many
streams a peer may open are no settings of it. They are reached here through its internals, and only
here and in `Lane.migrate`; the version is pinned in requirements.txt."""

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
    # No authority is asked: `Connection` compares the key itself.
    configuration.verify_mode = 0
    return configuration


class Connection(QuicConnection):
    """Whom it speaks with is known by the key, or the handshake fails."""

    def __init__(self, *, known: set[bytes], **arguments):
        # aioquic asks for tickets, and hands them out, where somebody would keep them.
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
            # It holds the key that its certificate names; is that one we know?
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
