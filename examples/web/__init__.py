"""A web front end for sign-ups: a backend for frontend that needs no JavaScript."""
