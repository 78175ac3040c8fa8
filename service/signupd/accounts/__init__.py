"""Accounts as Kratos holds them: what of them is complete, and what was left behind."""
