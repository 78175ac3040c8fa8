"""The adapter to Ory Kratos: one method per call, its answers as plain values."""
