"""A web front end for sign-ups: a backend for frontend, without JavaScript's help."""
