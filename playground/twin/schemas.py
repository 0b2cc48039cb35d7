"""Request bodies against Discord's published OpenAPI document, where it is at hand.

The folder named by the environment variable ``TONEARM_GROUND_TRUTH`` holds it as ``discord-openapi.json``. Without
the folder, or without the package ``jsonschema-rs``, only the twin's own rules are checked.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from playground.twin.errors import Problem
from playground.twin.model import Json

log = logging.getLogger(__name__)

VARIABLE = "TONEARM_GROUND_TRUTH"

_RESPONSES = {
    1: "PongInteractionCallbackRequest",
    4: "CreateMessageInteractionCallbackRequest",
    5: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
    9: "ModalInteractionCallbackRequest",
}


class Schemas:
    """Validators, compiled when first needed."""

    def __init__(self, folder: Path | None) -> None:
        """Read the document in ``folder``; None means that nothing is checked."""
        self._document: Json = {}
        self._rust: Any = None
        self._compiled: dict[str, Any] = {}
        if folder is None:
            return
        try:
            self._rust = importlib.import_module("jsonschema_rs")
            self._document = json.loads((folder / "discord-openapi.json").read_text())
        except (ImportError, OSError) as error:
            log.warning("request bodies are not checked against Discord's document: %s", error)

    @classmethod
    def from_environment(cls) -> Schemas:
        """Return the validators for the folder the environment names."""
        folder = os.environ.get(VARIABLE)
        return cls(Path(folder) if folder else None)

    @property
    def active(self) -> bool:
        """Whether bodies are checked at all."""
        return bool(self._document)

    def request(self, method: str, route: str, body: Any) -> list[Problem]:
        """Return what is wrong with a request's body; ``route`` is the path template of Discord's document."""
        if not self._document:
            return []
        operation = self._document["paths"].get(route, {}).get(method.lower())
        if operation is None:
            return []
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return []
        return self._problems(f"{method} {route}", content["application/json"]["schema"], body)

    def response(self, body: Json) -> list[Problem]:
        """Return what is wrong with an answer to an interaction."""
        name = _RESPONSES.get(body.get("type", 0))
        if not self._document or name is None:
            return []
        return self._problems(name, {"$ref": f"#/components/schemas/{name}"}, body)

    def _problems(self, key: str, schema: Json, body: Any) -> list[Problem]:
        validator = self._compiled.get(key)
        if validator is None:
            root = {"allOf": [schema], "components": self._document["components"]}
            validator = self._compiled[key] = self._rust.Draft202012Validator(root)
        return [
            Problem(tuple(error.instance_path), "SCHEMA", error.message[:300]) for error in validator.iter_errors(body)
        ]
