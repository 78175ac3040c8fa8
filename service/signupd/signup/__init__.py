"""The sign-up: its states, its steps, and recovery.

A step raises a SignupdError: one of its RPC's reasons, as its .proto file explains.
"""
