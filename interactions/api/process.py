"""``tonearm api``: the REST API as a process."""

from __future__ import annotations

import argparse
import asyncio

import uvloop

from interactions.api.app import NEEDED, create_api
from interactions.process import serve_app
from tonearm import settings as tonearm_settings
from tonearm.telemetry import exposing, set_up_logging, traces


def main(argv: list[str]) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code.

    Raises:
        SettingsError: a setting is missing or wrong, or not that of the other processes.
        StartFailed: the address can't be listened on.
    """
    parser = argparse.ArgumentParser(prog="tonearm api", description="Serves the REST API, and takes webhooks.")
    parser.parse_args(argv)
    settings = tonearm_settings.load(NEEDED)
    set_up_logging(settings.log_format)
    exposing.begin("api")
    with traces.exporting(settings.traces, "api"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_app("api", lambda stop: create_api(settings, on_fatal=stop), settings))
    return 0
