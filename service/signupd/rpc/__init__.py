"""The gRPC world: server, servicers, and errors as statuses."""
