"""A function as Lambda runs it: the archive's content, Lambda's own client for Python, and its emulator in front."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.lambda_check.tools import CLIENT, EMULATOR
from tests.support.interactions.function import event

INVOKE = "/2015-03-31/functions/function/invocations"
START_S = 60.0
INVOKE_S = 30.0
Response = dict[str, Any]


@dataclass(frozen=True)
class Content:
    """What runs: a folder as the archive's, the handler in it, and a Python."""

    folder: Path
    handler: str
    python: Path


class Emulated:
    """One execution environment; an async context manager. Its process starts with the first invocation.

    ``before`` goes before the emulator's command line, to pin it to a core for instance.
    """

    def __init__(self, content: Content, settings: Mapping[str, str], *, before: tuple[str, ...] = ()) -> None:
        self._content = content
        self._settings = settings
        self._before = before
        self._port = _free_port()
        self._log = TemporaryFile()  # noqa: SIM115 - closed at the end
        self._http: aiohttp.ClientSession | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        client = "import sys; sys.path.append(sys.argv.pop(1)); import awslambdaric.__main__ as it; it.main(sys.argv)"
        self._process = await asyncio.create_subprocess_exec(
            *self._before,
            *(str(EMULATOR), "--log-level", "error", "--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *("--runtime-api-address", f"127.0.0.1:{_free_port()}"),
            *(str(self._content.python), "-c", client, str(CLIENT), self._content.handler),
            cwd=self._content.folder,
            env={
                "PATH": os.environ["PATH"],
                "LAMBDA_TASK_ROOT": str(self._content.folder),
                "AWS_LAMBDA_FUNCTION_NAME": "tonearm-check",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "20",
                "AWS_REGION": "eu-central-1",
                **self._settings,
            },
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._http = aiohttp.ClientSession(
            f"http://127.0.0.1:{self._port}", timeout=aiohttp.ClientTimeout(total=INVOKE_S)
        )
        try:
            async with asyncio.timeout(START_S):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    except OSError:
                        assert self._process.returncode is None, self.log()
                        await asyncio.sleep(0.01)
                    else:
                        writer.close()
                        return self
        except BaseException:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._http is not None
        await self._http.close()
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, which its log tells
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._log.close()

    async def __call__(self, sent: dict[str, Any]) -> Response:
        """The function's answer to an event."""
        assert self._http is not None
        async with self._http.post(INVOKE, data=json.dumps(sent)) as response:
            raw = await response.read()
        try:
            found: Response = json.loads(raw)
        except ValueError:
            found = {}
        if "statusCode" not in found:
            raise AssertionError(f"the function failed: {raw.decode(errors='replace')}\n{self.log()}")
        return found

    def freeze(self) -> None:
        """Stops the function's process, as Lambda does after a response."""
        os.kill(self.runtime(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        os.kill(self.runtime(), signal.SIGCONT)

    def runtime(self) -> int:
        """The process id of the function."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        (found,) = {int(child) for each in children for child in each.read_text().split()}
        return found

    def processor_ms(self) -> float:
        """What the function's process has used of processors, however long it waited for them."""
        tasks = Path(f"/proc/{self.runtime()}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in tasks) / 1e6

    @property
    def pid(self) -> int:
        """The process id of the emulator."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What the function wrote."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


class FunctionUrl:
    """An address at which a function answers, as a Function URL does; an async context manager.

    ``last`` is the last event that it made; ``is_base64`` is whether it encodes bodies, as it may.
    """

    def __init__(self, function: Emulated) -> None:
        self._function = function
        self._runner: web.AppRunner | None = None
        self.is_base64 = False
        self.last: dict[str, Any] = {}
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
        made = event(
            await request.read(), method=request.method, path=request.path, is_base64=self.is_base64, **headers
        )
        self.last = made
        answer = await self._function(made)
        body = answer.get("body", "")
        raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
        return web.Response(status=answer["statusCode"], body=raw, headers=_without_length(answer.get("headers", {})))


def _without_length(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port
