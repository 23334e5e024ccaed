"""The state of a room as pure code: participants, publications, active speakers."""
