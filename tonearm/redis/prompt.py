"""A connection of redis-py whose sending can be cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.exceptions
from redis.asyncio.connection import AbstractConnection


class Prompt(AbstractConnection):
    """Sends without :func:`asyncio.wait_for`, which in Python 3.11 can swallow a cancellation, and costs a task each.

    A task that missed its cancellation would work on, and whoever awaits its end would wait for good.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send ``command`` within ``socket_timeout``; whatever goes wrong ends the connection, as bytes may be out."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        writer = self._writer
        assert writer is not None
        try:
            async with asyncio.timeout(self.socket_timeout or None):
                writer.writelines(_pieces(command))
                await writer.drain()
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise redis.exceptions.TimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise redis.exceptions.ConnectionError(f"Error while writing to socket: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise


def _pieces(command: Any) -> Any:
    if isinstance(command, str):
        command = command.encode()
    return [command] if isinstance(command, bytes) else command


def prompt(kind: type[AbstractConnection]) -> Any:
    """The kind of connection that is ``kind``, but sends promptly."""
    return type(f"Prompt{kind.__name__}", (Prompt, kind), {})
