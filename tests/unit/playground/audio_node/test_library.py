"""Words that find music."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.audio_node.library import music_files, playlist_entries, rank, words


def test_words_have_no_case_accents_or_underscores() -> None:
    assert words("Señor_Café, No. 5.mp3") == ["senor", "cafe", "no", "5", "mp3"]


@pytest.mark.parametrize(
    ("query", "level"),
    [
        ("paper lanterns", 0),
        ("pap lan", 0),
        ("house band lanterns", 1),
        ("lanterns opus", 2),
        ("anterns", None),
        ("paper planes", None),
        ("", None),
        ("!?", None),
    ],
)
def test_all_words_must_be_found(query: str, level: int | None) -> None:
    assert rank(words(query), "Paper Lanterns", "The House Band", "quiet/02.opus") == level


def test_a_folder_is_a_playlist_of_its_music(tmp_path: Path) -> None:
    for name in ("b.mp3", "a.opus", "cover.png", "inner/c.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert playlist_entries(str(tmp_path)) == [tmp_path / "a.opus", tmp_path / "b.mp3"]
    assert music_files(tmp_path)[-1] == tmp_path / "inner" / "c.flac"


def test_an_m3u_is_a_playlist_in_its_own_order(tmp_path: Path) -> None:
    (tmp_path / "list.m3u").write_text("#EXTM3U\n\nb.mp3\n a.mp3 \n")
    assert playlist_entries(str(tmp_path / "list.m3u")) == [tmp_path / "b.mp3", tmp_path / "a.mp3"]


@pytest.mark.parametrize("identifier", ["", "http://127.0.0.1/list.m3u", "nothing/here.m3u", "song.mp3", "\0.m3u"])
def test_anything_else_is_none(identifier: str) -> None:
    assert playlist_entries(identifier) is None
