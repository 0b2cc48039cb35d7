"""A Lua script that is one atomic step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from tonearm.redis.client import Client


class Script:
    """A script of this package, called by its hash and loaded where a server does not know it yet."""

    def __init__(self, name: str) -> None:
        self.source = files("tonearm.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, client: Client, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """What the script returns.

        Raises:
            RedisError: Redis is down, hanging or refusing.
        """
        try:
            return await client.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self.source, len(keys), *keys, *args)
