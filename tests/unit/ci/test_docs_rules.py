"""Every rule for the pages finds what is broken on purpose, and passes what is right."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import docs_diagrams
import docs_kubernetes
import docs_links
import docs_pages
import docs_queries
import docs_readme
import docs_words
import pytest
from docs_pages import Page, read

Write = Callable[..., Page]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Makes a page of a text."""

    def made(text: str, name: str = "page.md") -> Page:
        path = tmp_path / name
        path.write_text(text)
        return read(path)

    return made


# Pages.


def test_headings_are_anchors_as_github_makes_them(write: Write) -> None:
    page = write('# A `/play`, heard\n\n## Where it runs\n\n## Where it runs\n\n<a id="by-hand"></a>\n')
    assert page.anchors == {"a-play-heard", "where-it-runs", "where-it-runs-1", "by-hand"}


def test_code_is_found_in_blocks_tables_and_lines(write: Write) -> None:
    page = write("`one`\n\n```sh\ntwo\n```\n\n| a |\n|---|\n| `three` |\n\n    four\n")
    assert [code.strip() for code in page.codes] == ["one", "two", "three", "four"]


def test_pages_of_others_are_left_out(tmp_path: Path) -> None:
    for name in ("README.md", "docs/a.md", "var/tools/b.md", ".venv/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# x\n")
    assert [page.path.name for page in docs_pages.pages(tmp_path)] == ["README.md", "a.md"]


# Links.


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("other.md", ""),
        ("other.md#here", ""),
        ("#top", ""),
        ("https://example.com/a#b", ""),
        ("gone.md", "is not there"),
        ("other.md#gone", "names no heading"),
        ("#gone", "names no heading"),
        ("http://nowhere", "is no address"),
        ("htp://example.com", "is no address"),
    ],
)
def test_links(write: Write, link: str, said: str) -> None:
    write("# Here\n", "other.md")
    found = list(docs_links.dead([write(f"# Top\n\n[x]({link})\n")]))
    assert found == ([f"page.md: {link} {said}"] if said else [])


def test_pictures_are_links_too(write: Write) -> None:
    assert list(docs_links.dead([write("![x](gone.png)\n")])) == ["page.md: gone.png is not there"]


# Words.


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("targets of make", "make demo ARGS=--once", "make demos"),
        ("targets of make", "cd x && make test", "cd x && make tests"),
        ("commands of tonearm, with parts and options", "tonearm jobs dead --shard 3", "tonearm job dead"),
        ("commands of tonearm, with parts and options", "tonearm jobs dead --shard 3", "tonearm jobs buried"),
        ("commands of tonearm, with parts and options", "tonearm jobs dead --shard 3", "tonearm jobs dead --shards"),
        ("commands of tonearm, with parts and options", "x -- tonearm doctor --brief | cat", "x -- tonearm doktor"),
        ("modules for python -m", "python -m playground.stripe --price p", "python -m playground.paypal"),
        ("settings", "TONEARM_SHARD_COUNT=1", "TONEARM_SHARDS=1"),
        ("files", "k8s/base/hpa.yaml", "k8s/base/hpas.yaml"),
        ("files", "apply -k k8s/overlays/plain", "apply -k k8s/overlays/plane"),
        ("metrics", "rate(tonearm_job_seconds_bucket[5m])", "rate(tonearm_job_second_bucket[5m])"),
        (
            "words that are looked for in logs",
            "kubectl -n discord-bot logs job/migrate | grep -E 'Shard (taken|lost)'",
            "kubectl -n discord-bot logs job/migrate | grep -E 'A round failed|A round fell'",
        ),
        ("metrics", "tonearm:answers_bad:ratio1h > 0", "tonearm:answers_bad:ratio2h > 0"),
    ],
)
def test_words(write: Write, rule: str, right: str, wrong: str) -> None:
    find = docs_words.RULES[rule]
    assert list(find(write(f"`{right}`\n"))) == []
    assert list(find(write(f"`{wrong}`\n"))) != []
    assert list(find(write(f"```sh\n{wrong}\n```\n"))) != []
    assert list(find(write(f"{wrong}\n"))) == []  # what is not set as code is nobody's to type


