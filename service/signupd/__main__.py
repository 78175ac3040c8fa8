"""``python -m signupd`` is ``signupd``."""

from signupd.cli import main

main()
