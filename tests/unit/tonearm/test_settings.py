import pytest
from hypothesis import given
from hypothesis import strategies as st

from tonearm.errors import SettingsError
from tonearm.settings import DECLARED, PREFIX, LavalinkNode, Settings, explain, load

KEY = "ab" * 32
GOOD = {
    "TONEARM_DISCORD_APPLICATION_ID": "123",
    "TONEARM_DISCORD_PUBLIC_KEY": KEY,
    "TONEARM_DISCORD_BOT_TOKEN": "bot-token",
    "TONEARM_REDIS_URL": "redis://:secret@localhost:6379/0",
    "TONEARM_DATABASE_URL": "postgresql://me:secret@localhost/tonearm",
    "TONEARM_LAVALINK_NODES": "http://:secret@localhost",
}
NAMES = [setting.name for setting in DECLARED]
SECRETS = [setting.name for setting in DECLARED if setting.secret]


def one(name: str, value: str) -> Settings:
    return load([name], {PREFIX + name.upper(): value})


def wrong(name: str, value: str) -> str:
    with pytest.raises(SettingsError) as caught:
        one(name, value)
    assert str(caught.value).startswith(f"TONEARM_{name.upper()} ")
    assert caught.value.__cause__ is None
    return str(caught.value)


def attempt(name: str, value: str) -> Settings | SettingsError:
    try:
        return one(name, value)
    except SettingsError as error:
        return error


def test_everything_that_is_declared_is_a_field_and_the_other_way_round() -> None:
    assert list(Settings.__struct_fields__) == NAMES
    assert all(setting.help.endswith(".") for setting in DECLARED)


def test_a_whole_installation() -> None:
    settings = load([name.removeprefix(PREFIX).lower() for name in GOOD], GOOD)
    assert settings.discord_application_id == 123
    assert settings.discord_public_key == (bytes.fromhex(KEY),)
    assert settings.discord_api_url == "https://discord.com/api/v10"
    assert settings.lavalink_nodes == (LavalinkNode("http://localhost:2333", "secret"),)
    assert (settings.shard_count, settings.inline_reply_ms, settings.port) == (1, 800, 8080)


def test_what_is_not_needed_may_be_missing() -> None:
    settings = load([], {})
    assert (settings.discord_application_id, settings.redis_url, settings.lavalink_nodes) == (0, "", ())
    assert settings.shard_count == 1


@pytest.mark.parametrize("name", [name.removeprefix(PREFIX).lower() for name in GOOD])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_needed_and_missing_is_named_with_its_meaning(name: str, value: str | None) -> None:
    environ = {key: text for key, text in GOOD.items() if key != PREFIX + name.upper()}
    if value is not None:
        environ[PREFIX + name.upper()] = value
    with pytest.raises(SettingsError, match=rf"^TONEARM_{name.upper()} is missing\. \w"):
        load([name], environ)


