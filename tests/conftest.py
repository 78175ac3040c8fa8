"""What holds for all tests."""

import signal

# A shell without job control ignores SIGINT in background jobs, and nohup SIGHUP. The
# commands that tests interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
