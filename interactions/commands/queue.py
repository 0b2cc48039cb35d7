"""/queue, and the buttons that turn its pages."""

from __future__ import annotations

from typing import Annotated

from interactions.commands.declare import Call, Click, Message, Option, button, command
from tonearm.discord.cards import PAGE_SIZE, first_of_page, queue_page
from tonearm.errors import Refused
from tonearm.music.player import MAX_QUEUE
from tonearm.sentences import Sentence

MAX_PAGE = MAX_QUEUE // PAGE_SIZE


@command("Show what is waiting.", private=True)
async def queue(call: Call, page: Annotated[int, Option("Which page.", least=1, most=MAX_PAGE)] = 1) -> Message:
    """One page of the queue."""
    return await _page(call, page)


@button("page", updates=True)
async def turn(click: Click) -> Message:
    """Another page, in the place of this one."""
    if not click.value.isdecimal() or not 1 <= int(click.value) <= MAX_PAGE:
        raise Refused(Sentence.OLD_BUTTON)
    return await _page(click, int(click.value))


async def _page(call: Call, page: int) -> Message:
    first = first_of_page(page)
    seen = await call.memory.fetch_queue(call.guild, first=first, most=PAGE_SIZE)
    return queue_page(seen.player, seen.length, seen.entries, first=first, now_ms=seen.now_ms)
