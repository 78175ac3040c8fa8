"""A watch on what Kratos holds for an address, all the while."""

import threading
from typing import Self

from devstack.admin import Admin, Identity

PAUSE_SECONDS = 0.02


class Watch:
    """Looks an address up in Kratos again and again.

    A context manager; at its end it fails if there ever was anything but nothing or
    one complete account.

    Args:
        admin_url: Of Kratos itself, past the proxy.
        address: Whose account.
    """

    def __init__(self, admin_url: str, address: str) -> None:
        self._admin_url = admin_url
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.looks = 0
        self.faults: list[str] = []
        self.accounts: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is None:
            assert [] == self.faults
            assert self.looks > 0
            assert len(self.accounts) < 2

    def _look(self) -> None:
        with Admin(self._admin_url) as admin:
            while True:
                last = self._over.wait(PAUSE_SECONDS)
                try:
                    held = admin.identities(self._address)
                except Exception as error:  # noqa: BLE001 - told at the end
                    self.faults.append(repr(error))
                    return
                self.looks += 1
                self.accounts |= {one.id for one in held}
                self.faults += [repr(one) for one in held if not complete(one)]
                if last:
                    return


def complete(account: Identity) -> bool:
    """Tell whether its owner can use an account."""
    return account.state == "active" and account.verified and account.has_password
