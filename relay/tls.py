"""The listener's TLS context, and the certificate that development makes for itself."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from relay.durable import read_regular, write_durably
from relay.errors import StorageFailed, UsageError


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer; raises UsageError naming the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (certificate, key):
        try:
            read_regular(path)
        except OSError as error:
            raise UsageError(f"tls: {path}: {error.strerror}; "
                             "name readable files in tls.certificate and tls.key") from None
    try:
        # an empty password instead of the default, which asks for one on the terminal and waits
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError):
        raise UsageError(f"tls: {certificate} and {key} are not a PEM certificate and its key") from None
    return context


class Watched:
    """A certificate and its key, which other programs replace while we run."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._used = self._tried = self._look()

    def renewed(self) -> ssl.SSLContext | None:
        """A context of the files as they are now, None while they are those in use; raises UsageError once for each
        state that cannot be used, such as the new certificate beside the old key."""
        now = self._look()
        if now in (self._used, self._tried):
            return None
        self._tried = now
        context = server_context(*self._files)
        self._used = now
        return context

    def _look(self) -> tuple[tuple[int, ...], ...]:
        found: list[tuple[int, ...]] = []
        for path in self._files:
            try:
                status = path.stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError:
                found.append(())
        return tuple(found)


def expires_at(certificate: Path) -> datetime | None:
    """When the first certificate of a PEM file expires; None when that cannot be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


def make_certificate(certificate: Path, key: Path, hostname: str) -> None:
    """A self-signed pair for development, made once; opportunistic TLS (RFC 7435) needs no more.

    Raises StorageFailed.
    """
    if certificate.exists() and key.exists():
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
    now = datetime.now(UTC)
    signed = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
              .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
              .not_valid_after(now + timedelta(days=3650))
              .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
              .sign(secret, hashes.SHA256()))
    try:
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # half of either, after a power cut, would keep the daemon from starting
        write_durably(key, secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                serialization.NoEncryption()))
        write_durably(certificate, signed.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise StorageFailed(f"{error.filename or key.parent}: {error.strerror}; check the folder's owner and the mount"
                            ) from None
