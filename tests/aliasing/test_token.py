import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import RING

from aliasing.address import Address
from aliasing.token import (
    ACTION_CHARS,
    TOKEN_CHARS,
    Action,
    KeyRing,
    KeyRingError,
    OpenedAction,
    OpenedAlias,
    Role,
    decode,
    encode,
    open_alias,
)

NUMBERS = st.integers(0, 2**64 - 1)


@given(NUMBERS, st.sampled_from(Role))
def test_what_was_sealed_opens_and_only_so(number: int, role: Role) -> None:
    token = RING.seal(role, "relay.example", number)
    assert len(token) == TOKEN_CHARS
    assert token == RING.seal(role, "relay.example", number)
    assert RING.open(role, "relay.example", token) == number
    for other in Role:
        if other is not role:
            assert RING.open(other, "relay.example", token) is None
    assert RING.open(role, "other.example", token) is None


@given(st.data(), NUMBERS)
def test_a_token_with_one_character_changed_is_forged(data: st.DataObject, number: int) -> None:
    token = RING.seal(Role.BUYER, "relay.example", number)
    at = data.draw(st.integers(0, TOKEN_CHARS - 1))
    char = data.draw(st.sampled_from([one for one in "0123456789abcdefghjkmnpqrstvwxyz" if one != token[at]]))
    assert RING.open(Role.BUYER, "relay.example", token[:at] + char + token[at + 1 :]) is None


def test_reading_is_forgiving_as_crockford_asks() -> None:
    token = RING.seal(Role.BUYER, "relay.example", 7)
    spelt = token.replace("0", "o").replace("1", "l").upper()
    assert RING.open(Role.BUYER, "relay.example", spelt + "+shop") == 7


def test_the_alias_of_these_keys_never_changes() -> None:
    # an alias is in people's address books: this value may not change with the code
    assert RING.seal(Role.BUYER, "relay.example", 7) == "2e2sc4d5kd3ysckxxstccfjygwfgycyx86wfkrh"


def test_rotation_keeps_old_aliases_and_seals_new_ones_with_the_new_key() -> None:
    old = RING.seal(Role.BUYER, "relay.example", 7)
    turned = KeyRing({**RING.secrets, 2: bytes(32)})
    assert turned.open(Role.BUYER, "relay.example", old) == 7
    assert turned.seal(Role.BUYER, "relay.example", 7, key_id=1) == old
    new = turned.seal(Role.BUYER, "relay.example", 7)
    assert new != old
    assert RING.open(Role.BUYER, "relay.example", new) is None


def test_an_alias_says_whom_it_stands_for() -> None:
    token = RING.seal(Role.SELLER, "relay.example", 9)
    assert open_alias(RING, Address.parse(f"{token}@relay.example")) == OpenedAlias(Role.SELLER, 9)
    assert open_alias(RING, Address.parse("postmaster@relay.example")) is None


def test_an_empty_ring_and_an_unknown_key_are_errors() -> None:
    with pytest.raises(KeyRingError):
        KeyRing({})
    with pytest.raises(KeyRingError):
        RING.seal(Role.BUYER, "relay.example", 7, key_id=9)


@given(st.binary(min_size=24, max_size=24))
def test_base32_has_one_spelling(data: bytes) -> None:
    assert decode(encode(data), len(data)) == data


@given(st.text(max_size=60))
def test_anything_else_is_no_token(text: str) -> None:
    assert RING.open(Role.BUYER, "relay.example", text) is None


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("actor", [Role.BUYER, Role.SELLER])
def test_a_link_is_no_action_address_and_the_other_way_round(action: Action, actor: Role) -> None:
    what = OpenedAction(action, actor, 7, "0123456789abcdef")
    link, local = RING.seal_link(what, 1), RING.seal_action(what, "relay.example", 1)
    assert len(link) == len(local) == ACTION_CHARS
    assert RING.open_link(link) == RING.open_link(link.upper()) == RING.open_action("relay.example", local) == what
    assert RING.open_link(local) is RING.open_action("relay.example", link) is None
    for at in (0, 30, 55):
        assert RING.open_link(link[:at] + ("7" if link[at] != "7" else "8") + link[at + 1 :]) is None
    assert KeyRing({2: bytes(32)}).open_link(link) is None
