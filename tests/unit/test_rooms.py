"""The borders that an import linter's list of forbidden modules cannot draw: what alone a package may import."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

PURE = {"tonearm.music", "tonearm.premium"}
ALLOWED = {"__future__", "msgspec", "tonearm.errors", "tonearm.sentences", "tonearm.wording"}
BELOW = {"tonearm.music": ("tonearm.premium",)}
"""Pure packages that a pure package stands on: what may be wished for depends on the plan."""
INPUT_AND_OUTPUT = {"asyncio", "http", "io", "os", "pathlib", "random", "socket", "subprocess", "threading", "time"}


def imports_of(file):
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield node.module


def is_allowed(module, package):
    top = module.partition(".")[0]
    if module in ALLOWED or any(f"{module}.".startswith(f"{own}.") for own in (package, *BELOW.get(package, ()))):
        return True
    return top in sys.stdlib_module_names and top not in INPUT_AND_OUTPUT


@pytest.mark.parametrize("package", sorted(name for name in PURE if importlib.util.find_spec(name)))
def test_what_the_music_and_the_plans_mean_needs_the_standard_library_and_msgspec_only(package):
    spec = importlib.util.find_spec(package)
    files = [file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py")]
    assert len(files) > 1
    bad = [(file.name, module) for file in files for module in imports_of(file) if not is_allowed(module, package)]
    assert bad == []


def test_the_command_line_imports_no_room():
    (spec,) = (importlib.util.find_spec("tonearm.cli"),)
    tops = {module.partition(".")[0] for module in imports_of(Path(spec.origin))}
    assert tops.isdisjoint({"interactions", "voice_nodes", "playground"})
