"""What HTTP handlers on every floor share: the error shape and the bearer token."""

from collections.abc import Mapping

from aiohttp import web

ERROR_CODE = web.ResponseKey("error_code", str)
"""Where an error's response says its code to the middlewares."""


class HttpError(Exception):
    """An answer other than success: status, code and a sentence for the client; `retry_after` in seconds."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"

    def response(self) -> web.Response:
        """The error as JSON."""
        body = {"error": {"code": self.code, "message": self.message, "details": self.details}}
        response = web.json_response(body, status=self.status, headers=self.headers)
        response[ERROR_CODE] = self.code
        return response


def bearer(request: web.Request) -> str:
    """The token of the Authorization header, or `HttpError` 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise HttpError(401, "UNAUTHORIZED", "Send `Authorization: Bearer <access token>`.")
    return token.strip()
