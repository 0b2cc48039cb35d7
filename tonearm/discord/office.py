"""How the answers to errands look: the plan and the settings of a guild. Pure: values in, the body of a message out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tonearm.discord.components import (
    PRIMARY,
    Component,
    Message,
    button,
    container,
    custom_id,
    line,
    message,
    row,
    text,
)
from tonearm.discord.text import count
from tonearm.music.guild_settings import GuildSettings
from tonearm.premium.buying import SELLERS
from tonearm.premium.grants import Access, Source
from tonearm.premium.plans import PLANS, SWITCHES, Feature, Plan, Shelf
from tonearm.premium.states import State

PREMIUM_COLOUR = 0xF2C94C
SETTINGS_COLOUR = 0x5865F2

SELECT = 3
LINK, PREMIUM = 5, 6
"""Styles of a button."""

NOTHING_SOLD = Shelf()

VOLUMES = (25, 50, 75, 100, 125, 150, 175, 200)
"""Per cent: what there is to choose from."""

FEATURES: dict[Feature, str] = {
    Feature.QUEUE_LENGTH: "tracks in the queue",
    Feature.VOLUME: "% volume",
    Feature.HISTORY_LENGTH: "tracks of history",
    Feature.ALWAYS_ON: "24/7",
}
"""What is shown of a plan: what there is by now."""

STATES = {
    State.NONE: "",
    State.TRIALING: "trial",
    State.ACTIVE: "active",
    State.PAST_DUE: "the payment is late",
    State.CANCELING: "canceled",
    State.EXPIRED: "ended",
}


def plan_message(
    access: Access, *, trial: bool, shelf: Shelf, prices: Shelf = NOTHING_SOLD, user: int | None = None
) -> Message:
    """What a guild has, and how to get more. ``trial``: it may have one, and so may ``user``, who looks at it.

    ``shelf`` has Discord's SKUs, and ``prices`` those of Stripe. A premium button holds nothing but its SKU; its click
    sends no interaction.
    """
    plan, grant = access.plan, access.grant
    state = f" ({STATES[access.state]})" if STATES[access.state] else ""
    head = f"### This server's plan: {plan.name}{state}"
    if grant is not None and grant.until is not None:
        head += f"\n{'Access ends' if _ends(access) else 'Paid until'} {_day(grant.ends_at or grant.until)}."
    parts: list[Component] = [text(head), line(), *(text(_plan(each, each is plan)) for each in PLANS.values())]
    buttons = _buttons(plan, trial=trial, shelf=shelf)
    if grant is None or grant.source not in SELLERS:
        buttons += _subscribe_buttons(plan, prices)
    if grant is not None and grant.source is Source.DISCORD:
        parts.append(text("-# It is managed in Discord: User Settings, Subscriptions, by who pays for it."))
    if grant is not None and grant.source is Source.STRIPE:
        if prices.items and grant.payer == f"discord:{user}":
            buttons = [button("manage", "open", "Manage")]
        else:
            buttons = []
            parts.append(text("-# It is paid by card, and managed by who pays for it."))
    body = message(container(PREMIUM_COLOUR, *parts))
    if buttons:
        body["components"].append(row(buttons[:5]))
    return body


def subscribe_message(plan: Plan, url: str, *, trial_days: int) -> Message:
    """Where ``plan`` can be paid by card: ``url``, which is for the caller only."""
    first = f"The first {trial_days} days are free." if trial_days else "The first month is paid at once."
    said = f"### {plan.name} for this server{_price(plan)}\n{first} You can cancel at any time, here with `/premium`."
    return _linked(said, "Subscribe", url)


def portal_message(url: str) -> Message:
    """Where what is paid by card can be changed: ``url``, which is for the caller only."""
    return _linked("### Your subscription for this server\nThe link works for a few minutes.", "Manage", url)


def settings_message(settings: GuildSettings) -> Message:
    """What a guild has set, with selects and a button that change it."""
    lines = (
        "### Settings of this server",
        f"**Volume** of a new player: {settings.default_volume} %",
        f"**I leave** after {settings.alone_seconds // 60} min alone, {settings.idle_seconds // 60} min with nothing "
        "playing",
        f"**24/7**: {_on(settings.always_on)}",
        f"**I say why I left**: {_on(settings.announcements)}",
    )
    volumes = [_choice(f"Volume {each} %", str(each), each == settings.default_volume) for each in VOLUMES]
    switches = [
        _choice("24/7: stay in the channel", "always_on", settings.always_on),
        _choice("Say why I left", "announcements", settings.announcements),
    ]
    body = message(container(SETTINGS_COLOUR, text("\n".join(lines))))
    body["components"] += [
        row([_select("setvolume", "Volume of a new player", volumes, least=1, most=1)]),
        row([_select("setswitch", "What is on", switches, least=0, most=2)]),
        row([button("setleaving", "form", "When I leave …", style=PRIMARY)]),
    ]
    return body


def always_on_message(settings: GuildSettings) -> Message:
    """What 24/7 was set to, told to all: what it means for them."""
    if settings.always_on:
        return message(container(SETTINGS_COLOUR, text("🌙 24/7 is on: I stay, even alone or with nothing to play.")))
    after = f"{_span(settings.alone_seconds)} alone, or {_span(settings.idle_seconds)} with nothing playing"
    return message(container(SETTINGS_COLOUR, text(f"🌙 24/7 is off: I leave after {after}.")))


def _buttons(plan: Plan, *, trial: bool, shelf: Shelf) -> list[Component]:
    better = [each for each in PLANS.values() if each.id.rank > plan.id.rank]
    made: list[Component] = [button("trial", "start", "Start the trial", style=PRIMARY)] if trial and better else []
    skus = [sku for each in better if (sku := shelf.id_of(each.id)) is not None]
    return made + [{"type": 2, "style": PREMIUM, "sku_id": sku} for sku in skus]


def _subscribe_buttons(plan: Plan, prices: Shelf) -> list[Component]:
    better = [each for each in PLANS.values() if each.id.rank > plan.id.rank and prices.id_of(each.id)]
    return [button("subscribe", each.id, f"{each.name} by card") for each in better]


def _linked(said: str, label: str, url: str) -> Message:
    body = message(container(PREMIUM_COLOUR, text(said)))
    body["components"].append(row([{"type": 2, "style": LINK, "label": label, "url": url}]))
    return body


def _plan(plan: Plan, current: bool) -> str:
    said = [
        label if feature in SWITCHES else f"{plan.limit(feature):,} {label}".replace(" %", " %")
        for feature, label in FEATURES.items()
        if plan.limit(feature)
    ]
    return f"**{plan.name}**{' (yours)' if current else ''}{_price(plan)}\n{', '.join(said)}"


def _price(plan: Plan) -> str:
    return f" · {plan.price.amount / 100:.2f} {plan.price.currency.upper()} a month" if plan.price else ""


def _ends(access: Access) -> bool:
    return access.state in (State.TRIALING, State.CANCELING)


def _day(moment: datetime) -> str:
    """In the reader's own zone (Discord's documentation, *Message Formatting*)."""
    return f"<t:{int(moment.timestamp())}:f>"


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds % 60 else count(seconds // 60, "minute")


def _on(value: bool) -> str:
    return "on" if value else "off"


def _choice(label: str, value: str, chosen: bool) -> Component:
    return {"label": label, "value": value, "default": chosen}


def _select(action: str, placeholder: str, options: Sequence[Component], *, least: int, most: int) -> Component:
    return {
        "type": SELECT,
        "custom_id": custom_id(action, "choose"),
        "placeholder": placeholder,
        "options": list(options),
        "min_values": least,
        "max_values": most,
    }
