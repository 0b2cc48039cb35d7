"""Settings from a secret on a real moto server, read at the start and again when they rotate."""

import asyncio
import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from nacl.signing import SigningKey

from interactions.discord.verify import Verifier
from tonearm import rotation as module
from tonearm.errors import SettingsError
from tonearm.postgres.pools import make_pools
from tonearm.rotation import Rotation, rotating
from tonearm.settings import explain, load


class Vault:
    """One secret, and what is in it."""

    def __init__(self, moto, monkeypatch) -> None:
        self.moto = moto
        self.id = f"tonearm-{secrets.token_hex(4)}"
        self.text = None
        monkeypatch.setenv("TONEARM_SECRETS", self.id)
        monkeypatch.setattr(module, "AT_LEAST_S", 0.0)

    async def hold(self, text=None, **settings: str) -> None:
        """This, and nothing else, from now on."""
        said = text if text is not None else json.dumps({f"TONEARM_{name.upper()}": v for name, v in settings.items()})
        async with self.moto.client("secretsmanager") as client:
            if self.text is None:
                await client.create_secret(Name=self.id, SecretString=said)
            else:
                await client.put_secret_value(SecretId=self.id, SecretString=said)
        self.text = said

    async def load(self, *needed: str):
        """The settings of a process that begins now."""
        return await asyncio.to_thread(load, needed)


@pytest.fixture
def vault(moto, monkeypatch) -> Vault:
    """It is what TONEARM_SECRETS names."""
    return Vault(moto, monkeypatch)


async def test_a_secret_has_what_the_environment_does_not_say(vault, monkeypatch):
    await vault.hold(discord_bot_token="hidden", port="1")
    monkeypatch.setenv("TONEARM_PORT", "2")
    settings = await vault.load("discord_bot_token")
    assert (settings.discord_bot_token, settings.port, settings.secrets) == ("hidden", 2, vault.id)
    shown = {name: value for name, value, _ in await asyncio.to_thread(explain)}
    assert (shown["TONEARM_DISCORD_BOT_TOKEN"], shown["TONEARM_PORT"]) == ("(set)", "2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["x"]', "must hold a JSON object of settings, each a text."),
        ('{"TONEARM_PORT": 1}', "must hold a JSON object of settings, each a text."),
        ("hidden", "must hold a JSON object of settings, each a text."),
        ('{"TONEARM_PROT": "hidden"}', "holds 'TONEARM_PROT', which is no setting that a secret can have."),
        ('{"TONEARM_SECRETS": "x"}', "holds 'TONEARM_SECRETS', which is no setting that a secret can have."),
    ],
)
async def test_a_secret_that_is_not_one_is_named_and_not_shown(vault, text, said):
    await vault.hold(text)
    with pytest.raises(SettingsError) as caught:
        await vault.load()
    assert str(caught.value) == f"TONEARM_SECRETS {said}"
    assert caught.value.__cause__ is None


async def test_a_secret_that_is_not_there_is_said(vault, monkeypatch, unused_port):
    with pytest.raises(SettingsError, match=r"^TONEARM_SECRETS can't be read: ResourceNotFoundException\.$"):
        await vault.load()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    with pytest.raises(SettingsError, match=r"^TONEARM_SECRETS can't be read: EndpointConnectionError\.$"):
        await vault.load()


async def test_a_public_key_rotates_on_the_interval_and_the_old_one_is_none_any_more(vault):
    old, new = SigningKey.generate(), SigningKey.generate()
    await vault.hold(discord_public_key=old.verify_key.encode().hex(), secrets_refresh="10")
    settings = await vault.load("discord_public_key")
    verifier = Verifier(lambda: settings.discord_public_key, clock=lambda: 1_000.0)

    def passes(key: SigningKey) -> bool:
        return verifier(key.sign(b"1000{}").signature.hex().encode(), b"1000", b"{}")

    assert (passes(old), passes(new)) == (True, False)
    await vault.hold(discord_public_key=new.verify_key.encode().hex(), secrets_refresh="10")
    await Rotation(settings).refresh()
    assert (passes(old), passes(new)) == (False, True)
    assert new.verify_key.encode().hex() in verifier.refusal.decode()


