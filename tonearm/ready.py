"""``tonearm ready``: asks the process of this container whether it is ready; what an image's health check runs."""

from __future__ import annotations

import argparse
from http.client import HTTPConnection, HTTPException

from tonearm.settings import load

TIMEOUT = 3.0
"""Seconds."""
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def main(argv: list[str]) -> int:
    """0 when the process that listens where the settings say answers ``/readyz`` with 200, else 1.

    Raises:
        SettingsError: the address has a wrong form.
    """
    parser = argparse.ArgumentParser(
        prog="tonearm ready", description="Asks the process at TONEARM_HOST and TONEARM_PORT whether it is ready."
    )
    parser.parse_args(argv)
    settings = load(())
    answer = ask(ANY_ADDRESS.get(settings.host, settings.host), settings.port)
    print(answer)
    return 0 if answer == "200" else 1


def ask(host: str, port: int) -> str:
    """The status with which ``/readyz`` is answered, or why it is not."""
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        return str(connection.getresponse().status)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
