"""Is a request Discord's? (Discord's documentation, Interactions Overview, *Validating Security Request Headers*.)"""

from __future__ import annotations

import json
import time
from binascii import unhexlify
from collections.abc import Callable

from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

OLDEST_S = 300
"""Seconds after its timestamp for which a request is accepted."""

NEWEST_S = 30
"""Seconds that a timestamp may lie ahead of our clock."""

_SIGNATURE_DIGITS = 128
_MOST_TIMESTAMP_DIGITS = 12


class Verifier:
    """Judges requests by the application's public keys (32 bytes each; several while a key is rotated).

    ``keys`` that can change are asked for each time. ``clock`` tells the time in seconds since 1970.
    """

    def __init__(
        self, keys: tuple[bytes, ...] | Callable[[], tuple[bytes, ...]], clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys if callable(keys) else lambda: keys
        if not self._keys() or any(len(key) != 32 for key in self._keys()):
            raise ValueError("a public key has 32 bytes")
        self._clock = clock

    @property
    def refusal(self) -> bytes:
        """What a bad signature is answered with. Who sets this up sees by which keys it was judged; they are public."""
        said = {"error": "bad signature", "public_keys": [key.hex() for key in self._keys()]}
        return json.dumps(said, separators=(",", ":")).encode()

    def __call__(self, signature: bytes | None, timestamp: bytes | None, body: bytes) -> bool:
        """Whether ``signature`` (hexadecimal) is one of ``timestamp`` and ``body``, made just now. Never raises."""
        if signature is None or timestamp is None or len(signature) != _SIGNATURE_DIGITS:
            return False
        # isdigit() of bytes knows ASCII digits only; int() would take signs, spaces and underscores.
        if not timestamp.isdigit() or len(timestamp) > _MOST_TIMESTAMP_DIGITS:
            return False
        if not -NEWEST_S <= self._clock() - int(timestamp) <= OLDEST_S:
            return False
        try:
            signed = unhexlify(signature) + timestamp + body
        except ValueError:
            return False
        return any(_opens(signed, key) for key in self._keys())


def _opens(signed: bytes, key: bytes) -> bool:
    try:
        crypto_sign_open(signed, key)
    except CryptoError:
        return False
    return True
