"""Which of Lavalink's filters this node has, and what becomes of a request for one.

https://lavalink.dev/api/rest.html (Filters). lavaplayer itself has an equaliser and a volume; the others are in a
library (lavadsp) that is not part of it. They are refused by name rather than accepted and not heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SUPPORTED = ("volume", "equalizer")
LACKING = ("karaoke", "timescale", "tremolo", "vibrato", "distortion", "rotation", "channelMix", "lowPass")
BANDS = 15


class FilterError(ValueError):
    """A filter that can't be applied; the message is a sentence for the client."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters that can be applied, and `echo`, what the player's JSON shows for them."""

    volume: float = 1.0
    gains: Mapping[int, float] = field(default_factory=dict)
    echo: Mapping[str, object] = field(default_factory=dict)

    @property
    def equalizes(self) -> bool:
        """Whether any band is bent: if none is, Opus can pass through without being decoded."""
        return any(gain != 0 for gain in self.gains.values())


def parse(body: Mapping[str, object]) -> Filters:
    """Judge the `filters` object of a player update. Raises FilterError for what it lacks or what makes no sense."""
    given = {name: value for name, value in body.items() if value is not None and value != {}}
    lacking = [name for name in given if name not in SUPPORTED]
    if lacking:
        raise FilterError(
            f"This audio node lacks these filters: {', '.join(sorted(lacking))}. It has: {', '.join(SUPPORTED)}."
        )
    echo: dict[str, object] = {}
    volume = 1.0
    if "volume" in given:
        volume = _number(given["volume"], "volume", 0.0, 5.0)
        echo["volume"] = volume
    gains: dict[int, float] = {}
    if "equalizer" in given:
        gains = _equalizer(given["equalizer"])
        echo["equalizer"] = [{"band": band, "gain": gain} for band, gain in gains.items()]
    return Filters(volume, gains, echo)


def _equalizer(bands: object) -> dict[int, float]:
    if not isinstance(bands, list):
        raise FilterError("equalizer must be a list of bands")
    gains: dict[int, float] = {}
    for entry in bands:
        if not isinstance(entry, dict):
            raise FilterError("an equalizer band must be an object with band and gain")
        band = entry.get("band")
        if not isinstance(band, int) or isinstance(band, bool) or not 0 <= band < BANDS:
            raise FilterError(f"equalizer band must be a whole number from 0 to {BANDS - 1}")
        gains[band] = _number(entry.get("gain", 0.0), "equalizer gain", -0.25, 1.0)
    return gains


def _number(value: object, what: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise FilterError(f"{what} must be a number from {least} to {most}")
    return float(value)
