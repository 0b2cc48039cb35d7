"""All settings: environment variables ``TONEARM_<NAME>``, each declared, explained and checked here, nowhere else."""

from __future__ import annotations

from tonearm.settings.declared import DECLARED, Setting, Settings
from tonearm.settings.loading import PREFIX, explain, load
from tonearm.settings.parsing import LavalinkNode

__all__ = ["DECLARED", "PREFIX", "LavalinkNode", "Setting", "Settings", "explain", "load"]
