"""Who is asking: tokens and the users they stand for."""
