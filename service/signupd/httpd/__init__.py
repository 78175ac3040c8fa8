"""The hook port's HTTP server."""
