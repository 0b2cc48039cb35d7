"""A port on which nobody listens."""

import socket

import pytest


@pytest.fixture
def unused_port() -> int:
    """It is held and not listened on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
