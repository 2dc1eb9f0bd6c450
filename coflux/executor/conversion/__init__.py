"""Values as annotations want them, from the words of a command line or from JSON.

`Converters.of(annotation)` makes a `Converter`, which reads a word (`5`, `2026-01-31`, `a,b`, `{"x": 1}`) or a value
out of a JSON document. Containers are written as JSON, and what is inside them is converted likewise.
"""

from coflux.executor.conversion.annotations import Converters, resolved
from coflux.executor.conversion.base import Converter, Misfit, parse_json
from coflux.executor.conversion.scalars import BOOLEANS

__all__ = ["BOOLEANS", "Converter", "Converters", "Misfit", "parse_json", "resolved"]
