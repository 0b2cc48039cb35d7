"""Command line before environment before defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.audio_node.options import Options, parse


def test_defaults() -> None:
    assert parse([], {}) == Options()


def test_the_command_line_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {
        "TONEARM_AUDIO_NODE_PORT": "1",
        "TONEARM_AUDIO_NODE_PASSWORD": "from the environment",
        "TONEARM_AUDIO_NODE_LIBRARY": str(tmp_path),
    }
    options = parse(["--port", "2"], environ)
    assert (options.port, options.password, options.library) == (2, "from the environment", tmp_path)


@pytest.mark.parametrize("arguments", [["--frame-buffer-ms", "10"], ["--library", "/no/such/folder"], ["--port", "x"]])
def test_what_can_not_be_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments, {})
    assert arguments[0].removeprefix("--") in capsys.readouterr().err or "does not exist" in arguments[1]
