"""Writes interactions/api/openapi.json, which the API serves, from docs/api/openapi.yaml, or checks that it is that."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from openapi_spec_validator import validate

SOURCE = Path("docs/api/openapi.yaml")
SERVED = Path("interactions/api/openapi.json")


def main() -> int:
    """Returns the exit code; 1 when what is served is not what the source says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    document: dict[str, Any] = yaml.safe_load(SOURCE.read_text("utf-8"))
    validate(document)
    operations = sum(
        "operationId" in each for methods in document["paths"].values() for each in methods.values() if each
    )
    wanted = json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
    if asked.check:
        if not SERVED.exists() or SERVED.read_text("utf-8") != wanted:
            print(f"{SERVED} is not what {SOURCE} says: run `make api-document`.", file=sys.stderr)
            return 1
        print(f"{SOURCE} is valid OpenAPI {document['openapi']}, with {operations} operations.")
        return 0
    SERVED.write_text(wanted, "utf-8")
    print(f"{SERVED} was written: {operations} operations.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