def test_the_environment_of_the_process_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TONEARM_PORT", "1234")
    assert load(["port"]).port == 1234


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "-1"),
        ("port", "65536"),
        ("port", "http"),
        ("port", "1.5"),
        ("shard_count", "0"),
        ("inline_reply_ms", "2001"),
        ("discord_application_id", "0"),
        ("log_format", "xml"),
        ("discord_public_key", "abcd"),
        ("discord_public_key", KEY + "," + "zz" * 32),
        ("discord_api_url", "ftp://discord.com"),
        ("discord_api_url", "https://"),
        ("discord_gateway_url", "https://gateway.discord.gg"),
        ("redis_url", "localhost:6379"),
        ("redis_url", "redis://"),
        ("redis_url", "redis://:secret@"),
        ("redis_url", "redis://host:port"),
        ("redis_url", "redis://host:99999"),
        ("redis_url", "redis://[::1"),
        ("redis_url", "unix://"),
        ("database_url", "mysql://host/name"),
        ("default_plan", "gold"),
        ("discord_skus", "premium"),
        ("discord_skus", "gold=1"),
        ("stripe_prices", "free=price_1"),
        ("stripe_prices", "premium=price_1,pro=price_1"),
        ("lavalink_nodes", "http://host:2333"),
        ("lavalink_nodes", "http://:secret@"),
        ("lavalink_nodes", "http://:secret@host,"),
        ("lavalink_nodes", "ws://:secret@host"),
    ],
)
def test_what_is_wrong_is_a_sentence(name: str, value: str) -> None:
    assert wrong(name, value).endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("discord_public_key", f"{KEY}, {'cd' * 32}", (bytes.fromhex(KEY), bytes.fromhex("cd" * 32))),
        ("discord_api_url", "http://127.0.0.1:8000/api/v10/", "http://127.0.0.1:8000/api/v10"),
        ("redis_url", "redis+cluster://a:1", "redis+cluster://a:1"),
        ("redis_url", "unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("database_url", "postgresql://me@/name?host=/run/postgresql", "postgresql://me@/name?host=/run/postgresql"),
        ("port", " 0 ", 0),
        ("default_plan", "pro", "pro"),
        ("discord_skus", "premium=1, pro = 2", (("premium", "1"), ("pro", "2"))),
        ("inline_reply_ms", "0", 0),
        (
            "lavalink_nodes",
            "dns+http://:a@lava, https://:b@[::1]:443,http://:c%2Cd%40@host",
            (
                LavalinkNode("dns+http://lava:2333", "a"),
                LavalinkNode("https://[::1]:443", "b"),
                LavalinkNode("http://host:2333", "c,d@"),
            ),
        ),
        (
            "lavalink_nodes",
            "http://:a%3Fb%2Fc%23d%25e@[2001:DB8::1],http://:%C3%BC+%20@[fe80::1%25eth0]:1?regions=Rotterdam",
            (
                LavalinkNode("http://[2001:db8::1]:2333", "a?b/c#d%e"),
                LavalinkNode("http://[fe80::1%25eth0]:1", "\N{LATIN SMALL LETTER U WITH DIAERESIS}+ ", ("rotterdam",)),
            ),
        ),
    ],
)
def test_what_is_right_is_taken(name: str, value: str, parsed: object) -> None:
    assert getattr(one(name, value), name) == parsed


SECRET = "hunter2"
around = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.sampled_from(SECRETS), st.sampled_from(["redis", "postgresql", "http", "unix", "x", ""]), around, around)
def test_no_secret_is_ever_shown(name: str, scheme: str, before: str, after: str) -> None:
    for value in (
        f"{scheme}://{before}{SECRET}{after}",
        f"{scheme}://:{SECRET}{before}@{after}",
        f"{scheme}://:{SECRET}@[{after}",
        f"{scheme}://:{SECRET}@host:{after}",
    ):
        result = attempt(name, value)
        assert SECRET not in repr(result)
        assert SECRET not in str(result)
        if isinstance(result, SettingsError):
            assert result.__cause__ is None
            assert result.__suppress_context__
        assert SECRET not in repr(explain({PREFIX + name.upper(): value}))


def test_a_name_that_normalises_strangely_does_not_show_the_password() -> None:
    assert SECRET not in wrong("redis_url", f"redis://:{SECRET}@ho℀st")


def test_what_is_set_is_explained() -> None:
    rows = {name: (value, meaning) for name, value, meaning in explain({**GOOD, "TONEARM_PORT": "99"})}
    assert list(rows) == [PREFIX + name.upper() for name in NAMES]
    assert rows["TONEARM_REDIS_URL"][0] == "(set)"
    assert rows["TONEARM_PORT"][0] == "99"
    assert rows["TONEARM_SHARD_COUNT"][0] == "1 (default)"
    assert {name: value for name, value, _ in explain({})}["TONEARM_REDIS_URL"] == "(not set)"
    assert all(meaning for _, meaning in rows.values())


def test_nodes_are_shown_without_their_passwords() -> None:
    assert repr(LavalinkNode("http://a:2333", SECRET)) == "LavalinkNode('http://a:2333')"
