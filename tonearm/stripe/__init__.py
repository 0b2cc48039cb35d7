"""The adapter to Stripe: checkout and portal sessions, and the signatures of its webhooks.

The official library is slow to import, so these modules are imported only where Stripe is set up.
"""

from tonearm.settings import Settings


def sells_by_card(settings: Settings) -> bool:
    """Whether Stripe is set up."""
    return bool(settings.stripe_secret_key and settings.stripe_prices and settings.stripe_return_url)
