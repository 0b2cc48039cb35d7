"""``python -m tests.chaos.patient COMMAND``: Tonearm, whose jobs may wait longer than any fault of a run lasts.

What it accepts must then be done: that it was too late is no excuse. A setting for it would be of use to nobody else.
"""

import sys

from tonearm.jobs import job

VALID_MS = 600_000
"""Shorter than an interaction's token lives, so that each may still be answered."""


def main() -> int:
    """Before anything is imported that takes the product's own deadlines over."""
    job.PLAY_VALID_MS = job.CONTROL_VALID_MS = VALID_MS
    from tonearm import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
