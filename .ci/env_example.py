"""Writes .env.example from the settings module, or checks that it is what would be written."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from written import write_or_check

from tonearm.settings import DECLARED, PREFIX, Setting

FILE = Path(__file__).resolve().parent.parent / ".env.example"
ASKED = ("discord_application_id", "discord_public_key", "discord_bot_token", "public_url")
"""What no default can say; `tonearm setup` finds it out and writes it."""
WIDTH = 110

HEAD = """\
# Copy to .env, which only you may read (chmod 600), and fill in the first two parts. Made by `make env-example` from
# what the program declares: `tonearm doctor --settings` explains the same.
"""
COMPOSE = """
# -- The servers of infra/compose.yaml. Passwords: openssl rand -hex 24

POSTGRES_PASSWORD=
VALKEY_PASSWORD=
LAVALINK_SERVER_PASSWORD=
GRAFANA_PASSWORD=

# Where the HTTP side and the API are reached on this machine, for a proxy of your own.
#HTTP_ADDRESS=127.0.0.1:8080
#API_ADDRESS=127.0.0.1:8081
# Voice nodes: one plays, the other stands by and takes over.
#VOICE_NODES=2
# What may be used of the memory: when Valkey's is full, new jobs are refused with a sentence.
#VALKEY_MEMORY=512mb
#LAVALINK_MEMORY=1g

# What Lavalink plays from besides SoundCloud, Bandcamp, Twitch, Vimeo and YouTube; infra/lavalink/application.yml
# says how.
#YOUTUBE_OAUTH_ENABLED=false
#YOUTUBE_REFRESH_TOKEN=
#SPOTIFY_ENABLED=false
#SPOTIFY_CLIENT_ID=
#SPOTIFY_CLIENT_SECRET=
#APPLE_MUSIC_ENABLED=false
#APPLE_MUSIC_TOKEN=
#DEEZER_ENABLED=false
#DEEZER_MASTER_KEY=
#DEEZER_ARL=
#MUSIC_COUNTRY=US
#LAVALINK_HTTP_SOURCE=false

# The way to the bucket TONEARM_S3_BUCKET: Amazon's S3, or with an endpoint another one.
#AWS_DEFAULT_REGION=
#AWS_ENDPOINT_URL=
#AWS_ACCESS_KEY_ID=
#AWS_SECRET_ACCESS_KEY=

# Where traces go with TONEARM_TRACES=1, what is sent along (a key, as name=value), and how many: one in ten here.
#OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
#OTEL_EXPORTER_OTLP_HEADERS=
#OTEL_TRACES_SAMPLER=parentbased_traceidratio
#OTEL_TRACES_SAMPLER_ARG=0.1
"""
OURS = "\n# -- Your application at Discord; `tonearm setup` writes these\n"
OTHERS = """
# -- Everything else, with what it is when nothing is said. infra/compose.yaml says itself where its servers are.
"""


def main() -> int:
    """1 when the file is not fresh."""
    return write_or_check(
        FILE, render(), description=__doc__, stale="the settings module declares: run `make env-example`."
    )


def render() -> str:
    """The content of the file."""
    declared = {setting.name: setting for setting in DECLARED}
    asked = "".join(_entry(declared[name], "") for name in ASKED)
    others = "".join(_entry(setting, "#") for name, setting in declared.items() if name not in ASKED)
    return HEAD + OURS + asked + COMPOSE + OTHERS + others


def _entry(setting: Setting, mark: str) -> str:
    text = f"{setting.help} Secret." if setting.secret else setting.help
    meaning = textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return f"\n{meaning}\n{mark}{PREFIX}{setting.name.upper()}={setting.default}\n"


if __name__ == "__main__":
    sys.exit(main())
