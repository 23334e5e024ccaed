"""Guides, the plan of a conversation, and the checks that tick its steps."""
