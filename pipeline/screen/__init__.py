"""The shared screen: deduplication, JPEG, OCR."""
