"""RFC 3161: what a time-stamping authority says of a seal."""

import http.client
import urllib.error
import urllib.request

from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

from admin_client.archive.backoff import Away

_TIMEOUT = 20
_LARGEST_ANSWER = 1 << 20
_GRANTED = (0, 1)  # RFC 3161, section 2.4.2: granted, granted with changes


def ask(url: str, content: bytes) -> bytes:
    """The authority's response over these bytes, DER-encoded.  Raises Away.

    The response is kept as it came; its certificates are the verifier's to check.
    """
    request = (
        TimestampRequestBuilder()
        .data(content)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    question = urllib.request.Request(url, request.as_bytes(), {"Content-Type": "application/timestamp-query"})
    try:
        with urllib.request.urlopen(question, timeout=_TIMEOUT) as answer:
            response: bytes = answer.read(_LARGEST_ANSWER)
        decoded = decode_timestamp_response(response)
        if decoded.status not in _GRANTED:
            raise Away(f"the authority refused: status {decoded.status} {decoded.status_string}")
        if (
            decoded.tst_info.message_imprint.message != request.message_imprint.message
            or decoded.tst_info.nonce != request.nonce
        ):
            raise Away("the authority answered another question")
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise Away(f"no timestamp: {error}") from None
    return response
