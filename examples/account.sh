#!/bin/sh
# Make an account, log in, and set the defaults of your sessions.
set -eu
SERVER=${SERVER:-http://localhost:8000}
JSON='Content-Type: application/json'

curl -fsS "$SERVER/api/v1/users/register" -H "$JSON" \
  -d '{"username": "ada", "email": "ada@example.org", "password": "correct horse battery"}'
TOKEN=$(curl -fsS "$SERVER/api/v1/users/login" -H "$JSON" \
  -d '{"username": "ada", "password": "correct horse battery"}' |
  sed -E 's/.*"access_token": ?"([^"]+)".*/\1/')
curl -fsS -X PUT "$SERVER/api/v1/users/me/settings" -H "Authorization: Bearer $TOKEN" -H "$JSON" \
  -d '{"language": "en", "silence_ms": 700}'