async def test_what_needs_a_restart_stays_and_is_logged_by_name(vault, caplog):
    await vault.hold(discord_bot_token="old", stripe_secret_key="sk_old", webhook_secrets="a")
    settings = await vault.load()
    await vault.hold(discord_bot_token="new", stripe_secret_key="sk_new", webhook_secrets="b,a")
    with caplog.at_level("INFO"):
        await Rotation(settings).refresh()
    assert settings.discord_bot_token == "old"
    assert (settings.stripe_secret_key, settings.webhook_secrets) == ("sk_new", ("b", "a"))
    assert "Rotated: TONEARM_STRIPE_SECRET_KEY, TONEARM_WEBHOOK_SECRETS" in caplog.text
    assert "in use after a restart: TONEARM_DISCORD_BOT_TOKEN" in caplog.text
    assert "'b'" not in caplog.text


async def test_a_secret_that_can_not_be_read_changes_nothing(vault, caplog):
    await vault.hold(webhook_secrets="a")
    settings = await vault.load()
    await vault.hold("broken")
    await Rotation(settings).refresh()
    assert settings.webhook_secrets == ("a",)
    assert "The secret was not read again: TONEARM_SECRETS must hold" in caplog.text


async def test_who_is_refused_often_asks_seldom(vault, monkeypatch):
    await vault.hold(webhook_secrets="a")
    settings = await vault.load()
    monkeypatch.setattr(module, "AT_LEAST_S", 60.0)
    rotation = Rotation(settings)
    await rotation.refresh()
    await vault.hold(webhook_secrets="b")
    await rotation.refresh()
    assert settings.webhook_secrets == ("a",)


async def test_it_is_read_again_and_again_while_a_process_runs(vault, monkeypatch):
    await vault.hold(webhook_secrets="a")
    settings = await vault.load()
    read = asyncio.Event()

    async def refresh(self) -> None:
        read.set()

    monkeypatch.setattr(Rotation, "refresh", refresh)
    module.msgspec.structs.force_setattr(settings, "secrets_refresh", 0.01)
    async with rotating(settings), asyncio.timeout(5):
        await read.wait()


@pytest.fixture
async def role(postgres_url):
    """``await role(password)``: somebody whom the database knows by a password, and from now on by this one."""
    name = f"role_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(postgres_url)
    hba = Path(await admin.fetchval("show hba_file"))
    rules = await asyncio.to_thread(hba.read_text)
    await asyncio.to_thread(hba.write_text, f"host all {name} all scram-sha-256\n{rules}")
    await admin.execute(f"create role {name} login")
    await admin.execute("select pg_reload_conf()")

    async def known_by(password: str) -> str:
        await admin.execute(f"alter role {name} password '{password}'")
        at = urlsplit(postgres_url)
        return f"postgresql://{name}:{password}@{at.hostname}:{at.port}{at.path}"

    yield known_by
    await asyncio.to_thread(hba.write_text, rules)
    await admin.execute(f"drop role {name}")
    await admin.execute("select pg_reload_conf()")
    await admin.close()


async def test_a_password_of_the_database_rotates_when_the_old_one_is_refused(vault, role):
    await vault.hold(database_url=await role("first"))
    settings = await vault.load("database_url")
    async with make_pools(settings).write as pool:
        assert await pool.fetch_row("select 1", timeout=10)
        await vault.hold(database_url=await role("second"))
        await pool._pool.expire_connections()
        assert await pool.fetch_row("select 1", timeout=10)
        assert ":second@" in settings.database_url
        await role("third")
        await pool._pool.expire_connections()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await pool.fetch_row("select 1", timeout=10)
