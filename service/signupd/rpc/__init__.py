"""The gRPC side: server, servicers, and errors as statuses."""
