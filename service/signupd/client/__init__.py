"""A client of SignupService: the sign-up of one person at a terminal."""
