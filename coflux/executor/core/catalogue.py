"""What the scheduler asks about imported code while it decides. The module hosts have told; tests make it up."""

from __future__ import annotations

from typing import Protocol

from coflux.executor.messages import TargetSpec

__all__ = ["Catalogue"]


class Catalogue(Protocol):
    def has_module(self, host: int, module: str) -> bool:
        """Whether the host has imported the module, as one of its own or for another."""

    def targets(self, host: int, module: str) -> dict[str, TargetSpec]:
        """The targets that the module defines there, by name."""

    def fingerprint(self, host: int, module: str, name: str) -> bytes:
        """What tells versions of the target's code apart (`coflux.executor.fingerprints`); empty if it is not known."""
