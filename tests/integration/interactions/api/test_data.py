"""Exports, imports and deletions as a script asks for them; that a worker does them is tested where it is."""

from datetime import timedelta

import httpx
import pytest

from tests.support.api.serving import GUILD, NOW, OTHER, USER, Clock, make_caller, problem, serving
from tonearm.aws.places import export_key, upload_key
from tonearm.aws.store import Store
from tonearm.guild_data.tasks import Deletion, Export, Import, TaskKind
from tonearm.postgres import grants, guild_tasks
from tonearm.worker.guild_tasks import KEPT

EXPORTS, IMPORTS, DELETIONS = (f"/guilds/{GUILD}/{what}" for what in ("exports", "imports", "deletions"))


@pytest.fixture
async def api(database_url, redis_url, clock, bucket):
    """An API with a bucket; every guild has every plan."""
    async with serving(database_url, redis_url, clock=clock, s3_bucket=bucket, default_plan="pro") as http:
        yield http


@pytest.fixture
async def poor(database_url, redis_url, pool):
    """A caller of an API that has neither a bucket nor plans to give."""
    async with serving(database_url, redis_url, clock=Clock()) as http:
        yield await make_caller(http, pool)


async def finished(pool, kind, id, work, *, guild=GUILD):
    """As though a worker had done it."""
    task = await guild_tasks.fetch(pool, id, guild, kind)
    await guild_tasks.finish(pool, task, work, NOW, expires_at=NOW + KEPT)


async def exported(caller, pool, guild=GUILD):
    made = await caller.post(f"/guilds/{guild}/exports")
    assert made.status_code == 202, made.text
    await finished(pool, TaskKind.EXPORT, made.json()["id"], Export(2), guild=guild)
    return made.json()["id"]


async def test_without_a_bucket_it_is_said_which_setting_is_missing(poor):
    for answer in (
        await poor.post(EXPORTS),
        await poor.post(IMPORTS, {"size": 9}),
        await poor.post(f"{IMPORTS}/imp_{'0' * 24}/start"),
    ):
        assert (answer.status_code, problem(answer)) == (501, "no-storage")
        assert "TONEARM_S3_BUCKET" in answer.json()["detail"]
    assert (await poor.get(EXPORTS)).json() == {"data": [], "next_cursor": None}


async def test_the_plan_must_have_exports(database_url, redis_url, pool, bucket):
    async with serving(database_url, redis_url, s3_bucket=bucket, default_plan="premium") as http:
        caller = await make_caller(http, pool)
        for answer in (await caller.post(EXPORTS), await caller.post(IMPORTS, {"size": 9})):
            assert (answer.status_code, problem(answer)) == (403, "plan-limit")
            assert "**Pro** does" in answer.json()["detail"]
        # What the guild has kept is its own under every plan.
        assert (await caller.post(DELETIONS, {})).status_code == 202


async def test_an_export_is_asked_for_once_and_has_a_link_while_it_is_kept(caller, pool, bucket, clock):
    made = await caller.post(EXPORTS, Idempotency_Key="the-same-one")
    assert (made.status_code, made.json()["status"], made.json()["url"]) == (202, "queued", None)
    again = await caller.post(EXPORTS, Idempotency_Key="the-same-one")
    assert (again.json(), again.headers["idempotent-replayed"]) == (made.json(), "true")
    assert len(await guild_tasks.fetch_page(pool, GUILD, TaskKind.EXPORT)) == 1
    id = made.json()["id"]
    assert made.headers["location"] == f"/api/v1{EXPORTS}/{id}"
    async with Store(bucket) as store:
        await store.put(export_key(GUILD, id), b"{}")
    await finished(pool, TaskKind.EXPORT, id, Export(2))
    seen = (await caller.get(f"{EXPORTS}/{id}")).json()
    assert (seen["status"], seen["size"], seen["expires_at"]) == ("done", 2, "2026-06-08T12:00:00Z")
    assert "X-Amz-Expires=604800" in seen["url"]
    async with httpx.AsyncClient() as http:
        assert (await http.get(seen["url"])).json() == {}
    listed = (await caller.get(EXPORTS)).json()
    assert listed["data"] == [{**seen, "url": None}]
    clock.now += KEPT
    assert (await caller.get(f"{EXPORTS}/{id}")).json()["url"] is None


async def test_a_page_of_exports_leads_on(caller, pool):
    made = [await exported(caller, pool) for _ in range(3)]
    first = await caller.get(f"{EXPORTS}?limit=2")
    assert [each["id"] for each in first.json()["data"]] == made[:0:-1]
    second = await caller.get(first.headers["link"].split("<")[1].split(">")[0].removeprefix("/api/v1"))
    assert [each["id"] for each in second.json()["data"]] == made[:1]


