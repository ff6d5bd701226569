"""Messages that differ, up to 8 KiB long."""

import hashlib


def message(way, number):
    digest = hashlib.sha256(f"{way} {number}".encode()).hexdigest()
    return f"{way} {number} " + digest * (number % 129)
