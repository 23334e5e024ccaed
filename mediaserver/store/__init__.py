"""What is kept: accounts, tokens, preferences, sessions and their history."""
