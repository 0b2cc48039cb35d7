"""Each rule for CloudFormation finds what it is there for: a template that is well, and the same with one fault."""

import json
from pathlib import Path

import pytest
from cfnlint.decode import decode

from tests.lambda_check import tools
from tests.lambda_check.rules import RULES, of_kind
from tests.lambda_check.stack import wrongly_missing

STORES = Path(__file__).parents[3] / "infra/aws/stores.yaml"
WELL = {name: [] for name in RULES}


@pytest.fixture
def template():
    """The stores, as they are written."""
    return json.loads(json.dumps(decode(str(STORES))[0]))


def properties(template, name):
    return template["Resources"][name]["Properties"]


def faults(template):
    return {name: list(rule(template)) for name, rule in RULES.items()}


def test_the_template_is_well(template):
    assert faults(template) == WELL


def set_to(name, property, value):
    def change(template):
        properties(template, name)[property] = value

    return change


def without(name, property):
    def change(template):
        del properties(template, name)[property]

    return change


def widen(action, resource):
    def change(template):
        statement = properties(template, "RotationRole")["Policies"][0]["PolicyDocument"]["Statement"][0]
        statement.update(Action=action, Resource=resource)

    return change


def allow_beside(action, resource):
    def change(template):
        statement = {"Effect": "Allow", "Action": action, "Resource": resource}
        policy = {"PolicyName": "more", "PolicyDocument": {"Statement": [statement]}}
        template["Resources"]["More"] = {"Type": "AWS::IAM::Policy", "Properties": policy}

    return change


def delete(name):
    def change(template):
        del template["Resources"][name]

    return change


def lose_with_stack(policy):
    def change(template):
        template["Resources"]["Valkey"][policy] = "Delete"

    return change


def watch(metric, **dimensions):
    def change(template):
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        alarm = properties(template, "PostgresIsBusy")
        alarm.update(Namespace="Tonearm", MetricName=metric, Dimensions=named)

    return change


