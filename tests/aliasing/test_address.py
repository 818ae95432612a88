import pytest

from aliasing.address import Address, AddressError, single_mailbox


@pytest.mark.parametrize(("text", "shown"), [
    ("ana@correo.example", "ana@correo.example"),
    ("Ana.Lopez+tag@Correo.EXAMPLE", "Ana.Lopez+tag@correo.example"),
    ("josé@correo.example", "josé@correo.example"),
    ("ana@münchen.example", "ana@xn--mnchen-3ya.example"),
    ("ana@XN--MNCHEN-3YA.example", "ana@xn--mnchen-3ya.example"),
    ('"ana lopez"@correo.example', '"ana lopez"@correo.example'),
    ('"ana"@correo.example', "ana@correo.example"),
    ('"a@b"@correo.example', '"a@b"@correo.example'),
    ("ana@[192.0.2.1]", "ana@[192.0.2.1]"),
    ("ana@[ipv6:2001:DB8::1]", "ana@[IPv6:2001:db8::1]"),
])
def test_addresses_are_normalised(text: str, shown: str) -> None:
    assert str(Address.parse(text)) == shown
    assert Address.parse(shown) == Address.parse(text)


@pytest.mark.parametrize("text", [
    "", "ana", "@correo.example", "ana@", "ana@localhost", "a b@correo.example", "ana@correo..example",
    ".ana@correo.example", "ana.@correo.example", "a..b@correo.example", "ana@-x.example", "ana@x_y.example",
    "ana@correo.example\n", "ana\x00@correo.example", "ana@correo.example>", "Ana <ana@correo.example>",
    "a\u200bna@correo.example", "x" * 65 + "@correo.example", "ana@" + "x" * 64 + ".example", "ana@xn--a.example",
])
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert "correo" not in str(caught.value)


def test_one_mailbox_however_it_is_spelt() -> None:
    assert Address.parse("ANA@correo.example") == Address.parse("ana@CORREO.example")
    assert len({Address.parse("José@x.example"), Address.parse("josé@x.example")}) == 1
    assert Address.parse("ana@x.example") != Address.parse("ana+1@x.example")


def test_a_repr_tells_no_address() -> None:
    assert "ana" not in repr(Address.parse("ana@correo.example"))


@pytest.mark.parametrize(("value", "address"), [
    ("Sol <sol@x.example>", "sol@x.example"),
    ("sol@x.example", "sol@x.example"),
    ('"a@b.example, d" <sol@x.example>', "sol@x.example"),
    ("sol@x.example <sol@x.example>", "sol@x.example"),
    ("Sol, Inc <sol@x.example>", "sol@x.example"),
    ("sol@x.example (Sol)", "sol@x.example"),
    ('"<evil@y.example>" <sol@x.example>', "sol@x.example"),
    ("=?utf-8?q?evil=40y=2Eexample?= <sol@x.example>", "sol@x.example"),
    ("evil@y.example <sol@x.example>", None),
    ("evil@y.example, sol@x.example", None),
    ("Sol <sol@x.example>, Evil <evil@y.example>", None),
    ("group: <sol@x.example>;", None),
    ("<<sol@x.example>>", "sol@x.example"),
    ("", None),
])
def test_the_one_mailbox_of_a_from(value: str, address: str | None) -> None:
    found = single_mailbox(value)
    assert (str(found) if found else None) == address


def test_a_from_of_escaped_quotes_costs_nothing_and_names_nobody() -> None:
    import time

    begun = time.process_time()
    for value in ('"' + '\\"' * 45_000, '"' + '\\"' * 1_900 + " <ana@correo.example>", '"' + "\\" * 3_999):
        assert single_mailbox(value) is None
    assert time.process_time() - begun < 0.5
