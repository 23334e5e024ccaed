"""Offers and candidates, checked before aiortc reads them."""
