"""`make lambda-check`: a line for each check. The exit code is 1 when one failed, and 2 when tools could not be had."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from cfnlint.decode import decode
from lambda_archive import (
    BUILT,
    FUNCTIONS,
    PYTHON,
    ROOT,
    THIS,
    NotBuilt,
    archive,
    collected,
    describe,
    find_python,
    unpacked,
)

from tests.lambda_check import scenes, stack, times
from tests.lambda_check.emulated import Content
from tests.lambda_check.rules import RULES, Template
from tests.lambda_check.scenes import Check
from tests.lambda_check.tools import ToolsMissing, package, prepare
from tests.support.aws import running_moto

STORES = ROOT / "infra/aws/stores.yaml"
STAGES = ("dev", "prod")
EXPECTED_OF_LINT = ("W3005",)
"""What osls makes, and is no fault: a dependency named twice."""
IMPORT_S = 60


def main() -> int:
    """Print a line for each check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=None, help=f"a Python {PYTHON}; without it one is looked for")
    parser.add_argument("--processes", type=int, default=7, help="fresh processes for each time that is measured")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument(
        "--only-times", action="store_true", help="on a machine where nothing else runs: promise 2 in milliseconds"
    )
    asked = parser.parse_args()
    began = time.monotonic()
    try:
        python = find_python(asked.python)
    except NotBuilt as error:
        print(f"Skipped: {error}")
        return 0
    try:
        prepare()
        print(f"      tools are there after {time.monotonic() - began:.0f} s", flush=True)
        failed, total = asyncio.run(run(python, asked.processes, asked.core, only_times=asked.only_times))
    except (ToolsMissing, NotBuilt) as error:
        print(f"lambda-check: {error}", file=sys.stderr)
        return 2
    print(f"{total - failed} of {total} checks passed in {time.monotonic() - began:.0f} s.")
    return 1 if failed else 0


async def run(python: Path, processes: int, core: int, *, only_times: bool) -> tuple[int, int]:
    """How many checks failed, and how many there were."""
    failed = total = 0
    with TemporaryDirectory(prefix="tonearm-lambda-") as name:
        began = time.monotonic()
        async for what, good, said in checks(python, Path(name), processes, core, only_times=only_times):
            total += 1
            failed += not good
            took = time.monotonic() - began
            print(f"{'ok   ' if good else 'FAIL '} {took:5.1f} s  {what}" + (f": {said}" if said else ""), flush=True)
            began = time.monotonic()
    return failed, total


async def checks(python: Path, folder: Path, processes: int, core: int, *, only_times: bool) -> AsyncIterator[Check]:
    """All of them, one after the other."""
    contents = {each.name: Content(unpacked(each, python, THIS), each.handler, python) for each in FUNCTIONS[:1]}
    if not only_times:
        for check in archives(python, contents):
            yield check
        for check in templates():
            yield check
        for each in ("play",):
            (folder / each).mkdir()
        async for check in scenes.play(contents["interactions"], folder / "play"):
            yield check
        async for check in wiring():
            yield check
    (folder / "valkey").mkdir()
    try:
        async for check in times.measure(
            contents["interactions"], folder / "valkey", rounds=processes, core=core, quiet=only_times
        ):
            yield check
    except Exception as error:
        yield "times", False, repr(error)
    load = os.getloadavg()[0]
    yield "the machine", True, f"load {load:.1f} on {os.cpu_count()} cores; a figure holds where nothing else runs"


def archives(python: Path, contents: Mapping[str, Content]) -> Iterator[Check]:
    """They can be made, always alike, are small enough, and what is in them can be imported."""
    for function in FUNCTIONS:
        try:
            made = archive(function, python)
        except NotBuilt as error:
            yield f"the archive of {function.name}", False, str(error)
            continue
        first = made.read_bytes()
        yield f"the archive of {function.name}", True, describe(function, made)
        if function is FUNCTIONS[0]:
            yield "made again, it is the same", archive(function, python).read_bytes() == first, ""
        folder = contents[function.name].folder if function.name in contents else collected(function, THIS)
        yield f"{function.handler} is there", *imports(function.handler, folder, python)


