"""Every route x every scope x other guild: a key opens what its scopes name, for its guilds, and nothing else."""

import re

import pytest

from interactions.api.app import operations
from interactions.api.resources import music
from tests.support.api.serving import GUILD, OTHER, USER, Caller, make_caller, problem
from tonearm.scopes import GIVEN, SCOPES, allows

GUARDED = [each for each in operations() if each.scope is not None]


def address(operation, guild: int) -> str:
    tasks = {f"{name}_id": f"{name[:3]}_{'0' * 24}" for name in ("export", "import", "deletion")}
    values = {"guild_id": str(guild), "key_id": "key_none", "job_id": "0" * 64, **tasks}
    return re.sub(r"{(\w+)}", lambda found: values[found[1]], operation.path)


def body(operation, guild: int):
    in_body = operation.body is not None and issubclass(operation.body, music.MusicWish)
    return {"guild_id": str(guild), "actor": str(USER), "query": "x"} if in_body else None


def names_guild(operation) -> bool:
    return "{guild_id}" in operation.path or "guild_id" in getattr(operation.body, "__struct_fields__", ())


@pytest.fixture
async def keyring(api, pool):
    """A caller for each scope, bound to one guild."""
    return {scope: await make_caller(api, pool, [scope], guilds=[GUILD]) for scope in GIVEN}


@pytest.mark.parametrize("operation", GUARDED, ids=lambda each: each.id)
async def test_a_route_opens_to_its_scope_alone(api, keyring, operation):
    nobody = await Caller(api, None).ask(operation.method, address(operation, GUILD))
    assert (nobody.status_code, problem(nobody)) == (401, "unauthenticated")
    for scope, caller in keyring.items():
        answer = await caller.ask(operation.method, address(operation, GUILD), json=body(operation, GUILD))
        if allows([scope], operation.scope):
            assert answer.status_code not in (401, 403), (scope, answer.text)
        else:
            assert (answer.status_code, problem(answer)) == (403, "scope-missing")


@pytest.mark.parametrize("operation", [each for each in GUARDED if names_guild(each)], ids=lambda each: each.id)
async def test_no_scope_reaches_another_guild(api, pool, operation):
    bound = await make_caller(api, pool, SCOPES, guilds=[GUILD])
    given = body(operation, OTHER)
    if given and operation.id != "play":
        given.pop("query")
    if given:
        given |= {"volume": {"volume": 1}, "seek": {"position_ms": 1}}.get(operation.id, {})
    answer = await bound.ask(operation.method, address(operation, OTHER), json=given, If_Match="*")
    assert (answer.status_code, problem(answer)) == (403, "guild-not-allowed")


def test_what_names_no_guild_is_known_here() -> None:
    """Which keys a key sees, and what it can make of itself, is tested with the keys; plans are the same for all."""
    nameless = {each.id for each in GUARDED if not names_guild(each)}
    assert nameless == {"listPlans", "listApiKeys", "createApiKey", "revokeApiKey"}


def test_each_guarded_route_has_a_scope_that_keys_can_have() -> None:
    assert {each.scope for each in GUARDED} == set(SCOPES)
    assert {each.id for each in operations() if each.scope is None} == {"getOpenapi", "getDocs"}
