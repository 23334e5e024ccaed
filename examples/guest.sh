#!/bin/sh
# Come in as a guest and list your sessions.
set -eu
SERVER=${SERVER:-http://localhost:8000}

TOKEN=$(curl -fsS -X POST "$SERVER/api/v1/guests" | sed -E 's/.*"access_token": ?"([^"]+)".*/\1/')
curl -fsS "$SERVER/api/v1/sessions" -H "Authorization: Bearer $TOKEN"
