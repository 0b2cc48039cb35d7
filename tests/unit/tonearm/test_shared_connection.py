"""The connection that all callers of a process share, where its end is told in an unusual way."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tonearm.redis.shared import _Line


class Closed:
    """A connection that uvloop has closed, though nobody has read its end yet."""

    def pack_command(self, *args):
        return [b""]

    async def send_packed_command(self, command, check_health):
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async def read_response(self, **_):
        await asyncio.Event().wait()

    async def disconnect(self, **_):
        pass


async def test_a_closed_transport_is_a_lost_connection():
    line = _Line(Closed())
    with pytest.raises(RedisConnectionError):
        await line.call(("PING",))
    assert not line.usable
    await line.close()
