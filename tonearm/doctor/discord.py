"""What ``tonearm doctor`` looks at in Discord."""

from __future__ import annotations

from tonearm.discord.rest import RestClient
from tonearm.doctor.finding import TIMEOUT, Finding
from tonearm.errors import DiscordAway, DiscordError
from tonearm.settings import PREFIX, Settings


async def examine(settings: Settings) -> list[Finding]:
    """Every check of the application at Discord."""
    try:
        async with RestClient(settings.discord_api_url, bot_token=settings.discord_bot_token) as rest:
            application = await rest.fetch_application(timeout=TIMEOUT)
    except DiscordAway as error:
        return [Finding("Discord", f"does not answer ({error.detail})", f"Check {PREFIX}DISCORD_API_URL.")]
    except DiscordError as error:
        return [Finding("Discord", str(error), f"Check {PREFIX}DISCORD_BOT_TOKEN.")]
    findings = [Finding("Discord", f"application {application['name']}")]
    if settings.discord_application_id and int(application["id"]) != settings.discord_application_id:
        remedy = f"Set {PREFIX}DISCORD_APPLICATION_ID to {application['id']}."
        findings.append(Finding("Application id", str(settings.discord_application_id), remedy))
    if settings.discord_public_key and bytes.fromhex(application["verify_key"]) not in settings.discord_public_key:
        remedy = f"Set {PREFIX}DISCORD_PUBLIC_KEY to the one in Discord's developer portal."
        findings.append(Finding("Public key", "is not this application's", remedy))
    return findings
