"""One conversation: its turns, its peers, its lifetime."""
