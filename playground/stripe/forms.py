"""What Stripe is sent: form-encoded, nested by brackets (its documentation, *API reference*), and what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stripe.params.billing_portal import SessionCreateParams as PortalParams
from stripe.params.checkout import SessionCreateParams as CheckoutParams
from stripe.params.checkout import SessionCreateParamsSubscriptionData as SubscriptionData

_NAME = re.compile(r"^(\w+)((?:\[\w*\])*)$")


class Wrong(Exception):
    """A request that Stripe refuses; ``param`` is what is wrong with it, ``code`` Stripe's word for that."""

    def __init__(self, message: str, *, param: str = "", code: str = "", status: int = 400, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.error = {
            "type": kind or "invalid_request_error",
            "message": message,
            **({"param": param} if param else {}),
            **({"code": code} if code else {}),
        }


def decode(body: bytes) -> dict[str, Any]:
    """The parameters; lists are dictionaries by index.

    Raises:
        Wrong: it can't be read.
    """
    found: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body)):
        match = _NAME.match(name)
        if match is None:
            raise Wrong(f"Invalid parameter name: {name}", param=name)
        path = [match[1], *re.findall(r"\[(\w*)\]", match[2])]
        place = found
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    return found


def check_checkout(given: Mapping[str, Any], prices: frozenset[str]) -> None:
    """What a checkout session in subscription mode needs.

    Raises:
        Wrong: it lacks it, or has what Stripe does not know.
    """
    _known(given, CheckoutParams, "")
    _require(given, "mode", "line_items", "success_url")
    if given["mode"] != "subscription":
        raise Wrong("Only subscriptions are sold here.", param="mode")
    for index, item in given["line_items"].items():
        if item.get("price") not in prices:
            raise Wrong(
                f"No such price: '{item.get('price')}'", param=f"line_items[{index}][price]", code="resource_missing"
            )
        if not str(item.get("quantity", "")).isdecimal():
            raise Wrong("Quantity is required.", param=f"line_items[{index}][quantity]")
    for name in ("success_url", "cancel_url"):
        _check_url(given, name)
    reference = given.get("client_reference_id", "x")
    if not re.fullmatch(r"[\w-]{1,200}", reference):
        raise Wrong("Invalid client_reference_id.", param="client_reference_id")
    data = given.get("subscription_data", {})
    _known(data, SubscriptionData, "subscription_data")
    days = data.get("trial_period_days", "1")
    if not (days.isdecimal() and 1 <= int(days) <= 730):
        raise Wrong("The trial must be from 1 to 730 days.", param="subscription_data[trial_period_days]")
    for metadata in (given.get("metadata", {}), data.get("metadata", {})):
        if len(metadata) > 50 or any(len(key) > 40 or len(value) > 500 for key, value in metadata.items()):
            raise Wrong("Metadata has at most 50 keys of 40 characters, with 500 each.", param="metadata")


def check_portal(given: Mapping[str, Any], customers: frozenset[str]) -> None:
    """What a portal session needs.

    Raises:
        Wrong: it lacks it, or has what Stripe does not know.
    """
    _known(given, PortalParams, "")
    _require(given, "customer")
    if given["customer"] not in customers:
        raise Wrong(f"No such customer: '{given['customer']}'", param="customer", code="resource_missing")
    _check_url(given, "return_url")


def _known(given: Mapping[str, Any], params: type, where: str) -> None:
    for name in given:
        if name not in params.__annotations__:
            param = f"{where}[{name}]" if where else name
            raise Wrong(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")


def _require(given: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not given.get(name):
            raise Wrong(f"Missing required param: {name}.", param=name, code="parameter_missing")


def _check_url(given: Mapping[str, Any], name: str) -> None:
    if name in given and urlsplit(given[name]).scheme not in ("http", "https"):
        raise Wrong("Not a valid URL", param=name, code="url_invalid")
