"""Clients of SignupService: a channel, what an error says, a sign-up at a terminal."""
