"""What operators' machines read: metrics, probes and traces."""
