"""AWS Secrets Manager as a source of settings: one secret, a JSON object of settings by their names.

By botocore, on which aioboto3 stands: a process reads its settings before it has an event loop.
"""

from __future__ import annotations

import botocore.session
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tonearm.errors import SettingsError

_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_decode = msgspec.json.Decoder(dict[str, str]).decode


def fetch_secret(id: str) -> dict[str, str]:
    """What the current version of the secret ``id`` (its name or ARN) says. It blocks, for at most 22 seconds.

    Raises:
        SettingsError: it can't be read, or is no JSON object of texts. The sentence shows nothing of it.
    """
    try:
        client = botocore.session.get_session().create_client("secretsmanager", config=_CONFIG)
        try:
            answer = client.get_secret_value(SecretId=id)
        finally:
            client.close()
    except ClientError as error:
        raise SettingsError(f"TONEARM_SECRETS can't be read: {error.response['Error']['Code']}.") from None
    except BotoCoreError as error:
        raise SettingsError(f"TONEARM_SECRETS can't be read: {type(error).__name__}.") from None
    try:
        return _decode(answer.get("SecretString") or b"")
    except msgspec.DecodeError:
        raise SettingsError("TONEARM_SECRETS must hold a JSON object of settings, each a text.") from None
