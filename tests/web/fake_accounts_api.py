"""A fake of the REST API for accounts, settings and stored conversations; its data lives in memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

HOUR = 3600
SETTINGS: dict[str, Any] = dict.fromkeys(("voice", "language", "model", "instructions", "silence_ms"))


@dataclass
class FakeAccount:
    """One account."""

    username: str
    email: str
    password: str

    @property
    def profile(self) -> dict[str, Any]:
        """The JSON of GET /api/v1/users/me."""
        return {
            "id": f"id-of-{self.username}",
            "username": self.username,
            "email": self.email,
            "full_name": None,
            "created_at": "2026-03-01T10:00:00Z",
            "guest": False,
        }


@dataclass
class FakeAccountsApi:
    """The API's routes; `received` holds the JSON bodies by request line."""

    accounts: dict[str, FakeAccount] = field(default_factory=dict)
    conversations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Stored conversations by owner's id, newest first, as GET /history returns them."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    expires_in: int = HOUR
    guests_can_refresh: bool = False
    access: dict[str, str] = field(default_factory=dict)
    """Owners' ids by access token."""
    refresh: dict[str, str] = field(default_factory=dict)
    """Owners' ids by refresh token."""
    _numbers: Iterable[int] = field(default_factory=lambda: count(1))

    def routes(self) -> list[web.RouteDef]:
        """The routes to serve."""
        me, one = "/api/v1/users/me", "/api/v1/sessions/{id}"
        return [
            web.post("/api/v1/guests", self._guest),
            web.post("/api/v1/users/register", self._register),
            web.post("/api/v1/users/login", self._login),
            web.post("/api/v1/users/refresh", self._refresh),
            web.post("/api/v1/users/logout", self._logout),
            web.get(me, self._me),
            web.patch(me, self._change),
            web.delete(me, self._delete),
            web.get(f"{me}/settings", self._settings),
            web.put(f"{me}/settings", self._set),
            web.get("/api/v1/sessions", self._list),
            web.get(f"{one}/history", self._history),
            web.delete(one, self._delete_session),
        ]

    def sign_up(self, username: str = "ada", password: str = "correct horse") -> str:
        """Create an account and return its id."""
        self.accounts[username] = FakeAccount(username, f"{username}@example.org", password)
        return f"id-of-{username}"

    def bodies(self, line: str) -> list[dict[str, Any]]:
        """The bodies of all requests with that method and path."""
        return [body for sent, body in self.received if sent == line]

    def add_conversations(self, owner: str, amount: int, **session: object) -> None:
        """Store conversations of an owner, one an hour, the newest at noon on 3 May 2026."""
        for number in range(amount):
            day, hour = divmod(12 - number, 24)
            at = f"2026-05-{3 + day:02}T{hour:02}"
            own = {
                "id": f"session-{number}",
                "label": f"label-{number}",
                "started_at": f"{at}:00:00Z",
                "ended_at": f"{at}:03:12Z",
                "transport": "webrtc",
                "engine": "local",
                "model": "local-1",
                "language": "en",
                "turns": 2,
                "end_reason": "client",
                **session,
            }
            self.conversations.setdefault(owner, []).append({"session": own, "entries": entries(at), "usage": []})

    async def _guest(self, _: web.Request) -> web.Response:
        number = sum(name.startswith("guest-") for name in self.access) + 1
        owner = f"id-of-guest-{number}"
        answer = self._grant({"id": owner, "username": f"guest-{number}", "guest": True})
        self.access[f"guest-{number}"] = owner
        answer["access_token"] = f"guest-{number}"
        if not self.guests_can_refresh:
            del answer["refresh_token"]
        return web.json_response(answer, status=201)

    async def _register(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        if body["username"] in self.accounts:
            return refusal(409, "USERNAME_TAKEN", field="username")
        if body["email"] in {account.email for account in self.accounts.values()}:
            return refusal(409, "EMAIL_TAKEN", field="email")
        account = FakeAccount(body["username"], body["email"], body["password"])
        self.accounts[account.username] = account
        self._adopt(body.get("guest_token"), account.profile["id"])
        return web.json_response(account.profile, status=201)

    async def _login(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        account = self.accounts.get(body["username"])
        if account is None or account.password != body["password"]:
            return refusal(401, "INVALID_CREDENTIALS")
        self._adopt(body.get("guest_token"), account.profile["id"])
        return web.json_response(self._grant(account.profile))

    async def _refresh(self, request: web.Request) -> web.Response:
        owner = self.refresh.pop((await self._body(request))["refresh_token"], None)
        if owner is None:
            return refusal(401, "UNAUTHORIZED")
        name = owner.removeprefix("id-of-")
        account = self.accounts.get(name)
        user = account.profile if account else {"id": owner, "username": name, "guest": True}
        return web.json_response(self._grant(user))

    async def _logout(self, request: web.Request) -> web.Response:
        self.refresh.pop((await self._body(request))["refresh_token"], None)
        return web.Response(status=204)

    async def _me(self, request: web.Request) -> web.Response:
        return web.json_response(self._account(request).profile)

    async def _change(self, request: web.Request) -> web.Response:
        account = self._account(request)
        body = await self._body(request)
        if body["current_password"] != account.password:
            return refusal(403, "WRONG_PASSWORD")
        account.password = body["password"]
        self.refresh = {token: owner for token, owner in self.refresh.items() if owner != account.profile["id"]}
        return web.json_response({**account.profile, "tokens": self._grant(account.profile)})

    async def _delete(self, request: web.Request) -> web.Response:
        account = self._account(request)
        if (await self._body(request))["current_password"] != account.password:
            return refusal(403, "WRONG_PASSWORD")
        del self.accounts[account.username]
        return web.Response(status=204)

    async def _settings(self, request: web.Request) -> web.Response:
        return web.json_response(self.settings.get(self._owner(request), SETTINGS))

    async def _set(self, request: web.Request) -> web.Response:
        owner = self._owner(request)
        self.settings[owner] = await self._body(request)
        return web.json_response(self.settings[owner])

    async def _list(self, request: web.Request) -> web.Response:
        own = self.conversations.get(self._owner(request), [])
        start, limit = int(request.query.get("cursor", 0)), int(request.query["limit"])
        page = [one["session"] for one in own[start : start + limit]]
        cursor = str(start + limit) if start + limit < len(own) else None
        return web.json_response({"sessions": page, "next_cursor": cursor})

    async def _history(self, request: web.Request) -> web.Response:
        for one in self.conversations.get(self._owner(request), []):
            if one["session"]["id"] == request.match_info["id"]:
                return web.json_response(one)
        return refusal(404, "SESSION_NOT_FOUND")

    async def _delete_session(self, request: web.Request) -> web.Response:
        own = self.conversations.get(self._owner(request), [])
        left = [one for one in own if one["session"]["id"] != request.match_info["id"]]
        if len(left) == len(own):
            return refusal(404, "SESSION_NOT_FOUND")
        self.conversations[self._owner(request)] = left
        return web.Response(status=204)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.received.append((f"{request.method} {request.path}", body))
        return body

    def _grant(self, user: dict[str, Any]) -> dict[str, Any]:
        number = next(iter(self._numbers))
        access, refresh = f"access-{number}", f"refresh-{number}"
        self.access[access] = self.refresh[refresh] = user["id"]
        tokens = {"access_token": access, "refresh_token": refresh, "token_type": "bearer"}
        return {**tokens, "expires_in": self.expires_in, "user": user}

    def _adopt(self, guest_token: str | None, account: str) -> None:
        guest = self.access.get(guest_token or "")
        if guest is not None:
            self.conversations.setdefault(account, []).extend(self.conversations.pop(guest, []))

    def _owner(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.access:
            raise web.HTTPUnauthorized
        return self.access[token]

    def _account(self, request: web.Request) -> FakeAccount:
        return self.accounts[self._owner(request).removeprefix("id-of-")]


def entries(at: str) -> list[dict[str, Any]]:
    """The transcript of the hour `at`: two turns, the second interrupted, and a note of the server."""

    def entry(second: int, role: str, text: str, turn: int, **more: object) -> dict[str, Any]:
        said = {"at": f"{at}:00:{second:02}Z", "role": role, "text": text, "turn": turn}
        return {**said, "interrupted": False, "heard_ms": None, **more}

    return [
        entry(2, "user", "Where is the save button?", 1),
        entry(4, "assistant", "It is at the upper left, beside New.", 1, heard_ms=2100),
        entry(9, "user", "And what does <b>Print</b> do?", 2),
        entry(11, "assistant", "It prints the", 2, interrupted=True, heard_ms=800),
        entry(14, "system", "The engine was replaced.", 2),
    ]


def refusal(status: int, code: str, **details: object) -> web.Response:
    """An error response in the API's shape."""
    body = {"error": {"code": code, "message": f"The server says {code}.", "details": details}}
    return web.json_response(body, status=status)
