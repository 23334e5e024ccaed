"""The HTTP interface beside the media: the page, guests, sessions, health."""