def imports(handler: str, folder: Path, python: Path) -> tuple[bool, str]:
    """Whether a handler can be imported with nothing but what is in the archive."""
    module, _, name = handler.rpartition(".")
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "tonearm-check",
        "TONEARM_DISCORD_APPLICATION_ID": "1",
        "TONEARM_DISCORD_PUBLIC_KEY": "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "TONEARM_REDIS_URL": "redis://127.0.0.1:1",
        "TONEARM_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "TONEARM_S3_BUCKET": "bucket",
        "TONEARM_STRIPE_WEBHOOK_SECRETS": "whsec_none",
    }
    code = f"import {module} as it, interactions.discord.handling, interactions.commands as c; c.catalogue(); it.{name}"
    done = subprocess.run(
        [python, "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=IMPORT_S,
    )
    return done.returncode == 0, done.stderr.strip()[-2000:]


def templates() -> Iterator[Check]:
    """cfn-lint and our own rules, on what osls makes and on what is below."""
    made = {"stores": STORES}
    for stage in STAGES:
        began = time.monotonic()
        try:
            made[stage] = package(BUILT / f"package-{stage}", stage)["functions"]
        except ToolsMissing as error:
            yield f"osls package --stage {stage}", False, str(error)
            continue
        yield f"osls package --stage {stage}, offline", True, f"{time.monotonic() - began:.1f} s"
    lint = Path(sys.executable).with_name("cfn-lint")
    ignored = [word for each in EXPECTED_OF_LINT for word in ("--ignore-checks", each)]
    paths = [word for path in made.values() for word in ("-t", str(path))]
    done = subprocess.run(
        [lint, "--regions", "eu-central-1", *ignored, *paths], capture_output=True, text=True, timeout=IMPORT_S
    )
    yield f"cfn-lint: {', '.join(made)}", done.returncode == 0, done.stdout.strip()
    parsed: dict[str, Template] = {name: decode(str(path))[0] for name, path in made.items()}
    for rule, problems in RULES.items():
        found = [f"{name}: {problem}" for name, template in parsed.items() for problem in problems(template)]
        yield rule, not found, "; ".join(found)


async def wiring() -> AsyncIterator[Check]:
    """The stack, created in moto."""
    template = decode(str(STORES))[0]
    async with running_moto() as moto:
        try:
            made = await stack.create(moto, template)
        except Exception as error:
            yield "infra/aws in moto", False, repr(error)
            return
        missing = stack.wrongly_missing(template, made)
        kinds = ", ".join(sorted(each.removeprefix("AWS::") for each in stack.UNKNOWN))
        said = f"{len(made)} of {len(template['Resources'])} resources; moto drops every {kinds}"
        if await stack.without_lifecycle(moto, made):
            said += ", the bucket's lifecycle, and PostgreSQL's protection from deletion"
        yield "infra/aws in moto", not missing, f"not made: {', '.join(missing)}" if missing else said
        reached = (
            await stack.who_reaches(moto, made, "PostgresGroup"),
            await stack.who_reaches(moto, made, "ValkeyGroup"),
        )
        right = reached == ({"ApiGroup", "ClientGroup"}, {"InteractionsGroup", "ApiGroup", "ClientGroup"})
        yield "only who needs a store reaches it", right, "" if right else repr(reached)
        postgres = await stack.database(moto, made)
        good = (
            postgres["StorageEncrypted"]
            and not postgres["PubliclyAccessible"]
            and postgres["BackupRetentionPeriod"] == 14
        )
        yield "PostgreSQL is encrypted, private and backed up", bool(good), "" if good else repr(postgres)


if __name__ == "__main__":
    sys.exit(main())
