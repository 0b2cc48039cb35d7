"""In a process of its own, as it must come before all else."""

from __future__ import annotations

import asyncio
import sys

from tests.chaos.cluster import server_command
from tests.chaos.patient import VALID_MS

LOOK = """
import sys
sys.argv = ["tonearm", "--version"]
from tests.chaos.patient import main
main()
from interactions.api.resources import music
from interactions.commands import catalogue
print({each.valid_ms for each in catalogue().commands.values()}, music.PLAY_VALID_MS, music._do.__defaults__)
"""


async def test_every_job_may_wait_as_long() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOK, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert out.decode().splitlines()[1:] == [f"{{{VALID_MS}}} {VALID_MS} ({VALID_MS},)"], errors.decode()


def test_a_patient_server_is_started_so() -> None:
    assert server_command("api", patient=True)[1:] == ("-m", "tests.chaos.patient", "api")
    assert server_command("api", patient=False)[1:] == ("-m", "tonearm", "api")
