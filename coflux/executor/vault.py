"""The secrets that the engine holds: in memory, as long as it runs, and nowhere else.

Whoever makes a `Secret(...)` has it kept here and refers to it by id. Every worker is told of all secrets before it is
given anything that may refer to them, or may have come of them: it can neither fail to find one nor show one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

from blake3 import blake3

from coflux.redaction import Redactor

__all__ = ["Vault"]

ID_LENGTH = 16  # bytes


class Vault:
    """Secrets by id. An id is a hash with a key that leaves with the engine, so it tells nothing of the secret."""

    def __init__(self) -> None:
        self._key = os.urandom(blake3.key_size)
        self._secrets: dict[str, str] = {}
        self._redactors: dict[frozenset[str], Redactor] = {}

    def __len__(self) -> int:
        return len(self._secrets)

    def keep(self, secret: str) -> str:
        """Hold a secret, and have every redactor replace it. Return its id: equal secrets have one."""
        known = blake3(secret.encode("utf-8", "surrogatepass"), key=self._key).hexdigest(ID_LENGTH)
        if known not in self._secrets:
            self._secrets[known] = secret
            for redactor in self._redactors.values():
                redactor.add((secret,))
        return known

    def since(self, count: int) -> dict[str, str]:
        """The secrets by id, without the first `count`."""
        return dict(islice(self._secrets.items(), count, None))

    def named(self, ids: Iterable[str]) -> dict[str, str]:
        """Those of these secrets that are here."""
        return {known: self._secrets[known] for known in ids if known in self._secrets}

    def redactor(self, others: frozenset[str]) -> Redactor:
        """What replaces all that is here, now and later, and `others`, such as an environment's secrets."""
        redactor = self._redactors.get(others)
        if redactor is None:
            redactor = self._redactors[others] = Redactor([*others, *self._secrets.values()])
        return redactor
