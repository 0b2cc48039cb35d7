"""A package whose modules can be imported before it is."""

import subprocess
import sys

import pytest

from tonearm.late_import import import_late

PACKAGE = {
    "__init__.py": "print('all of it')\nfrom slow.inside import said as told\nfrom slow import other\n",
    "inside.py": "said = 'inside'\n",
    "other.py": "from slow import inside\nsaid = inside.said\n",
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "slow").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "slow" / name).write_text(text)

    def run(code: str) -> str:
        start = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom tonearm.late_import import *\n"
        return subprocess.run(
            [sys.executable, "-c", start + code], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    return run


def test_a_module_inside_is_imported_without_the_rest(run):
    assert run("import_late('slow')\nfrom slow.inside import said\nprint(said)") == "inside\n"


def test_the_rest_is_imported_once_when_a_name_of_it_is_asked_for(run):
    asked = "print('first')\nprint(slow.told, slow.other.said, slow.told)"
    assert run(f"import_late('slow')\nimport slow.inside\n{asked}") == "first\nall of it\ninside inside inside\n"


def test_a_name_that_it_does_not_have_is_missed_as_ever(run):
    assert (
        run("import_late('slow')\nimport slow\nprint(hasattr(slow, 'nothing'), slow.told)")
        == "all of it\nFalse inside\n"
    )


def test_all_of_it_is_imported_in_its_own_order(run, tmp_path):
    # As redis-py's modules do: the second finds in the first what is there by then only if the package began with it.
    (tmp_path / "slow" / "__init__.py").write_text("from slow.first import said\nfrom slow.second import told\n")
    (tmp_path / "slow" / "first.py").write_text("said = 'first'\nfrom slow.second import told\n")
    (tmp_path / "slow" / "second.py").write_text("from slow import inside, first\ntold = first.said + inside.said\n")
    assert run("import_late('slow')\nimport_whole('slow')\nimport slow.second\nprint(slow.told)") == "firstinside\n"


def test_all_of_it_that_is_imported_already_is_not_imported_again(run):
    assert run("import slow\nimport_whole('slow')\nprint(slow.told)") == "all of it\ninside\n"
    whole = "import_late('slow')\nimport_whole('slow')\nimport_whole('slow')\nimport slow\nprint(slow.told)"
    assert run(whole) == "all of it\ninside\n"


def test_what_is_imported_already_stays(run):
    assert run("import slow\nimport_late('slow')\nprint(slow.told)") == "all of it\ninside\n"


def test_a_package_that_is_not_there_is_missed_at_once():
    with pytest.raises(ModuleNotFoundError, match="tonearm_nothing"):
        import_late("tonearm_nothing")
