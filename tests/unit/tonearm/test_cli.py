import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from tonearm import __version__, cli
from tonearm.errors import SettingsError

HERE = __name__
ran: list[list[str]] = []


class Command:
    """An entry point that runs a function of this test."""

    def __init__(self, name: str, run: Any) -> None:
        self.name = name
        self.module = "tonearm.reshard" if name == "work" else f"nowhere.{name}"
        self._run = run

    def load(self) -> Any:
        if isinstance(self._run, Exception):
            raise self._run
        return self._run


def fail_with_a_sentence(argv: list[str]) -> int:
    raise SettingsError("TONEARM_PORT is missing.")


def interrupted(argv: list[str]) -> int:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran.clear()
    monkeypatch.chdir(tmp_path)  # where there is no file of settings

    def work(argv: list[str]) -> int:
        ran.append(argv)
        return 3

    found = [
        Command("work", work),
        Command("nothing", lambda argv: None),
        Command("refused", fail_with_a_sentence),
        Command("interrupted", interrupted),
        Command("missing", ModuleNotFoundError("No module named 'discord'", name="discord")),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: found if group == "tonearm.processes" else [])


def test_a_command_gets_the_words_after_it_and_gives_its_exit_code() -> None:
    assert cli.main(["work", "--port", "1"]) == 3
    assert ran == [["--port", "1"]]


def test_no_exit_code_is_success() -> None:
    assert cli.main(["nothing"]) == 0


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    said = capsys.readouterr().out
    for name in ("work", "nothing", "refused", "missing"):
        assert f"  tonearm {name}" in said
    assert "  tonearm work          changes the number of shards, with all queues" in said
    assert ran == []


def test_help_says_what_each_command_is_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    assert cli.main(["--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  tonearm ")]
    assert len(lines) >= 10
    assert all(line[24:] for line in lines), lines


@pytest.mark.parametrize("argv", [["--version"], ["-V"]])
def test_the_version(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == f"tonearm {__version__}\n"


def test_an_unknown_command_is_said_and_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wrok"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "no command 'wrok'" in said.err
    assert "  tonearm work " in said.err


def test_what_went_wrong_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["refused"]) == 1
    assert capsys.readouterr().err == "tonearm refused: TONEARM_PORT is missing.\n"


def test_a_command_that_was_not_installed_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["missing"]) == 1
    said = capsys.readouterr().err
    assert "missing needs the package discord" in said
    assert "Traceback" not in said


def test_ctrl_c_is_no_crash() -> None:
    assert cli.main(["interrupted"]) == 130


def test_settings_come_from_a_file_where_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEARM_HOST", "kept")
    monkeypatch.delenv("TONEARM_PORT", raising=False)
    file = tmp_path / ".env"
    file.write_text("TONEARM_PORT=7\nTONEARM_HOST=other\n")
    try:
        assert cli.main(["--env-file", str(file), "work", "x"]) == 3
        assert (os.environ["TONEARM_PORT"], os.environ["TONEARM_HOST"]) == ("7", "kept")
    finally:
        os.environ.pop("TONEARM_PORT", None)
    assert ran == [["x"]]


@pytest.mark.parametrize("argv", [["--env-file"], ["--env-file", "/nowhere/.env", "work"]])
def test_a_file_that_is_not_there_is_an_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    said = capsys.readouterr()
    assert said.err.startswith("tonearm: ")
    assert ran == []


def test_who_forgot_the_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("TONEARM_PORT=7\n")
    monkeypatch.delenv("TONEARM_PORT", raising=False)
    assert cli.main(["refused"]) == 1
    assert "tonearm --env-file .env ..." in capsys.readouterr().err
    monkeypatch.setenv("TONEARM_PORT", "7")
    assert cli.main(["refused"]) == 1
    assert capsys.readouterr().err == "tonearm refused: TONEARM_PORT is missing.\n"


def test_the_words_of_the_process_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tonearm", "work", "x"])
    assert cli.main() == 3
    assert ran == [["x"]]


def test_it_runs_and_is_quick_to_ask() -> None:
    """The real one, in a process of its own: it lists its commands and imports none of them."""
    program = (
        "import sys; from tonearm.cli import main; code = main(['--help']); print(sorted(sys.modules)); exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    for name in ("interactions", "voice-node", "migrate", "doctor", "up", "demo"):
        assert f"  tonearm {name} " in done.stdout
    for module in ("discord", "aiohttp", "redis", "asyncpg", "starlette", "interactions.app", "voice_nodes.process"):
        assert f"'{module}'" not in done.stdout


def test_every_declared_command_names_a_module_of_ours() -> None:
    from importlib.metadata import entry_points

    declared: list[EntryPoint] = list(entry_points(group="tonearm.processes"))
    assert declared
    for entry in declared:
        assert entry.module.partition(".")[0] in ("tonearm", "interactions", "voice_nodes", "playground")
        assert entry.attr == "main"
