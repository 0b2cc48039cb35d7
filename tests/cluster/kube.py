"""kubectl, as the tests use it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from tonearm.child_logs import Log

Json = dict[str, Any]
T = TypeVar("T")

NAMESPACE = "discord-bot"
TWIN = "discord-twin"
WITHIN = 60.0
"""Seconds that a command may take."""


class KubeError(Exception):
    """A command failed; what it wrote."""


class Kubectl:
    """Runs commands; ``environ`` says on which cluster."""

    def __init__(self, environ: Mapping[str, str], log: Log) -> None:
        self._environ = dict(environ)
        self._log = log

    async def run(self, *words: str, given: str | None = None, within: float = WITHIN) -> str:
        """What ``kubectl WORDS`` writes.

        Raises:
            KubeError: it failed, or was not done in time.
        """
        return await self.do("kubectl", *words, given=given, within=within)

    async def do(self, *words: str, given: str | None = None, within: float = WITHIN) -> str:
        """What a command writes, as :meth:`run`."""
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE if given is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        try:
            async with asyncio.timeout(within):
                out, err = await process.communicate(given.encode() if given is not None else None)
        except TimeoutError:
            raise KubeError(f"{' '.join(words)}: not done after {within:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = out.decode(errors="replace")
        self._log("commands", f"$ {' '.join(words)}\n{said[-4000:]}{err.decode(errors='replace')[-4000:]}")
        if process.returncode:
            raise KubeError(f"{' '.join(words)}: {err.decode(errors='replace').strip() or said.strip()}")
        return said

    async def get(self, *words: str, namespace: str = NAMESPACE) -> Json:
        """An object, or a list of them."""
        found: Json = json.loads(await self.run("-n", namespace, "get", *words, "-o", "json"))
        return found

    async def pods(self, app: str, namespace: str = NAMESPACE) -> list[Json]:
        """The pods of an ``app.kubernetes.io/name`` that are not about to end."""
        found = await self.get("pods", "-l", f"app.kubernetes.io/name={app}", namespace=namespace)
        return [each for each in found["items"] if "deletionTimestamp" not in each["metadata"]]

    async def rolled_out(self, *what: str, namespace: str = NAMESPACE, within: float = 300.0) -> None:
        """Wait until these (``deployment/api``) are as they should be.

        Raises:
            KubeError: they are not in time.
        """
        for each in what:
            await self.run(
                "-n", namespace, "rollout", "status", each, f"--timeout={within:.0f}s", within=within + WITHIN
            )

    async def inside(self, pod: str, *words: str, namespace: str = NAMESPACE, container: str | None = None) -> str:
        """What a command in a pod writes."""
        chosen = ("-c", container) if container is not None else ()
        return await self.run("-n", namespace, "exec", pod, *chosen, "--", *words)

    @contextlib.asynccontextmanager
    async def forwarded(self, what: str, port: int, namespace: str = NAMESPACE) -> AsyncIterator[int]:
        """A port of this machine that leads to one of a pod or a Service's pod.

        Raises:
            KubeError: it can't be opened.
        """
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "-n", namespace, "port-forward", what, f":{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environ,
        )
        assert process.stdout is not None
        drain = None
        try:
            async with asyncio.timeout(WITHIN):
                line = (await process.stdout.readline()).decode()
            opened = re.search(r"127\.0\.0\.1:(\d+)", line)
            if opened is None:
                raise KubeError(f"port-forward to {what}: {line.strip()}")
            drain = asyncio.create_task(process.stdout.read())
            yield int(opened[1])
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            if drain is not None:
                await drain


async def eventually(
    ask: Callable[[], Awaitable[T]], good: Callable[[T], bool], within: float, every: float = 1.0
) -> T:
    """Ask until the answer is good; the last one when it never was. What kubectl can't say now counts as not good.

    Raises:
        KubeError: there was no answer at all.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        try:
            found = await ask()
            if good(found) or loop.time() > end:
                return found
        except KubeError:
            if loop.time() > end:
                raise
        await asyncio.sleep(every)
