"""Signatures: against RFC 8032, against a second implementation, and against garbage."""

import random

import pytest
from discord_interactions import verify_key
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from interactions.discord import verify
from interactions.discord.verify import NEWEST_S, OLDEST_S, Verifier

NOW = 1_764_000_000
KEY = SigningKey(bytes(range(32)))

RFC_8032 = [  # section 7.1: secret key, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.fixture
def verifier():
    return Verifier((bytes(KEY.verify_key),), clock=lambda: NOW)


def signed(body, timestamp=str(NOW), key=KEY):
    return key.sign(timestamp.encode() + body).signature.hex().encode(), timestamp.encode(), body


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032(secret, public, message, signature):
    opened = bytes.fromhex(signature + message)
    assert verify._opens(opened, bytes.fromhex(public))
    assert not verify._opens(bytes([opened[0] ^ 1]) + opened[1:], bytes.fromhex(public))
    assert SigningKey(bytes.fromhex(secret)).verify_key.encode().hex() == public


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_keys_of_rfc_8032_sign_requests(secret, public, message, signature):
    key = SigningKey(bytes.fromhex(secret))
    verifier = Verifier((bytes.fromhex(public),), clock=lambda: NOW)
    assert verifier(*signed(b"{}", key=key))
    assert not verifier(*signed(b"{}"))


@pytest.mark.parametrize(
    ("age", "good"), [(OLDEST_S, True), (OLDEST_S + 1, False), (-NEWEST_S, True), (-NEWEST_S - 1, False), (0, True)]
)
def test_only_what_was_signed_just_now(verifier, age, good):
    assert verifier(*signed(b"{}", str(NOW - age))) is good


def test_several_keys_while_one_is_rotated():
    other = SigningKey.generate()
    both = Verifier((bytes(other.verify_key), bytes(KEY.verify_key)), clock=lambda: NOW)
    assert both(*signed(b"{}"))
    assert both(*signed(b"{}", key=other))
    assert not both(*signed(b"{}", key=SigningKey.generate()))


@pytest.mark.parametrize("keys", [(), (b"short",)])
def test_without_a_key_nothing_can_be_verified(keys):
    with pytest.raises(ValueError, match="public key"):
        Verifier(keys)


@pytest.mark.parametrize(
    "timestamp",
    ["", " 1764000000", "+1764000000", "1764000000.0", "1_764_000_000", "１７６４０００００００", "9" * 5_000],
)
def test_a_timestamp_is_digits_and_nothing_else(verifier, timestamp):
    assert not verifier(*signed(b"{}", timestamp))


def test_a_second_implementation_says_the_same_of_a_thousand_requests(verifier, capsys):
    """Seeded; half of them are mutated in the signature, the timestamp or the body."""
    choose = random.Random(8032)
    public = KEY.verify_key.encode().hex()
    said = []
    for _ in range(1_000):
        signature, timestamp, body = signed(choose.randbytes(choose.randrange(300)), str(NOW - choose.randrange(300)))
        match choose.randrange(8):
            case 0:
                flipped = bytearray.fromhex(signature.decode())
                flipped[choose.randrange(64)] ^= 1 << choose.randrange(8)
                signature = flipped.hex().encode()
            case 1:
                timestamp = str(int(timestamp) - 1).encode()
            case 2:
                body += b"x"
            case 3:
                signature = signature[: choose.randrange(128)]
        ours = verifier(signature, timestamp, body)
        assert ours is verify_key(body, signature.decode(), timestamp.decode(), public)
        said.append(ours)
    assert 400 < sum(said) < 600
    assert "Signature was forged or corrupt" in capsys.readouterr().out


@given(
    signature=st.none() | st.binary(max_size=200) | st.text("0123456789abcdefAF g", min_size=128, max_size=128),
    timestamp=st.none() | st.binary(max_size=40) | st.integers(NOW - 300, NOW + 30).map(lambda n: str(n).encode()),
    body=st.binary(),
)
def test_garbage_is_refused_without_a_word(signature, timestamp, body):
    verifier = Verifier((bytes(KEY.verify_key),), clock=lambda: NOW)
    if isinstance(signature, str):
        signature = signature.encode()
    assert verifier(signature, timestamp, body) is False
