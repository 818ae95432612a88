"""A certificate that another program renews is used at once; one that cannot be is not."""

from __future__ import annotations

import asyncio
import os
import ssl
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from operating import logged, until
from support import Relay

from relay.errors import UsageError
from relay.tls import Watched

Start = Callable[..., Awaitable[Relay]]


def replace(folder: Path, *, key: bool = True) -> bytes:
    """Another pair in the place of the one there is, as renewing programs do it; the certificate (DER)."""
    made = trustme.CA().issue_cert("relay.example")
    for name, blob in (("certificate", made.cert_chain_pems[0]), ("key", made.private_key_pem)):
        if name == "certificate" or key:
            blob.write_to_path(str(folder / f"{name}.new"))
            os.replace(folder / f"{name}.new", folder / f"{name}.pem")
    return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())


def test_only_a_change_is_read_and_a_wrong_one_is_said_once(tmp_path: Path) -> None:
    replace(tmp_path)
    watched = Watched(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert watched.renewed() is None
    replace(tmp_path)
    assert watched.renewed() is not None
    assert watched.renewed() is None
    replace(tmp_path, key=False)  # the certificate of one pair beside the key of another
    with pytest.raises(UsageError):
        watched.renewed()
    assert watched.renewed() is None
    replace(tmp_path)
    assert watched.renewed() is not None
    (tmp_path / "key.pem").unlink()
    with pytest.raises(UsageError):
        watched.renewed()


async def presented(port: int) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(found) if found else None


async def test_the_running_daemon_takes_a_renewed_certificate(start_relay: Start, tmp_path: Path) -> None:
    first = replace(tmp_path)
    relay = await start_relay(tls={"certificate": "certificate.pem", "key": "key.pem"},
                              listen={"submissions": "127.0.0.1:0"})
    line = (await until(lambda: [one for one in logged(relay, "listening") if one["kind"] == "submissions"]))[0]
    port = int(line["where"].rpartition(":")[2])
    assert await presented(port) == first
    second = replace(tmp_path)
    await until(lambda: logged(relay, "certificate-reloaded"))
    assert await presented(port) == second
    (tmp_path / "certificate.pem").write_text("nonsense")
    await until(lambda: logged(relay, "certificate-refused"))
    assert await presented(port) == second
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=context)
