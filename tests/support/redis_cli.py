"""As much of ``redis-cli`` as the backup's script uses, where there is none: ``-h HOST -p PORT role | --rdb FILE``.

A snapshot is what the server sends to a replica (Redis' documentation, *Replication*, and SYNC).
"""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import BinaryIO

TIMEOUT = 20


def main() -> int:
    """Do one of the two."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", required=True)
    parser.add_argument("-p", dest="port", type=int, required=True)
    parser.add_argument("--rdb", type=Path)
    parser.add_argument("command", nargs="?")
    asked = parser.parse_args()
    with socket.create_connection((asked.host, asked.port), TIMEOUT) as connection:
        if asked.rdb is not None:
            connection.sendall(b"SYNC\r\n")
            asked.rdb.write_bytes(snapshot(connection.makefile("rb")))
        elif asked.command == "role":
            connection.sendall(b"ROLE\r\n")
            stream = connection.makefile("rb")
            stream.readline(), stream.readline()
            print(stream.readline().decode().strip())
        else:
            return 2
    return 0


def snapshot(stream: BinaryIO) -> bytes:
    """The bulk that answers SYNC: of a known length, or up to a mark. Line feeds before it mean patience."""
    while (head := stream.readline()) == b"\n":
        pass
    assert head.startswith(b"$"), head
    if not head.startswith(b"$EOF:"):
        return stream.read(int(head[1:]))
    mark, content = head.strip().removeprefix(b"$EOF:"), b""
    while not content.endswith(mark):
        content += stream.read1(65536)  # type: ignore[attr-defined]
    return content.removesuffix(mark)


if __name__ == "__main__":
    sys.exit(main())
