"""What is observed of calls: metrics, and traces if OpenTelemetry's variables ask."""
