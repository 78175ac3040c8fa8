"""The preflight: is Kratos set up so that sign-ups work, and nobody gets past them?"""
