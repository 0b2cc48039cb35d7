"""`make cluster`: a line for each row, then the table.

The exit code: 1 a row failed, 2 there was no cluster to use, 3 this cluster could not show every row.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.cluster import leaving, releasing, standing, waking
from tests.cluster.ground import EXPLAINED, Ground, GroundMissing, bring_up, make, take_down
from tests.cluster.images import prepare
from tests.cluster.kube import NAMESPACE, TWIN, Kubectl, KubeError
from tests.cluster.load import Audience
from tests.cluster.rows import Failed, Scene, Stage, Table
from tests.cluster.system import System
from tonearm.child_logs import LogFolder

COLD_STARTS = 20
NOT_ALL = 3


async def violations(stage: Stage) -> str:
    """What the bot did in all this that a correct one never does."""
    found = [str(each["name"]) for each in await stage.system.twin.violations()]
    if found:
        raise Failed(", ".join(dict.fromkeys(found)))
    return "Discord's rules were kept by all of it"


ROWS: dict[str, tuple[str, Scene]] = {
    "running": ("all pods run", standing.all_running),
    "size": ("what our image adds to its base", standing.size),
    "hpa": ("autoscalers have readings", standing.autoscalers),
    "volumes": ("volumes survive a restart", standing.volumes),
    "strangers": ("strangers are kept out", standing.strangers),
    "play": ("/play is heard", leaving.play),
    "voice": ("voice nodes rolled, under load", leaving.voice_nodes_rolled),
    "rest": ("everything else rolled, under load", leaving.everything_else_rolled),
    "deleted": ("a voice node's pod deleted", leaving.voice_node_deleted),
    "drained": ("a node drained", leaving.node_drained),
    "migration": ("a migration, while all runs", releasing.migrated),
    "rollback": ("rollback of a release", releasing.rolled_back),
    "zero": ("from zero to an answer", waking.cold_starts),
    "violations": ("Discord's rules", violations),
}
NEEDED = ("play",)
"""Rows that the others stand on."""


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--row", choices=list(ROWS), action="append", help="only this one; may be given again")
    parser.add_argument("--cold-starts", type=int, default=COLD_STARTS, help="how many (default: %(default)s)")
    parser.add_argument("--dir", type=Path, default=Path("var/cluster"), help="where logs and results go")
    asked = parser.parse_args(argv)
    for made in ("logs", "overlay"):  # of the run before; what else may be in the folder is not ours
        shutil.rmtree(asked.dir / made, ignore_errors=True)
    asked.dir.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # in order, as after Ctrl-C
    environ: Mapping[str, str] = {}
    try:
        environ, notes = bring_up()
        with LogFolder(asked.dir / "logs") as log:
            kubectl = Kubectl(environ, log)
            ground = asyncio.run(_found(kubectl, environ, notes))
            table = Table(log)
            wanted = [name for name in ROWS if not asked.row or name in asked.row or name in NEEDED]
            asyncio.run(_interruptible(run(table, ground, kubectl, wanted, asked.cold_starts, asked.dir)))
    except (GroundMissing, KubeError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("cluster: interrupted; what was made is removed.", file=sys.stderr)
        return 1
    finally:
        take_down(environ.get("TONEARM_CLUSTER_DOWN"), environ)
    table.result.lines += [str(table), f"Images stand on {ground.base}.", *ground.notes]
    table.result.write(asked.dir)
    table.result.show(Console(highlight=False, width=None if sys.stdout.isatty() else 160))
    if not table.result.good:
        return 1
    return NOT_ALL if table.not_run else 0


async def _found(kubectl: Kubectl, environ: Mapping[str, str], notes: Sequence[str]) -> Ground:
    """The cluster, if there is one that nothing of ours is on.

    Raises:
        GroundMissing: there is none, or it lacks something.
    """
    try:
        context = (await kubectl.run("config", "current-context")).strip()
        await kubectl.run("get", "crd", "services.serving.knative.dev")
        there = (await kubectl.run("get", "namespaces", "-o", "name")).split()
    except (KubeError, OSError) as error:
        raise GroundMissing(f"{error}. See `python -m tests.cluster --help`.") from None
    for name in (NAMESPACE, TWIN):
        if f"namespace/{name}" in there:
            raise GroundMissing(f"namespace {name} of {context!r} is in use, and this would remove it.")
    return make(environ, notes, context)


async def _interruptible(all_of_it: Coroutine[Any, Any, None]) -> None:
    """SIGTERM ends it as Ctrl-C does: in order."""
    task = asyncio.ensure_future(all_of_it)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def run(
    table: Table, ground: Ground, kubectl: Kubectl, wanted: Sequence[str], cold_starts: int, folder: Path
) -> None:
    """Build, install, go through the rows, and remove everything."""
    began = time.monotonic()
    tags = await prepare(ground, kubectl)
    print(f"      {len(tags)} images are on the nodes after {time.monotonic() - began:.0f} s", flush=True)
    async with System(ground, kubectl, folder) as system:
        print(f"      installed after {time.monotonic() - began:.0f} s", flush=True)
        stage = Stage(system, Audience(system.twin), cold_starts)
        for name in wanted:
            title, scene = ROWS[name]
            await table.run(title, scene, stage)
    table.result.figures["seconds"] = round(time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
