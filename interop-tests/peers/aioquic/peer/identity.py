"""The identity of a peer (§1) and its certificate (§3): an Ed25519 key in a self-signed X.509
certificate (RFC 8410), of which only the key has a meaning."""

import base64
import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Identity:
    def __init__(self, key: Ed25519PrivateKey | None = None):
        self.key = key or Ed25519PrivateKey.generate()
        self.id = raw(self.key.public_key())
        self.certificate = self_signed(self.key)

    def __str__(self) -> str:
        return written(self.id)


def raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def written(peer: bytes) -> str:
    """Returns the text form: `tlk1` and lower-case base32 without padding."""
    return "tlk1" + base64.b32encode(peer).decode().lower().rstrip("=")


def parsed(text: str) -> bytes:
    if not text.startswith("tlk1") or len(text) != 56:
        raise ValueError(f"{text} is not the public key of a peer")
    return base64.b32decode(text[4:].upper() + "====")


def self_signed(key, algorithm=None) -> x509.Certificate:
    """Returns a certificate; its names and dates are there because X.509 requires some."""
    name = x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, algorithm)


def key_of(certificate: x509.Certificate) -> bytes | None:
    """Returns the peer that presents this certificate, or `None` if its key is not Ed25519."""
    key = certificate.public_key()
    return raw(key) if isinstance(key, Ed25519PublicKey) else None
