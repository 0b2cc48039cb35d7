"""A double of Stripe: its API as far as Tonearm calls it, its two pages, and webhooks signed like Stripe's.

It takes no money. What Tonearm sends is checked against what Stripe documents, by names that its own library knows.
"""
