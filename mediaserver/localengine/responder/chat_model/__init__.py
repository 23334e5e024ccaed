"""Answers by the operator's own language model, behind any OpenAI-compatible chat endpoint."""
