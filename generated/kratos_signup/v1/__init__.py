"""Stubs of the package kratos_signup.v1."""
