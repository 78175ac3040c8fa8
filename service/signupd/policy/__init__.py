"""The rules of what callers may send, and how often."""
