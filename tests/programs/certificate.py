"""What programs that speak TLS with themselves say who they are."""

import ssl
import tempfile

# A throw-away pair made for these programs; valid until 2126.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiDOnSZ/zU6baNvzh
T1Uc10peFZO1nXLbbBTFHnxl6PChRANCAARgckFffrScG4Siamo2xYtM/oJxR48i
pfacUINlkW6UrD6SraZAm6D6AuIpZkmRVMICFJewQrQULdUhUAjJzCMJ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUCQB/5OaaxEFB+XmdGDBm7wqLEJwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzA5MTgyMVoYDzIxMjYxMDMw
MDkxODIxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARgckFffrScG4Siamo2xYtM/oJxR48ipfacUINlkW6UrD6SraZAm6D6
AuIpZkmRVMICFJewQrQULdUhUAjJzCMJo1MwUTAdBgNVHQ4EFgQUwo/owP510YPC
VtfnlJEXIZvdtIQwHwYDVR0jBBgwFoAUwo/owP510YPCVtfnlJEXIZvdtIQwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBXlApHRMz/uykY7ue39A/P
x6Uo+XzSJrH1o/oHron0oAIhALvGFHu1OE6rs2MPVRHD+MgUP83wP3lVoS6nnVQr
Di+0
-----END CERTIFICATE-----
"""


def server_context():
    """What a server says who it is with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(CERTIFICATE)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context():
    """One that takes any server's word."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
