"""The REST API as a function on AWS Lambda: ``interactions.api.aws_lambda.handler``.

See :mod:`interactions.aws_asgi`. Streams of events are refused with 501: one would be billed for as long as it
lasts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES

from interactions.api.app import NEEDED, create_api
from interactions.aws_asgi import Handler, load_settings, writing_metrics
from tonearm.redis.kept import connect_kept
from tonearm.settings import Settings

TEXT = [*DEFAULT_TEXT_MIME_TYPES, "application/problem+json"]


def make_handler(settings: Settings, clock: Callable[[], float] = time.time) -> Handler:
    """What Lambda calls with each event of a Function URL or an HTTP API. ``clock``: seconds since 1970."""
    app = create_api(settings, redis=connect_kept(settings.redis_url), clock=clock, stream_seconds=0)
    return writing_metrics(Mangum(app, lifespan="off", text_mime_types=TEXT))


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    handler = make_handler(load_settings(NEEDED))
