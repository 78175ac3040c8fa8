"""A real Kratos and a mailbox on this machine, for the demo, the tests and the bench.

Not shipped. The reference configuration in `kratos/` is what it starts.
"""
