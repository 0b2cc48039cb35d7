"""What one guild plays under, as its actor sees it: the plan and the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tonearm.cache import Terms, TermsCache
from tonearm.music.guild_settings import GuildSettings
from tonearm.premium.plans import Feature
from tonearm.redis.guilds import KEPT_HISTORY


class GuildTerms:
    """The terms of ``guild`` as they were last seen. Without ``cache`` it has what holds for all."""

    def __init__(self, guild: int, cache: TermsCache | None, now_ms: Callable[[], int]) -> None:
        self._guild = guild
        self._cache = cache
        self._now_ms = now_ms
        self._terms = Terms()

    async def refresh(self) -> None:
        """See what they are now. Something that is away never stops the music."""
        if self._cache is not None:
            self._terms = await self._cache.fetch(self._guild)

    @property
    def settings(self) -> GuildSettings:
        """What the guild has set."""
        return self._terms.settings

    @property
    def kept_history(self) -> int:
        """Tracks that are remembered."""
        if not self._terms.known:
            return KEPT_HISTORY
        return self._terms.access(self._now_ms()).plan.limit(Feature.HISTORY_LENGTH)

    @property
    def judge_again_ms(self) -> int | None:
        """When time alone makes another plan of it."""
        at = self._terms.access(self._now_ms()).judge_again_at
        return None if at is None else int(at.timestamp() * 1000) + 1

    def for_scene(self) -> dict[str, Any]:
        """Plan and settings as a scene has them."""
        terms = self._terms
        return {
            "plan": terms.access(self._now_ms()).plan,
            "plan_known": terms.known,
            "settings": terms.settings,
        }
