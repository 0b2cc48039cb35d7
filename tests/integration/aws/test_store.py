"""The bucket, on a real moto server."""

import httpx
import pytest

from tonearm.aws.places import DEAD_LETTERS, EXPORTS, IMPORTS, key_of
from tonearm.aws.store import LONGEST_LINK, Store
from tonearm.errors import StorageAway


@pytest.fixture
async def store(bucket):
    """The bucket."""
    async with Store(bucket) as store:
        yield store


async def test_what_is_put_is_there_until_it_is_removed(store):
    key = key_of(EXPORTS, 1, "a.json")
    assert await store.get(key, most=10) is None
    await store.put(key, b"first")
    await store.put(key, b"second")
    assert await store.get(key, most=10) == b"second"
    await store.remove(key)
    await store.remove(key)
    assert await store.get(key, most=10) is None


async def test_no_more_is_read_than_is_wanted(store):
    await store.put("big", b"x" * 1_000_000)
    assert await store.get("big", most=99) == b"x" * 100


async def test_a_link_gives_the_file_under_a_name_and_needs_no_right(store, bucket):
    await store.put("it", b"{}")
    link = await store.link_to_get("it", seconds=10**9, name="guild.json")
    assert f"X-Amz-Expires={LONGEST_LINK}" in link
    async with httpx.AsyncClient() as http:
        answer = await http.get(link)
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert answer.headers["content-disposition"] == 'attachment; filename="guild.json"'


async def test_a_link_takes_a_file_of_the_size_that_it_was_made_for(store):
    link = await store.link_to_put("up", size=4, seconds=60)
    assert "content-length" in link.lower().split("signedheaders=")[1].split("&")[0]
    async with httpx.AsyncClient() as http:
        assert (await http.put(link, content=b"1234")).status_code == 200
    assert await store.get("up", most=10) == b"1234"


async def test_all_of_a_guild_is_removed_and_nothing_of_another(store):
    for guild in (1, 12):
        for area in (EXPORTS, IMPORTS, DEAD_LETTERS):
            await store.put(key_of(area, guild, "x"), b"x")
    await store.remove_guild(1)
    assert await store.list_keys(EXPORTS, 1) == []
    assert [len(await store.list_keys(area, 12)) for area in (EXPORTS, IMPORTS, DEAD_LETTERS)] == [1, 1, 1]


async def test_a_store_that_refuses_is_away_and_says_its_code(moto):
    async with Store("there-is-no-such-bucket") as store:
        with pytest.raises(StorageAway, match="put: NoSuchBucket"):
            await store.put("x", b"")


async def test_a_store_that_is_not_there_is_away(monkeypatch, moto, unused_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    async with Store("b") as store:
        with pytest.raises(StorageAway, match="EndpointConnectionError"):
            await store.get("x", most=1)
