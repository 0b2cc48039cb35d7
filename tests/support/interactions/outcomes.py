"""What became of an interaction: its response with its job, and as what it was counted."""

import asyncio

from tests.support.interactions.signed import send
from tonearm.telemetry import INTERACTIONS


def counted(command, outcome):
    """How many commands of the name came to that outcome, in this process."""
    return INTERACTIONS.labels(command, outcome)._value.get()


async def sent_and_done(http, node, body, said=None):
    """The response and the job, done by the stub."""
    response, job = await asyncio.gather(send(http, body), node.do_one(said))
    return response, job
