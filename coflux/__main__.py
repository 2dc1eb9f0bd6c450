"""`python -m coflux`: the same as the `coflux` command."""

from __future__ import annotations

from coflux.cli import main

if __name__ == "__main__":
    main()
