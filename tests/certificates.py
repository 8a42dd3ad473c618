"""Certificates made for a test: an issuer of the test's own, and a signer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

KEYS: dict[str, Callable[[], Key]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class Pair:
    """Files in PEM form."""

    certificate: Path
    key: Path


def make_pair(
    folder: Path,
    kind: str = "P-256",
    *,
    purpose: ObjectIdentifier | None = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    days: tuple[int, int] = (-1, 30),
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    password: bytes | None = None,
) -> Pair:
    """A signer's certificate with its issuer's, and the key. ``days``: valid from, until, as from today."""
    folder.mkdir(parents=True, exist_ok=True)
    issuer_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _certificate("Test issuer", "Test issuer", issuer_key, issuer_key, (-60, 90), is_issuer=True)
    key: Key = KEYS[kind]()
    signer = _certificate("Test signer", "Test issuer", key, issuer_key, days, purpose=purpose)
    pem = serialization.Encoding.PEM
    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    pair.certificate.write_bytes(signer.public_bytes(pem) + issuer.public_bytes(pem))
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair.key.write_bytes(key.private_bytes(pem, form, locked))
    return pair


def _certificate(
    subject: str,
    issuer: str,
    key: Key,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: tuple[int, int],
    *,
    is_issuer: bool = False,
    purpose: ObjectIdentifier | None = None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    of_issuer = x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key())
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(of_issuer), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_issuer, key_cert_sign=is_issuer, crl_sign=is_issuer, **usage
            ),
            critical=True,
        )
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Understudy tests")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])
