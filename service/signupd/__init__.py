"""The sign-up front of Ory Kratos."""
