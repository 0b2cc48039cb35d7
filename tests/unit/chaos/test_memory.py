"""Where Redis' append-only file is."""

from pathlib import Path

import pytest

from tests.chaos import memory
from tests.chaos.memory import emptied, in_memory


def test_each_folder_has_its_place_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LEAST_BYTES", 1)
    one, other = (in_memory(tmp_path / "runs" / name, tmp_path) for name in ("one", "other"))
    assert one.parent == other.parent == tmp_path
    assert one != other
    assert one == in_memory(tmp_path / "runs" / "one", tmp_path)


def test_without_room_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_memory(tmp_path / "run", tmp_path / "missing") == tmp_path / "run"
    monkeypatch.setattr(memory, "LEAST_BYTES", 1 << 62)
    assert in_memory(tmp_path / "run", tmp_path) == tmp_path / "run"


def test_what_a_killed_run_left_is_gone_and_nothing_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "valkey"
    folder.mkdir(parents=True)
    (folder / "left").touch()
    with emptied(folder):
        assert list(folder.iterdir()) == []
        (folder / "written").touch()
    assert not folder.exists()
