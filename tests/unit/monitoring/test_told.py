"""Who is told of alerts, as Alertmanager tells it."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.alerts_check.watching import Receiver


def message(alert: str, status: str, **labels: str) -> dict[str, Any]:
    """One alert, in the form of Alertmanager's documentation, *webhook_config*."""
    told = {"status": status, "labels": {"alertname": alert, **labels}, "annotations": {"summary": "Music stutters"}}
    return {"version": "4", "alerts": [told]}


async def test_an_alert_fires_and_is_over_when_all_its_instances_are() -> None:
    receiver = Receiver()
    app = web.Application()
    app.add_routes([web.post("/{receiver}", receiver.take)])
    async with TestClient(TestServer(app)) as client:

        async def tell(*said: str, **labels: str) -> None:
            assert (await client.post("/page", json=message(*said, **labels))).status == 200

        await tell("FramesLost", "firing", node="a")
        told = await receiver.wait_firing("FramesLost", within=5)
        assert (told.receiver, told.summary, dict(told.labels)) == ("page", "Music stutters", {"node": "a"})
        await tell("FramesLost", "firing", node="b")
        await tell("FramesLost", "firing", node="a")
        await tell("FramesLost", "resolved", node="a")
        assert (await receiver.wait_firing("FramesLost", within=5)).labels == {("node", "b")}
        with pytest.raises(TimeoutError):
            await receiver.wait_over("FramesLost", within=0)
        await tell("FramesLost", "resolved", node="b")
        await receiver.wait_over("FramesLost", within=5)
        assert [told.firing for told in receiver.all] == [True, True, False, False]