async def test_no_more_than_five_are_open(caller, pool):
    for _ in range(5):
        await exported(caller, pool)
    answer = await caller.post(EXPORTS)
    assert (answer.status_code, problem(answer)) == (409, "too-many-open")


async def test_what_is_of_another_guild_is_not_here(caller, pool):
    theirs = await exported(caller, pool, OTHER)
    for path in (f"{EXPORTS}/{theirs}", f"{IMPORTS}/{theirs}", f"{DELETIONS}/{theirs}", f"{EXPORTS}/x"):
        answer = await caller.get(path)
        assert (answer.status_code, problem(answer)) == (404, "not-found")
    answer = await caller.post(IMPORTS, {"export_id": theirs})
    assert (answer.status_code, problem(answer)) == (404, "not-found")


async def test_an_import_of_an_export_that_is_kept(caller, pool):
    id = await exported(caller, pool)
    made = await caller.post(IMPORTS, {"export_id": id, "voice_channel_id": str(USER)})
    assert (made.status_code, made.json()["status"], made.json()["upload_url"]) == (202, "queued", None)
    task = await guild_tasks.fetch(pool, made.json()["id"], GUILD, TaskKind.IMPORT)
    assert task.work == Import(export_key(GUILD, id), voice_channel=USER)
    done = Import(task.work.key, settings_restored=True, tracks_restored=3, tracks_left_out=1, notes=("No.",))
    await guild_tasks.finish(pool, task, done, NOW)
    seen = (await caller.get(f"{IMPORTS}/{task.id}")).json()
    assert (seen["status"], seen["settings_restored"], seen["tracks_restored"]) == ("done", True, 3)
    assert (seen["tracks_left_out"], seen["notes"]) == (1, ["No."])


async def test_an_import_of_a_file_waits_for_it(caller, pool, bucket):
    made = await caller.post(IMPORTS, {"size": 2}, Idempotency_Key="one-file")
    assert (made.status_code, made.json()["upload_until"]) == (201, "2026-06-01T13:00:00Z")
    id = made.json()["id"]
    again = await caller.post(IMPORTS, {"size": 2}, Idempotency_Key="one-file")
    assert again.json() == {**made.json(), "upload_url": None}, "no link is kept"
    link = (await caller.get(f"{IMPORTS}/{id}")).json()["upload_url"]
    async with httpx.AsyncClient() as http:
        assert (await http.put(link, content=b"{}")).status_code == 200
    async with Store(bucket) as store:
        assert await store.get(upload_key(GUILD, id), most=9) == b"{}"
    for _ in range(2):
        started = await caller.post(f"{IMPORTS}/{id}/start")
        assert (started.status_code, started.json()["status"]) == (202, "queued")
        assert started.json()["upload_url"] is None


async def test_a_file_that_comes_too_late_is_not_waited_for(caller, clock):
    id = (await caller.post(IMPORTS, {"size": 2})).json()["id"]
    clock.now += timedelta(hours=1)
    assert (await caller.get(f"{IMPORTS}/{id}")).json()["upload_url"] is None
    answer = await caller.post(f"{IMPORTS}/{id}/start")
    assert (answer.status_code, problem(answer)) == (409, "not-waiting")


@pytest.mark.parametrize("wish", [{}, {"size": 1}, {"size": 2**24 + 1}, {"size": 9, "export_id": "exp_" + "0" * 24}])
async def test_a_wish_that_does_not_fit_is_refused(caller, wish):
    answer = await caller.post(IMPORTS, wish)
    assert (answer.status_code, problem(answer)) == (422, "invalid")


async def test_a_deletion_keeps_the_subscription_unless_it_has_ended(caller, pool, clock):
    await grants.start_trial(pool, GUILD, f"discord:{USER}", now=NOW)
    refused = await caller.post(DELETIONS, {"subscription": "delete"})
    assert (refused.status_code, problem(refused)) == (409, "subscription-state")
    made = await caller.post(DELETIONS, {})
    assert (made.status_code, made.json()["status"], made.json()["subscription"]) == (202, "queued", "keep")
    clock.now += timedelta(days=30)
    ended = await caller.post(DELETIONS, {"subscription": "delete"})
    assert ended.status_code == 202
    await finished(pool, TaskKind.DELETION, ended.json()["id"], Deletion(with_subscription=True))
    seen = (await caller.get(f"{DELETIONS}/{ended.json()['id']}")).json()
    assert (seen["status"], seen["subscription"]) == ("done", "delete")


async def test_a_storage_that_is_away_is_said(caller, pool, bucket, monkeypatch, moto, api):
    id = await exported(caller, pool)
    for name in moto.environ:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("HOME", "/nonexistent")
    answer = await caller.get(f"{EXPORTS}/{id}")
    assert (answer.status_code, problem(answer)) == (503, "storage-away")
