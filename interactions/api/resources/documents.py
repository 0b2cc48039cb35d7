"""The OpenAPI document, and a page for people that is made from it and needs nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from starlette.responses import Response

from interactions.api.operation import Call, operation
from interactions.api.page import page

_CACHED = {"Cache-Control": "public, max-age=300"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@cache
def document() -> bytes:
    """The document as JSON; it is written from ``docs/api/openapi.yaml`` by ``make api-document``."""
    return files("interactions.api").joinpath("openapi.json").read_bytes()


@operation("GET", "/openapi.json", scope=None)
async def get_openapi(_: Call) -> Response:
    """The document."""
    return Response(document(), headers=_CACHED, media_type="application/json")


@operation("GET", "/docs", scope=None)
async def get_docs(_: Call) -> Response:
    """The page."""
    headers = {**_CACHED, "Content-Security-Policy": _POLICY}
    return Response(page(document()), headers=headers, media_type="text/html; charset=utf-8")
