"""The bridge to Gemini Live through google-genai: sessions, reconnects, replies."""
