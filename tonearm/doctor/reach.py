"""Is what Discord shall POST to reached, is it ours, and does it refuse a bad signature?

Nobody but Discord can sign, so the question is asked with a signature that can't be right: the answer of ours is 401,
and names the public keys with which it verifies.
"""

from __future__ import annotations

import ssl
import time
from typing import Any, NamedTuple

import aiohttp
import msgspec

from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.settings import PREFIX

INTERACTIONS, EVENTS = "/interactions", "/webhook-events"
"""Where the HTTP side and the API take what Discord sends."""

REFUSED = 401
GATEWAYS = (502, 503, 504, 521, 522, 523, 530)
"""What a proxy or a tunnel says when there is nobody behind it (521 to 530: Cloudflare's)."""


class Answer(NamedTuple):
    """What a badly signed PING met: a status with ours' public keys, or why there is none."""

    status: int = 0
    keys: tuple[str, ...] | None = None
    trouble: str = ""


async def ask(url: str, *, timeout: float = TIMEOUT) -> Answer:
    """POST a PING with a bad signature to ``url``."""
    headers = {
        "Content-Type": "application/json",
        "X-Signature-Ed25519": "0" * 128,
        "X-Signature-Timestamp": str(int(time.time())),
    }
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as http,
            http.post(url, data=b'{"type":1}', headers=headers, allow_redirects=False) as response,
        ):
            return Answer(response.status, _keys(await response.content.read(4096)))
    except TimeoutError:
        return Answer(trouble=f"there is no answer within {timeout:g} s")
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
        return Answer(trouble=f"its certificate is not trusted ({error})")
    except aiohttp.ClientConnectorDNSError:
        return Answer(trouble="its name has no address")
    except aiohttp.ClientConnectorError as error:
        return Answer(trouble=f"nobody takes the connection ({error.os_error.strerror or error.os_error})")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(trouble=str(error) or type(error).__name__)


def judge(what: str, url: str, answer: Answer, public_key: str) -> Finding:
    """Whether Discord, which signs for ``public_key`` (hexadecimal), would be content with what answers at ``url``."""
    if answer.trouble:
        return Finding(what, f"{url} can't be reached: {answer.trouble}", _UNREACHED)
    if 200 <= answer.status < 300:
        return Finding(what, f"{url} takes a bad signature ({answer.status})", _TAKES_ANYTHING)
    if answer.status in GATEWAYS:
        return Finding(what, f"behind {url} nobody answers ({answer.status})", _NOBODY_BEHIND)
    if answer.status != REFUSED or answer.keys is None:
        return Finding(what, f"{url} is not Tonearm's: it answers {answer.status}", _NOT_OURS)
    if public_key not in answer.keys:
        return Finding(what, f"{url} verifies with another public key", _OTHER_KEY)
    return Finding(what, f"{url} answers, and refuses a bad signature")


def _keys(body: bytes) -> tuple[str, ...] | None:
    try:
        said: Any = msgspec.json.decode(body)
        return tuple(map(str, said["public_keys"]))
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
        return None


_UNREACHED = (
    f"Check {PREFIX}PUBLIC_URL, its name's address, and that the tunnel or proxy runs, with a certificate that is "
    "trusted."
)
_TAKES_ANYTHING = (
    "Something else answers in Tonearm's place, and Discord refuses what takes a bad signature: point the tunnel or "
    "proxy to Tonearm itself."
)
_NOBODY_BEHIND = "The tunnel or proxy is there, but not Tonearm: start it, and compare the port with its TONEARM_PORT."
_NOT_OURS = (
    "Point the tunnel or proxy to Tonearm, with the path unchanged and nothing in between that redirects, asks for a "
    "login or answers itself."
)
_OTHER_KEY = (
    f"It runs with another {PREFIX}DISCORD_PUBLIC_KEY than this application's: start it again with the settings that "
    "`tonearm setup` wrote."
)
