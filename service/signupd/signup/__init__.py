"""The sign-up: its states, its steps, and recovery."""
