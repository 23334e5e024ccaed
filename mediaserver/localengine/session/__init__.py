"""One session of the local engine, from setup to goAway."""
