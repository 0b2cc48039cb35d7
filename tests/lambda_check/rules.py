"""What must hold of a parsed CloudFormation template. Each rule yields problems, and none where all is well."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from tonearm.aws.emf import NAMESPACE, ONLY_FIELDS
from tonearm.telemetry.declaring import CATALOGUE

Template = dict[str, Any]
Properties = dict[str, Any]

WITHOUT_RESOURCES = frozenset(
    f"ec2:{action}"
    for action in (
        "CreateNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "DeleteNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
    )
)
"""Actions for Lambda's network interfaces (AWS Lambda, *Giving functions access to a VPC*); these know none."""

OPEN_OUT = frozenset((443,))
"""Ports to which connections may go anywhere."""


def of_kind(template: Template, kind: str) -> Iterator[tuple[str, Properties]]:
    """Name and properties of each resource of a kind."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def closed(template: Template) -> Iterator[str]:
    """No security group takes connections from an address, or lets more out than HTTPS."""
    for name, group in of_kind(template, "AWS::EC2::SecurityGroup"):
        if not group.get("SecurityGroupEgress"):
            yield f"{name}: without a rule for what goes out, all does"
        for rule in group.get("SecurityGroupIngress", []):
            yield from _open_in(name, rule)
        for rule in group.get("SecurityGroupEgress", []):
            yield from _open_out(name, rule)
    for name, rule in of_kind(template, "AWS::EC2::SecurityGroupIngress"):
        yield from _open_in(name, rule)
    for name, rule in of_kind(template, "AWS::EC2::SecurityGroupEgress"):
        yield from _open_out(name, rule)


def _open_in(name: str, rule: Properties) -> Iterator[str]:
    if "SourceSecurityGroupId" not in rule or rule.get("IpProtocol") in ("-1", -1):
        yield f"{name}: takes connections from more than a group of ours"


def _open_out(name: str, rule: Properties) -> Iterator[str]:
    address = rule.get("CidrIp", rule.get("CidrIpv6"))
    if address is None or (isinstance(address, str) and ipaddress.ip_network(address).is_loopback):
        return
    if rule.get("FromPort") != rule.get("ToPort") or rule.get("FromPort") not in OPEN_OUT:
        yield f"{name}: lets connections to anywhere out that are not HTTPS"


def encrypted(template: Template) -> Iterator[str]:
    """What is stored is encrypted, and so is the way to it."""
    for name, bucket in of_kind(template, "AWS::S3::Bucket"):
        if not bucket.get("BucketEncryption"):
            yield f"{name}: is not encrypted"
    for name, group in of_kind(template, "AWS::ElastiCache::ReplicationGroup"):
        for wanted in ("TransitEncryptionEnabled", "AtRestEncryptionEnabled", "AuthToken"):
            if not group.get(wanted):
                yield f"{name}: without {wanted}"
    settings = dict(of_kind(template, "AWS::RDS::DBParameterGroup"))
    for name, database in of_kind(template, "AWS::RDS::DBInstance"):
        if database.get("StorageEncrypted") is not True:
            yield f"{name}: is not encrypted"
        parameters = settings.get(_referred(database.get("DBParameterGroupName")), {}).get("Parameters", {})
        if str(parameters.get("rds.force_ssl")) != "1":
            yield f"{name}: takes connections without TLS"
    for name, topic in of_kind(template, "AWS::SNS::Topic"):
        if not topic.get("KmsMasterKeyId"):
            yield f"{name}: is not encrypted"


def kept(template: Template) -> Iterator[str]:
    """Nothing is thrown away that must last: no eviction, backups, and no store deleted with its stack."""
    settings = dict(of_kind(template, "AWS::ElastiCache::ParameterGroup"))
    for name, group in of_kind(template, "AWS::ElastiCache::ReplicationGroup"):
        properties = settings.get(_referred(group.get("CacheParameterGroupName")), {}).get("Properties", {})
        if properties.get("maxmemory-policy") != "noeviction":
            yield f"{name}: is not noeviction"
        if not group.get("SnapshotRetentionLimit"):
            yield f"{name}: has no snapshots"
    for name, database in of_kind(template, "AWS::RDS::DBInstance"):
        if not database.get("BackupRetentionPeriod") or not database.get("DeletionProtection"):
            yield f"{name}: has no backups, or can be deleted"
        if database.get("PubliclyAccessible") is not False:
            yield f"{name}: is public"
    for name, resource in template["Resources"].items():
        if resource["Type"] not in ("AWS::ElastiCache::ReplicationGroup", "AWS::RDS::DBInstance"):
            continue
        if {resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")} != {"Snapshot"}:
            yield f"{name}: is deleted with its stack"


def buckets(template: Template) -> Iterator[str]:
    """No bucket is public, and none that we fill keeps things for good."""
    for name, bucket in of_kind(template, "AWS::S3::Bucket"):
        block = bucket.get("PublicAccessBlockConfiguration", {})
        wanted = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        if not all(block.get(each) is True for each in wanted):
            yield f"{name}: can be made public"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        ends = {rule.get("Prefix") for rule in rules if rule.get("ExpirationInDays") and rule["Status"] == "Enabled"}
        if name != "ServerlessDeploymentBucket" and not {"exports/", "imports/", "dead-letters/"} <= ends:
            yield f"{name}: keeps something for good"


def least(template: Template) -> Iterator[str]:
    """Roles name what they may do, and with what."""
    for name, role in of_kind(template, "AWS::IAM::Role"):
        if role.get("ManagedPolicyArns"):
            yield f"{name}: has policies of others"
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield from _wide(f"{name}, {policy['PolicyName']}", statement)
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for name, policy in of_kind(template, kind):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield from _wide(name, statement)


def _wide(name: str, statement: Properties) -> Iterator[str]:
    actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
    if statement["Effect"] != "Allow":
        return
    for action in actions:
        if "*" in action:
            yield f"{name}: allows {action}"
    if not actions or not resources:
        yield f"{name}: allows all but something"
    if any(_is_all(each) for each in resources) and not set(actions) <= WITHOUT_RESOURCES:
        yield f"{name}: is for all resources"


def _is_all(resource: Any) -> bool:
    """Whether it is everything, or everything of a kind."""
    text = resource.get("Fn::Sub") if isinstance(resource, dict) else resource
    return isinstance(text, str) and re.search(r"(^|:)\*$", text) is not None


def functions(template: Template) -> Iterator[str]:
    """Functions run where they were built for, are bounded, and their logs end."""
    logs = {str(log.get("LogGroupName")): log for _, log in of_kind(template, "AWS::Logs::LogGroup")}
    for name, function in of_kind(template, "AWS::Lambda::Function"):
        if function.get("Runtime") != "python3.12" or function.get("Architectures") != ["arm64"]:
            yield f"{name}: is not built for where it runs"
        if "VpcConfig" in function and not function.get("ReservedConcurrentExecutions"):
            yield f"{name}: may take all of the account's concurrency"
    for name, log in logs.items():
        if not log.get("RetentionInDays"):
            yield f"{name}: is kept for good"


def rotated(template: Template) -> Iterator[str]:
    """The settings are rotated."""
    scheduled = {
        _referred(each.get("SecretId")) for _, each in of_kind(template, "AWS::SecretsManager::RotationSchedule")
    }
    for name, secret in of_kind(template, "AWS::SecretsManager::Secret"):
        if "SecretString" in secret and name not in scheduled:
            yield f"{name}: is never rotated"


def watched(template: Template) -> Iterator[str]:
    """Each store and each function that answers has an alarm, and alarms tell somebody."""
    alarms = dict(of_kind(template, "AWS::CloudWatch::Alarm"))
    seen = {_referred(each["Value"]) for alarm in alarms.values() for each in alarm.get("Dimensions", [])}
    for kind in ("AWS::ElastiCache::ReplicationGroup", "AWS::RDS::DBInstance", "AWS::Lambda::Function"):
        for name, _ in of_kind(template, kind):
            if name not in seen:
                yield f"{name}: nobody is told when it fails"
    for name, alarm in alarms.items():
        if not alarm.get("AlarmActions"):
            yield f"{name}: tells nobody"


def counted(template: Template) -> Iterator[str]:
    """An alarm on a metric of ours names one that a function writes, as it writes it."""
    for name, alarm in of_kind(template, "AWS::CloudWatch::Alarm"):
        if alarm["Namespace"] != NAMESPACE:
            continue
        metric = CATALOGUE.get(alarm["MetricName"])
        if metric is None or not {"interactions", "api"} & set(metric.processes):
            yield f"{name}: no function counts {alarm['MetricName']}"
            continue
        dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
        if dimensions.keys() != set(metric.labels) - ONLY_FIELDS:
            yield f"{name}: {metric.name} has other dimensions"
        if strange := [value for value in dimensions.values() if value not in re.findall(r"\w+", metric.help)]:
            yield f"{name}: {metric.name} is never {', '.join(strange)}"


def _referred(value: Any) -> str:
    return str(value.get("Ref", "")) if isinstance(value, dict) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


RULES = {
    "no security group is open": closed,
    "what is stored is encrypted, and the way to it": encrypted,
    "nothing is lost: noeviction, backups, deletion": kept,
    "buckets are private, and have a lifecycle": buckets,
    "roles name what they may do, and with what": least,
    "functions run where they were built for, and their logs end": functions,
    "the settings are rotated": rotated,
    "stores and functions have alarms": watched,
    "alarms on metrics of ours are on such that there are": counted,
}
