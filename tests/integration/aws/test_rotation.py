"""The rotation that is written in infra/aws/stores.yaml, step by step, over moto."""

import json
import os
import zipfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from cfnlint.decode import decode
from moto import mock_aws

STORES = Path(__file__).parents[3] / "infra/aws/stores.yaml"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "5c1f3f3a-6a6e-4b53-9a54-5c5d0c6a1f01"
OLD = {
    "TONEARM_REDIS_URL": "rediss://:old@valkey.example:6379",
    "TONEARM_DATABASE_URL": "postgresql://tonearm:old@postgres.example:5432/tonearm?sslmode=require",
    "TONEARM_DISCORD_BOT_TOKEN": "stays",
}


@pytest.fixture
def aws(monkeypatch):
    """The stores' stack, as far as the rotation touches it, and ``step(name)``."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        manager = boto3.client("secretsmanager")
        settings = manager.create_secret(Name="tonearm/dev/settings", SecretString=json.dumps(OLD))["ARN"]
        environment = {"VALKEY": "tonearm-dev", "POSTGRES": "tonearm-dev", "FUNCTION": "tonearm-dev-interactions"}
        for variable, name in (("VALKEY_TOKEN", "valkey-token"), ("POSTGRES_PASSWORD", "postgres-password")):
            environment[variable] = manager.create_secret(Name=f"tonearm/dev/{name}", SecretString="old")["ARN"]
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        template = decode(str(STORES))[0]
        code: dict = {}
        exec(compile(template["Resources"]["Rotation"]["Properties"]["Code"]["ZipFile"], "rotation", "exec"), code)
        changes: list[dict] = []
        client = boto3.client

        class Stores:
            """ElastiCache and RDS: moto can't change what is asked for here."""

            pending = False

            def modify_replication_group(self, **said):
                changes.append(said)

            modify_db_instance = modify_replication_group

            def describe_replication_groups(self, ReplicationGroupId):
                waiting = {"AuthTokenStatus": "ROTATING"} if self.pending else {}
                return {"ReplicationGroups": [{"Status": "available", "PendingModifiedValues": waiting}]}

            def describe_db_instances(self, DBInstanceIdentifier):
                return {"DBInstances": [{"DBInstanceStatus": "available", "PendingModifiedValues": {}}]}

        stores = Stores()
        monkeypatch.setattr(boto3, "client", lambda name: stores if name in ("elasticache", "rds") else client(name))

        def step(name):
            event = {"Step": name, "SecretId": settings, "ClientRequestToken": TOKEN}
            code["handler"](event, None)

        yield SimpleNamespace(
            manager=manager,
            settings=settings,
            step=step,
            changes=changes,
            stores=stores,
            code=code,
            functions=client("lambda"),
        )


def test_a_rotation_changes_both_passwords_and_nothing_else(aws):
    for name in STEPS:
        aws.step(name)
    new = json.loads(aws.manager.get_secret_value(SecretId=aws.settings, VersionStage="AWSCURRENT")["SecretString"])
    assert new["TONEARM_DISCORD_BOT_TOKEN"] == "stays"
    token, password = aws.changes[0]["AuthToken"], aws.changes[1]["MasterUserPassword"]
    assert token != password
    assert len(token) == len(password) == 48
    assert new["TONEARM_REDIS_URL"] == OLD["TONEARM_REDIS_URL"].replace("old", token)
    assert new["TONEARM_DATABASE_URL"] == OLD["TONEARM_DATABASE_URL"].replace("old", password)
    assert aws.changes[0]["AuthTokenUpdateStrategy"] == "ROTATE"
    for variable, value in (("VALKEY_TOKEN", token), ("POSTGRES_PASSWORD", password)):
        assert aws.manager.get_secret_value(SecretId=os.environ[variable])["SecretString"] == value


def test_each_step_may_be_repeated(aws):
    for name in STEPS:
        aws.step(name)
        if name != "finishSecret":
            first = aws.manager.get_secret_value(SecretId=aws.settings, VersionStage="AWSPENDING")["SecretString"]
            aws.step(name)
            again = aws.manager.get_secret_value(SecretId=aws.settings, VersionStage="AWSPENDING")["SecretString"]
            assert again == first
    aws.step("finishSecret")
    versions = aws.manager.describe_secret(SecretId=aws.settings)["VersionIdsToStages"]
    assert "AWSCURRENT" in versions[TOKEN]


def test_until_the_stores_have_their_passwords_nothing_is_finished(aws):
    aws.step("createSecret")
    aws.stores.pending = True
    aws.code["WAIT_S"] = -1
    with pytest.raises(TimeoutError, match="in time"):
        aws.step("testSecret")
    assert (
        json.loads(aws.manager.get_secret_value(SecretId=aws.settings, VersionStage="AWSCURRENT")["SecretString"])
        == OLD
    )


def test_the_function_that_has_the_token_in_its_environment_is_told(aws):
    body = BytesIO()
    with zipfile.ZipFile(body, "w") as made:
        made.writestr("it.py", "")
    trust = {"Version": "2012-10-17", "Statement": []}
    role = boto3.client("iam").create_role(RoleName="it", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    aws.functions.create_function(
        FunctionName="tonearm-dev-interactions",
        Runtime="python3.12",
        Handler="it.it",
        Role=role,
        Code={"ZipFile": body.getvalue()},
        Environment={"Variables": {"TONEARM_REDIS_URL": OLD["TONEARM_REDIS_URL"], "TONEARM_SHARD_COUNT": "1"}},
    )
    for name in STEPS:
        aws.step(name)
    told = aws.functions.get_function_configuration(FunctionName="tonearm-dev-interactions")["Environment"]["Variables"]
    new = json.loads(aws.manager.get_secret_value(SecretId=aws.settings, VersionStage="AWSCURRENT")["SecretString"])
    assert told == {"TONEARM_REDIS_URL": new["TONEARM_REDIS_URL"], "TONEARM_SHARD_COUNT": "1"}
    assert new["TONEARM_REDIS_URL"] != OLD["TONEARM_REDIS_URL"]