def test_the_runbook_and_the_alerts_name_each_other(write: Write, tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yml"
    rules.write_text("groups: [{rules: [\n- alert: RedisDown\n- alert: RedisFull\n]}]")
    page = write("## RedisDown\n\n## Where to look\n\n## RedisGone\n")
    assert list(docs_words.unexplained(rules, page)) == ["RedisFull has no section", "RedisGone is no alert"]


# Kubernetes.


@pytest.mark.parametrize(
    "line",
    [
        "kubectl -n discord-bot get pods,hpa",
        "kubectl -n discord-bot rollout restart deployment interactions api",
        "kubectl -n discord-bot rollout restart deployment",
        "kubectl -n discord-bot exec deployment/worker -- tonearm jobs dead",
        "kubectl -n discord-bot create job --from=cronjob/backup-redis x && kubectl -n discord-bot logs job/x",
        "kubectl -n discord-bot create configmap mine --from-literal=a=b; kubectl -n discord-bot delete configmap mine",
        "kubectl apply -k k8s/overlays/plain",
        "kubectl -n knative-serving patch configmap config-network",
        "kubectl -n discord-bot edit secret redis tonearm      # both",
    ],
)
def test_what_kubectl_may_be_told(write: Write, line: str) -> None:
    assert list(docs_kubernetes.unknown(write(f"```sh\n{line}\n```\n"))) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("kubectl -n discord-bot rollout restart deployment interactions apis", "kubectl Deployment apis"),
        ("kubectl -n discord-bot exec deployment/workers -- tonearm jobs dead", "kubectl Deployment workers"),
        ("kubectl -n discord-bot create job --from=cronjob/backup-valkey try-it", "kubectl CronJob backup-valkey"),
        ("kubectl -n discord-bot logs job/try-it", "kubectl Job try-it"),
        ("kubectl -n discord-bot delete hpa \\\n  postgres", "kubectl HorizontalPodAutoscaler postgres"),
        ("kubectl apply -k k8s/overlays/plane", "kubectl k8s/overlays/plane"),
    ],
)
def test_what_kubectl_may_not_be_told(write: Write, line: str, found: str) -> None:
    assert list(docs_kubernetes.unknown(write(f"```sh\n{line}\n```\n"))) == [found]


# Queries.


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_queries(write: Write) -> None:
    page = write("```promql\nsum(up)\nsum(up\n\nrate(up)\n```\n")
    assert docs_queries.wrong([page]) == ["page.md: sum(up", "page.md: rate(up)"]


# Diagrams.


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the diagrams ``one`` and ``two``, in the place of ours."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.mmd").write_text(f"flowchart\n    {name}\n")
    monkeypatch.setattr(docs_diagrams, "DIAGRAMS", tmp_path)
    return tmp_path


def test_diagrams_are_written_into_the_page(drawn: Path) -> None:
    page = drawn / "page.md"
    page.write_text("# x\n\n<!-- diagrams/one.mmd -->\n\nbetween\n\n<!-- diagrams/two.mmd -->\n```mermaid\nold\n```\n")
    assert list(docs_diagrams.unlike(page)) == ["page.md shows something else than the files: make diagrams"]
    page.write_text(docs_diagrams.with_diagrams(page.read_text()))
    assert list(docs_diagrams.unlike(page)) == []
    assert "```mermaid\nflowchart\n    one\n```\n\nbetween" in page.read_text()
    assert "old" not in page.read_text()


def test_a_diagram_that_is_not_shown_is_found(drawn: Path) -> None:
    page = drawn / "page.md"
    page.write_text(docs_diagrams.with_diagrams("<!-- diagrams/one.mmd -->\n"))
    assert list(docs_diagrams.unlike(page)) == ["two.mmd is not shown"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ('shift 3; while [ $1 != --output ]; do shift; done; echo "<svg></svg>" > $2', []),
        ('echo "Parse error on line 3:" >&2; exit 1', ["one.mmd: Parse error on line 3:"]),
        (
            'shift 3; while [ $1 != --output ]; do shift; done; echo "<svg aria-roledescription=\\"error\\">" > $2',
            ["one.mmd is drawn as an error"],
        ),
        ("exit 0", ["one.mmd: "]),
    ],
)
def test_a_broken_diagram_is_told_of(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: list[str]
) -> None:
    cli = tmp_path / "node_modules/.bin/mmdc"
    cli.parent.mkdir(parents=True)
    cli.write_text(f"#!/bin/sh\n{program}\n")
    cli.chmod(cli.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(docs_diagrams, "TOOLS", tmp_path)
    assert docs_diagrams.render("chromium", [drawn / "one.mmd"], tmp_path) == said


def test_without_chromium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(docs_diagrams.ToolsMissing, match="apt install chromium"):
        docs_diagrams.prepare()


# The README.


def test_the_first_commands_are_read() -> None:
    assert docs_readme.first_commands(
        "# x\n\n```console\n$ make demo   # all\nout\n$ make test\n```\n\n```console\n$ no\n```"
    ) == [
        "make demo",
        "make test",
    ]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of which the first screen is `make demo`; what that does is in its Makefile."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "README.md").write_text("```console\n$ make demo  # all\n```\n")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    monkeypatch.setattr(docs_readme, "ROOT", root)
    return root


def commit(root: Path, recipe: str) -> None:
    (root / "Makefile").write_text(f"demo:\n\t@{recipe}\n")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run(["git", *who, "commit", "--quiet", "--message", "One"], cwd=root, check=True)


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("echo $(ARGS) All was heard.", ""),
        ("echo nothing", "did not say 'All was heard.'"),
        ("echo broken; exit 3", "ended with 2: broken"),
        ("cat /dev/zero > /dev/null", "was not done"),
    ],
)
def test_the_first_commands_are_run_in_a_clone(checkout: Path, recipe: str, said: str) -> None:
    commit(checkout, recipe)
    ((_, cloned), (command, problem)) = docs_readme.failures(within=3.0)
    assert (cloned, command) == ("", "make demo ARGS=--once")
    assert problem.startswith(said)
    assert bool(problem) == bool(said)
