"""``tonearm keys``: the first key, which no other can make."""

import asyncio

import pytest

from tonearm import keys
from tonearm.errors import StartFailed
from tonearm.postgres.api_keys import fetch_key, fetch_keys, hash_key
from tonearm.redis import key_tier


@pytest.fixture
def run(database_url, monkeypatch, capsys):
    """``await run(word, ...)``: the exit code and what was printed."""
    monkeypatch.setenv("TONEARM_DATABASE_URL", database_url)

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(keys.main, list(words))
        return code, capsys.readouterr().out

    return run


async def test_made_listed_and_revoked(run, pool):
    assert await run("list") == (0, "There is no key.\n")
    code, printed = await run("create", "web shop", "--scope", "premium:*", "--scope", "keys:read", "--guild", "42")
    secret = printed.strip()
    key = await fetch_key(pool, hash_key(secret))
    assert (code, key.name, key.scopes, key.guilds) == (0, "web shop", {"premium:*", "keys:read"}, {42})
    assert key.expires_at is None
    _, listed = await run("list")
    assert secret not in listed
    assert all(word in listed for word in (key.id, "web shop", key.hint, "keys:read,premium:*", "42", "valid", "never"))
    assert await run("revoke", key.id) == (0, f"{key.id} is revoked, which is noticed within 30 s.\n")
    assert await run("revoke", "key_none") == (1, "key_none is no key.\n")
    assert "revoked" in (await run("list"))[1]


async def test_it_ends_after_so_many_days(run, pool):
    await run("create", "short", "--scope", "music:read", "--days", "2")
    (key,) = await fetch_keys(pool)
    assert (key.expires_at - key.created_at).days == 2


@pytest.mark.parametrize(
    "words",
    [
        ("create", "x"),
        ("create", "x", "--scope", "everything"),
        ("create", "x", "--scope", "keys:*", "--guild", "-1"),
        ("create", "x", "--scope", "keys:*", "--days", "0"),
        (),
    ],
)
async def test_wrong_words(run, words):
    with pytest.raises(SystemExit) as ended:
        await run(*words)
    assert ended.value.code == 2


async def test_without_its_tables_it_says_so(run, postgres_url, monkeypatch):
    monkeypatch.setenv("TONEARM_DATABASE_URL", postgres_url)
    with pytest.raises(StartFailed, match=r"PostgreSQL can't be used: .*api_keys.* Was it migrated\?"):
        await run("list")


async def test_a_revoke_is_told_to_the_processes_that_serve(run, pool, redis_client, redis_url, monkeypatch):
    monkeypatch.setenv("TONEARM_REDIS_URL", redis_url)
    await run("create", "shop", "--scope", "music:read")
    (key,) = await fetch_keys(pool)
    assert await run("revoke", key.id) == (0, f"{key.id} is revoked.\n")
    assert await key_tier.fetch(redis_client, key.hash) == key_tier.REVOKED
    monkeypatch.setenv("TONEARM_REDIS_URL", "redis://127.0.0.1:1")
    assert (await run("revoke", key.id))[1] == f"{key.id} is revoked, which is noticed within 30 s.\n"
