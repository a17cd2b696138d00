"""What an S3 server's errors mean: absent, refused, transient, or for a person to fix."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from urllib.parse import urlsplit

from fsspec.exceptions import FSTimeoutError

from infra.keys import Key, said_by
from infra.store.errors import StoreError, StoreUnavailable

_PASSING = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "RequestTimeoutException",
    "OperationAborted",
    "ConditionalRequestConflict",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequests",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "XAmzContentSHA256Mismatch",
    "BadDigest",
    "IncompleteBody",
}
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)
_REFUSED = ("PreconditionFailed", "412")
_ABSENT = ("NoSuchKey", "404", "NotFound")
_BAD_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "InvalidToken",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


def server_code(error: BaseException) -> str:
    """The code that the server gave; '' if it gave none."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def is_absent(error: OSError) -> bool:
    """Whether there is no such object, in a bucket that exists as far as we can tell."""
    return isinstance(error, FileNotFoundError) and server_code(error) in ("", *_ABSENT)


def is_refused_condition(error: OSError) -> bool:
    """Whether the server refused `If-None-Match: *`.

    s3fs turns that into a FileExistsError if the server names the condition, else into an OSError of EINVAL.
    """
    return isinstance(error, FileExistsError) or server_code(error) in _REFUSED


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if _response(error):
        status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return server_code(error) in _PASSING or (status in _PASSING_STATUS and server_code(error) != "501")
    http = importlib.import_module("aiohttp")
    aws = importlib.import_module("botocore.exceptions")
    parsers = importlib.import_module("botocore.parsers")
    if isinstance(error, aws.SSLError):
        return False
    passing = (
        aws.ConnectionError,
        aws.HTTPClientError,
        aws.IncompleteReadError,
        parsers.ResponseParserError,
        http.ClientError,
        FSTimeoutError,
        asyncio.TimeoutError,
        TimeoutError,
        ConnectionError,
    )
    return isinstance(error, passing)


def explain(error: Exception, full: str, bucket: str, endpoint: str) -> StoreError:
    """The error as one line: what is wrong, where, what to set; no credentials in it."""
    server, code, name = _host(endpoint), said_by(server_code(error), Key()), type(error).__name__
    if is_transient(error):
        answered = f"answers {code}" if code else "does not answer"
        setting = "AWS_ENDPOINT_URL" if endpoint else "AWS_ENDPOINT_URL (another server than AWS)"
        return StoreUnavailable(
            f"s3://{full}: the server {server} {answered} ({name}); "
            f"see that it runs and that {setting} is right"
        )
    shown = f" ({code})" if code else ""
    if code == "NoSuchBucket":
        reason = f"there is no bucket {bucket!r} at {server}; create it, name another store, "
        reason += "or set AWS_ENDPOINT_URL"
    elif code in _BAD_CREDENTIALS or name in ("NoCredentialsError", "PartialCredentialsError"):
        reason = f"{server} refuses the credentials{shown}" if code else "no complete credentials were found"
        reason += f"; set {_KEYS}"
    elif code in ("ExpiredToken", "TokenRefreshRequired"):
        reason = "the session token has expired; renew the credentials and start again"
    elif code == "RequestTimeTooSkewed":
        reason = "the clock of this machine is wrong; set it and start again"
    elif isinstance(error, PermissionError) or code in ("AccessDenied", "403"):
        reason = f"{server} denies access; check {_KEYS}, and that they may list, read, write and "
        reason += f"delete in bucket {bucket!r}"
    elif name == "SSLError":
        reason = f"the certificate of {server} is not trusted; set AWS_CA_BUNDLE to the authority's"
    else:
        reason = said_by(_one_line(error), Key()) + shown
    return StoreError(f"s3://{full}: {reason}")


def _host(endpoint: str) -> str:
    """Scheme, host and port alone: an endpoint may carry a password."""
    if not endpoint:
        return "AWS"
    parts = urlsplit(endpoint)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "of AWS_ENDPOINT_URL"


def _one_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(str(text).split())[:300]


def _response(error: BaseException) -> dict[str, Any]:
    """The server's answer within an error of botocore, or of s3fs, which wraps those."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    return response if isinstance(response, dict) else {}
