"""A Lua script that is one atomic step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pkgutil import get_data
from typing import Any

from redis.exceptions import NoScriptError

from tonearm.redis.client import Client


class Script:
    """A script of this package, called by its hash and loaded where a server does not know it yet."""

    def __init__(self, name: str) -> None:
        source = get_data("tonearm.redis", f"lua/{name}.lua")
        assert source is not None
        self.source = source.decode()
        self.sha = hashlib.sha1(source, usedforsecurity=False).hexdigest()

    async def __call__(self, client: Client, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """What the script returns.

        Raises:
            RedisError: Redis is down, hanging or refusing.
        """
        try:
            return await client.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self.source, len(keys), *keys, *args)