ANYBODY = {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "CidrIp": "10.0.0.0/8"}
FAULTS = [
    ("no security group is open", set_to("ValkeyGroup", "SecurityGroupIngress", [ANYBODY])),
    ("no security group is open", set_to("ValkeyFromApi", "IpProtocol", "-1")),
    ("no security group is open", without("ValkeyFromApi", "SourceSecurityGroupId")),
    ("no security group is open", without("ApiGroup", "SecurityGroupEgress")),
    ("no security group is open", set_to("ApiToHttps", "ToPort", 65535)),
    ("no security group is open", set_to("ApiGroup", "SecurityGroupEgress", [{**ANYBODY, "CidrIp": "0.0.0.0/0"}])),
    ("what is stored is encrypted, and the way to it", without("Bucket", "BucketEncryption")),
    ("what is stored is encrypted, and the way to it", set_to("Valkey", "TransitEncryptionEnabled", False)),
    ("what is stored is encrypted, and the way to it", without("Valkey", "AuthToken")),
    ("what is stored is encrypted, and the way to it", set_to("Postgres", "StorageEncrypted", False)),
    (
        "what is stored is encrypted, and the way to it",
        set_to("PostgresSettings", "Parameters", {"rds.force_ssl": "0"}),
    ),
    ("what is stored is encrypted, and the way to it", without("Alarms", "KmsMasterKeyId")),
    (
        "nothing is lost: noeviction, backups, deletion",
        set_to("ValkeySettings", "Properties", {"maxmemory-policy": "allkeys-lru"}),
    ),
    ("nothing is lost: noeviction, backups, deletion", set_to("Valkey", "SnapshotRetentionLimit", 0)),
    ("nothing is lost: noeviction, backups, deletion", set_to("Postgres", "BackupRetentionPeriod", 0)),
    ("nothing is lost: noeviction, backups, deletion", set_to("Postgres", "DeletionProtection", False)),
    ("nothing is lost: noeviction, backups, deletion", set_to("Postgres", "PubliclyAccessible", True)),
    ("nothing is lost: noeviction, backups, deletion", lose_with_stack("DeletionPolicy")),
    ("nothing is lost: noeviction, backups, deletion", lose_with_stack("UpdateReplacePolicy")),
    ("buckets are private, and have a lifecycle", without("Bucket", "PublicAccessBlockConfiguration")),
    ("buckets are private, and have a lifecycle", without("Bucket", "LifecycleConfiguration")),
    ("roles name what they may do, and with what", widen("s3:*", "arn:aws:s3:::bucket")),
    ("roles name what they may do, and with what", widen(["s3:GetObject"], "*")),
    ("roles name what they may do, and with what", widen(["ec2:CreateNetworkInterface", "ec2:RunInstances"], "*")),
    ("roles name what they may do, and with what", widen(["s3:GetObject"], "arn:aws:s3:::*")),
    (
        "roles name what they may do, and with what",
        widen(["rds:ModifyDBInstance"], {"Fn::Sub": "arn:aws:rds:${AWS::Region}:${AWS::AccountId}:db:*"}),
    ),
    ("roles name what they may do, and with what", allow_beside("s3:GetObject", "*")),
    ("roles name what they may do, and with what", widen([], "arn:aws:s3:::bucket")),
    (
        "roles name what they may do, and with what",
        set_to("RotationRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
    ),
    ("functions run where they were built for, and their logs end", set_to("Rotation", "Architectures", ["x86_64"])),
    ("functions run where they were built for, and their logs end", set_to("Rotation", "VpcConfig", {})),
    ("functions run where they were built for, and their logs end", without("RotationLog", "RetentionInDays")),
    ("the settings are rotated", delete("SettingsRotation")),
    ("stores and functions have alarms", delete("RotationFailed")),
    ("stores and functions have alarms", without("PostgresIsBusy", "AlarmActions")),
    ("alarms on metrics of ours are on such that there are", watch("tonearm_interaction_total", outcome="away")),
    ("alarms on metrics of ours are on such that there are", watch("tonearm_players")),
    ("alarms on metrics of ours are on such that there are", watch("tonearm_interactions_total")),
    ("alarms on metrics of ours are on such that there are", watch("tonearm_interactions_total", outcome="lost")),
]


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_a_fault_is_found_by_its_rule_alone(template, rule, fault):
    fault(template)
    found = faults(template)
    assert [name for name, problems in found.items() if problems] == [rule]


def test_every_rule_has_a_fault():
    assert {rule for rule, _ in FAULTS} == set(RULES)


def test_an_alarm_on_a_metric_of_ours_is_well(template):
    watch("tonearm_interactions_total", outcome="away")(template)
    assert faults(template) == WELL


def test_network_interfaces_may_be_anybodys(template):
    widen(["ec2:CreateNetworkInterface"], "*")(template)
    assert faults(template) == WELL


def test_what_moto_should_have_made_is_missed(template):
    made = dict.fromkeys(template["Resources"], "made")
    del made["Valkey"]  # moto knows no such thing
    assert wrongly_missing(template, made) == []
    del made["Bucket"]
    assert wrongly_missing(template, made) == ["Bucket"]


def test_the_functions_named_here_are_those_that_are_deployed(template):
    named = json.dumps([each for _, each in of_kind(template, "AWS::IAM::Role")])
    assert "function:tonearm-${Stage}-interactions" in named


def test_of_a_lock_only_what_is_asked_for_is_taken():
    lock = "a==1 \\\n    --hash=sha256:1\n    # via b\nb==2 \\\n    --hash=sha256:2\nc==3 \\\n    --hash=sha256:3\n"
    assert tools.pick(lock, ("a", "c")) == "a==1 \\\n    --hash=sha256:1\n    # via b\nc==3 \\\n    --hash=sha256:3\n\n"
    with pytest.raises(tools.ToolsMissing, match="lacks d"):
        tools.pick(lock, ("a", "d"))
