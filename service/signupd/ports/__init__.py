"""The HTTP ports: Kratos' hooks, metrics and probes, within limits."""
