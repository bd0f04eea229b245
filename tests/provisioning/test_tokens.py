"""Tokens of gateways."""

from __future__ import annotations

from provisioning.tokens import hash_token, is_token, mint_token


def test_token_is_known_again_by_its_hash_alone() -> None:
    token = mint_token()
    stored = hash_token(token)
    assert token not in stored
    assert is_token(token, stored)


def test_other_token_is_refused() -> None:
    assert not is_token(mint_token(), hash_token(mint_token()))
    assert not is_token("", hash_token(mint_token()))


def test_tokens_hold_at_least_128_bits_and_differ() -> None:
    tokens = {mint_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 32 octets in base 64


def test_any_text_is_refused_and_never_an_error() -> None:
    stored = hash_token(mint_token())
    assert not any(is_token(text, stored) for text in ("é", "令牌", "\ud800", "\0", stored))
    assert not is_token("é", "é")
