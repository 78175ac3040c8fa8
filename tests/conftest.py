"""What holds for all tests."""

import signal

# A shell without job control ignores SIGINT in background jobs. The commands that tests
# interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
