"""The file with settings: read as compose reads it, changed without touching the rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tonearm import envfile
from tonearm.errors import SettingsError

FILE = """\
# What Tonearm is told.
TONEARM_PORT=8080
export TONEARM_HOST="0.0.0.0"
TONEARM_REDIS_URL='redis://:p#w@host'
TONEARM_LOG_FORMAT=json # for machines

TONEARM_PUBLIC_URL=
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(FILE)
    path.chmod(0o644)
    return path


def test_it_is_read(file: Path) -> None:
    assert envfile.read(file) == {
        "TONEARM_PORT": "8080",
        "TONEARM_HOST": "0.0.0.0",
        "TONEARM_REDIS_URL": "redis://:p#w@host",
        "TONEARM_LOG_FORMAT": "json",
        "TONEARM_PUBLIC_URL": "",
    }


def test_a_change_leaves_the_rest_as_it_is(file: Path) -> None:
    envfile.write(file, {"TONEARM_PUBLIC_URL": "https://x.example", "TONEARM_HOST": "::1", "NEW": "1"})
    lines = FILE.splitlines()
    lines[2], lines[6] = "TONEARM_HOST=::1", "TONEARM_PUBLIC_URL=https://x.example"
    assert file.read_text().splitlines() == [*lines, "NEW=1"]


def test_nobody_else_may_read_it(file: Path, tmp_path: Path) -> None:
    for path in (file, tmp_path / "new.env"):
        envfile.write(path, {"A": "b"})
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == [".env", "new.env"]


def test_what_a_link_points_to_is_changed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.env"
    link.symlink_to(file)
    envfile.write(link, {"TONEARM_PORT": "1"})
    assert link.is_symlink()
    assert envfile.read(file)["TONEARM_PORT"] == "1"


def test_a_line_that_is_none_is_named_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=b\nMTA.secret\n")
    with pytest.raises(SettingsError) as raised:
        envfile.read(path)
    assert "Line 2" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("missing", ["nothing.env", "."])
def test_what_is_no_file_is_said(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        envfile.read(tmp_path / missing)


def test_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be written"):
        envfile.write(tmp_path / "nowhere" / ".env", {"A": "b"})


def test_the_environment_wins(file: Path) -> None:
    environ = {"TONEARM_PORT": "1"}
    envfile.put_into(environ, file)
    assert (environ["TONEARM_PORT"], environ["TONEARM_HOST"]) == ("1", "0.0.0.0")
