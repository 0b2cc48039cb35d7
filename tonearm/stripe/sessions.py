"""Checkout and portal sessions: pages at Stripe where somebody pays, or manages what was bought.

What comes of them is told by webhook: a subscription made here carries in its metadata the guild, ``guild_id``, and
the Discord user who pays, ``user_id``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import stripe

from tonearm.errors import Conflict, StripeAway
from tonearm.premium.plans import PlanId, Shelf, shelf
from tonearm.settings import Settings

TIMEOUT = 10.0
"""Seconds that a request may take where nobody gives it less."""


class StripeSessions:
    """Opens sessions. ``prices`` has Stripe's price of each plan; people come back to ``return_url``.

    ``secret_key`` gives the one that is live.

    Nothing is connected before it is needed, and nothing is tried twice: who asks again does so with the same
    idempotency key, for which Stripe opens one session.
    """

    def __init__(self, secret_key: Callable[[], str], *, api_url: str, prices: Shelf, return_url: str) -> None:
        self._prices = prices
        self._return_url = return_url
        self._secret_key = secret_key
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        self._client = stripe.StripeClient(
            secret_key(), base_addresses={"api": api_url}, http_client=self._http, max_network_retries=0
        )

    async def aclose(self) -> None:
        """Close what was opened."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    def sells(self, plan: PlanId) -> bool:
        """Whether ``plan`` has a price."""
        return self._prices.id_of(plan) is not None

    async def open_checkout(
        self, guild: int, user: int, plan: PlanId, *, trial_days: int, idempotency_key: str, within: float
    ) -> str:
        """The address of a page where ``user`` can subscribe ``guild`` to ``plan``, which is one that is sold.

        With ``trial_days`` the first payment is due after so many days. ``within`` is in seconds.

        Raises:
            Conflict: something else was asked for under ``idempotency_key``.
            StripeAway: Stripe doesn't answer in time, or refuses. The session may be open.
        """
        price = self._prices.id_of(plan)
        assert price is not None
        metadata = {"guild_id": str(guild), "user_id": str(user)}
        bought: stripe.params.checkout.SessionCreateParamsSubscriptionData = {"metadata": metadata}
        if trial_days:
            bought["trial_period_days"] = trial_days
        async with _asking(within):
            session = await self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "subscription",
                    "line_items": [{"price": price, "quantity": 1}],
                    "client_reference_id": str(guild),
                    "metadata": metadata,
                    "subscription_data": bought,
                    "success_url": self._return_url,
                    "cancel_url": self._return_url,
                },
                self._options(idempotency_key),
            )
        if not session.url:
            raise StripeAway("the checkout session has no address")
        return session.url

    async def open_portal(self, subscription: str, *, idempotency_key: str, within: float) -> str:
        """The address of a page where who pays for ``subscription`` manages it; it opens whoever has the address.

        Raises:
            Conflict: something else was asked for under ``idempotency_key``.
            StripeAway: Stripe doesn't answer in time, or refuses. The session may be open.
        """
        async with _asking(within):
            found = await self._client.v1.subscriptions.retrieve_async(subscription, options=self._options())
            customer = found.customer if isinstance(found.customer, str) else found.customer.id
            session = await self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer, "return_url": self._return_url}, self._options(idempotency_key)
            )
        return session.url

    def _options(self, idempotency_key: str | None = None) -> stripe.RequestOptions:
        options: stripe.RequestOptions = {"api_key": self._secret_key()}
        if idempotency_key is not None:
            options["idempotency_key"] = idempotency_key
        return options


@asynccontextmanager
async def open_sessions(settings: Settings) -> AsyncIterator[StripeSessions]:
    """As ``settings`` say, which set Stripe up."""
    sessions = StripeSessions(
        lambda: settings.stripe_secret_key,
        api_url=settings.stripe_api_url,
        prices=shelf(settings.stripe_prices),
        return_url=settings.stripe_return_url,
    )
    try:
        yield sessions
    finally:
        await sessions.aclose()


@asynccontextmanager
async def _asking(within: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except stripe.IdempotencyError as error:
        raise Conflict(str(error)) from error
    except (stripe.StripeError, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise StripeAway(f"{type(error).__name__}: {getattr(error, 'user_message', error)}") from error
