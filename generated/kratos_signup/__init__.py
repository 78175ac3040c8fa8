"""Stubs of the kratos_signup contract, by version."""
