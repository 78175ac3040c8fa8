"""Accounts in Kratos: what others may know of them, and which are orphaned."""
