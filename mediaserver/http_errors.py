"""The error response and the bearer token, shared by all HTTP handlers."""

from collections.abc import Mapping

from aiohttp import web

ERROR_CODE = web.ResponseKey("error_code", str)
"""The key under which a response carries its error code to the middlewares."""


class HttpError(Exception):
    """An error response: status, code and a message for the client; `retry_after` in seconds."""

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
        """Render the error as a JSON response."""
        body = {"error": {"code": self.code, "message": self.message, "details": self.details}}
        response = web.json_response(body, status=self.status, headers=self.headers)
        response[ERROR_CODE] = self.code
        return response


def bearer(request: web.Request) -> str:
    """Read the token of the Authorization header; raises `HttpError` 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise HttpError(401, "UNAUTHORIZED", "Send `Authorization: Bearer <access token>`.")
    return token.strip()
