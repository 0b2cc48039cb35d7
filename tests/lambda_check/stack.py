"""infra/aws created in moto: a check of how it is wired. moto is no AWS: it makes of each resource what it knows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.lambda_check.rules import Template
from tests.support.aws import Moto

STACK = "tonearm-dev-stores"
CREATE_S = 60.0


async def create(moto: Moto, body: str) -> dict[str, Any]:
    """The stack's resources as moto has them, by logical name, and its outputs as ``Outputs``.

    Raises:
        AssertionError: moto does not create it.
    """
    async with moto.client("ec2") as ec2, moto.client("cloudformation") as cloudformation:
        vpc = (await ec2.create_vpc(CidrBlock="10.0.0.0/16"))["Vpc"]["VpcId"]
        subnets = []
        for number, zone in enumerate(("eu-central-1a", "eu-central-1b")):
            made = await ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)
            subnets.append(made["Subnet"]["SubnetId"])
        given = {"VpcId": vpc, "PrivateSubnetIds": ",".join(subnets), "AlarmEmail": "operator@example.org"}
        await cloudformation.create_stack(
            StackName=STACK,
            TemplateBody=body,
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
        outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed} | {"Outputs": outputs}


async def dropped(moto: Moto, template: Template, made: dict[str, Any]) -> list[str]:
    """What moto does not make of the template: resources that it ignores, and properties that we ask it for."""
    lost = [f"{each['Type']} ({name})" for name, each in template["Resources"].items() if not made.get(name)]
    async with moto.client("s3") as s3:
        bucket = made["Bucket"]
        for property, ask in (
            ("lifecycle", s3.get_bucket_lifecycle_configuration),
            ("encryption", s3.get_bucket_encryption),
            ("block of public access", s3.get_public_access_block),
        ):
            try:
                await ask(Bucket=bucket)
            except s3.exceptions.ClientError:
                lost.append(f"the bucket's {property}")
    return lost


async def settings_in_secret(moto: Moto, made: dict[str, Any]) -> dict[str, str]:
    """What the settings' secret says."""
    async with moto.client("secretsmanager") as manager:
        answer = await manager.get_secret_value(SecretId=made["Outputs"]["SettingsArn"])
    found: dict[str, str] = json.loads(answer["SecretString"])
    return found
