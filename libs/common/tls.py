"""TLS of every connection inside the system, by the settings: both sides show certificates of the same authority.

Without a certificate everything is plain text: right for one machine, and where the network encrypts by itself.
"""

import ssl
from pathlib import Path

import grpc

from libs.common.settings import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Of a gRPC server: callers must show a certificate of the authority. A renewed certificate counts at once."""
    if not settings.tls_certificate:
        return None
    known = _files(settings)

    def renewed() -> grpc.ServerCertificateConfiguration:
        nonlocal known
        found = _files(settings)
        if found == known:
            return None  # type: ignore[return-value] # so gRPC wants it where nothing is new
        known = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(_configuration(known), renewed, require_client_authentication=True)


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """Of a caller of the services."""
    if not settings.tls_certificate:
        return None
    certificate, key, authority = _files(settings)
    return grpc.ssl_channel_credentials(authority, key, certificate)


def client_context(settings: Settings) -> ssl.SSLContext | None:
    """Of a connection to nats-server."""
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(cafile=settings.tls_authority)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def _files(settings: Settings) -> tuple[bytes, bytes, bytes]:
    """Certificate, key and authority."""
    return (
        Path(settings.tls_certificate).read_bytes(),
        Path(settings.tls_key).read_bytes(),
        Path(settings.tls_authority).read_bytes(),
    )


def _configuration(files: tuple[bytes, bytes, bytes]) -> grpc.ServerCertificateConfiguration:
    certificate, key, authority = files
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority)
