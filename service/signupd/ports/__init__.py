"""The HTTP ports: Kratos' hooks, metrics and probes, with their limits."""
