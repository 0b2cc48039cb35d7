"""infra/aws created in moto: a check of how it is wired. moto is no AWS: it makes of each resource what it knows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.lambda_check.rules import Template
from tests.support.aws import Moto

STACK = "tonearm-dev-stores"
CREATE_S = 60.0

UNFIT = (("Postgres", "DBParameterGroupName"),)
"""Resource and property at which moto 5.2 breaks: it takes the parameter group for its name."""

UNKNOWN = frozenset(
    (
        "AWS::CloudWatch::Alarm",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::ElastiCache::ParameterGroup",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::ElastiCache::SubnetGroup",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SecretsManager::RotationSchedule",
        "AWS::SecretsManager::Secret",
    )
)
"""Kinds of resources that moto leaves out of a stack without a word."""


async def create(moto: Moto, template: Template) -> dict[str, Any]:
    """The physical id of each of the stack's resources that moto made, by logical name.

    Raises:
        AssertionError: moto does not create it.
    """
    fitting = json.loads(json.dumps(template))
    for resource, property in UNFIT:
        del fitting["Resources"][resource]["Properties"][property]
    async with moto.client("ec2") as ec2, moto.client("cloudformation") as cloudformation:
        vpc = (await ec2.create_vpc(CidrBlock="10.0.0.0/16"))["Vpc"]["VpcId"]
        subnets = []
        for number, zone in enumerate(("eu-central-1a", "eu-central-1b")):
            made = await ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)
            subnets.append(made["Subnet"]["SubnetId"])
        given = {"VpcId": vpc, "PrivateSubnetIds": ",".join(subnets), "AlarmEmail": "operator@example.org"}
        await cloudformation.create_stack(
            StackName=STACK,
            TemplateBody=json.dumps(fitting),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        async with asyncio.timeout(CREATE_S):
            while True:
                (found,) = (await cloudformation.describe_stacks(StackName=STACK))["Stacks"]
                if not found["StackStatus"].endswith("_IN_PROGRESS"):
                    break
                await asyncio.sleep(0.1)
        assert found["StackStatus"] == "CREATE_COMPLETE", found
        listed = (await cloudformation.list_stack_resources(StackName=STACK))["StackResourceSummaries"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}


def wrongly_missing(template: Template, made: dict[str, Any]) -> list[str]:
    """What moto did not make, though it knows such resources."""
    return [name for name, each in template["Resources"].items() if name not in made and each["Type"] not in UNKNOWN]


async def who_reaches(moto: Moto, made: dict[str, Any], group: str) -> set[str]:
    """The logical names of the groups from which ``group`` takes connections, and every address from which it does."""
    names = {physical: logical for logical, physical in made.items()}
    async with moto.client("ec2") as ec2:
        (found,) = (await ec2.describe_security_groups(GroupIds=[made[group]]))["SecurityGroups"]
    pairs = [pair["GroupId"] for rule in found["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    ranges = [each["CidrIp"] for rule in found["IpPermissions"] for each in rule["IpRanges"]]
    return {names.get(each, each) for each in (*pairs, *ranges)}


async def database(moto: Moto, made: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL as moto has it."""
    async with moto.client("rds") as rds:
        (found,) = (await rds.describe_db_instances(DBInstanceIdentifier=made["Postgres"]))["DBInstances"]
    return dict(found)


async def without_lifecycle(moto: Moto, made: dict[str, Any]) -> bool:
    """Whether moto dropped the bucket's lifecycle."""
    async with moto.client("s3") as s3:
        try:
            await s3.get_bucket_lifecycle_configuration(Bucket=made["Bucket"])
        except s3.exceptions.ClientError:
            return True
    return False
