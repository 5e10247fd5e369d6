"""Values of a Compose file: written out, or as a variable with that value as its default.

What belongs here: one door through which every value of the file passes, so that both forms come from one
place. What does not: which values there are (``compose.py``), and what they mean (``composedoc.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_INNERMOST = re.compile(r"\$\{\w+:-([^${}]*)\}")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a variable is for: the section of the file's table that it stands in, and one line."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the file, with the default that it has when no other variable is set."""

    name: str
    default: str
    meaning: Meaning


@dataclass(slots=True)
class Values:
    """Turns a name and a default into the text for the file, and remembers each variable."""

    parametrized: bool
    variables: dict[str, Variable] = field(default_factory=dict)

    def __call__(self, name: str, default: str | int, meaning: Meaning, *, nested: bool = False) -> str:
        """``${name:-default}``, or the default itself; ``nested``: it is text that came from here."""
        text = default if nested and isinstance(default, str) else literal(str(default))
        if not self.parametrized:
            return text
        self.variables.setdefault(name, Variable(name, resolved(text), meaning))
        return f"${{{name}:-{text}}}"


def literal(text: str) -> str:
    """``text`` with Compose's interpolation switched off: each dollar sign doubled."""
    return text.replace("$", "$$")


def resolved(text: str) -> str:
    """``text`` as it is when no variable is set."""
    while (inner := _INNERMOST.sub(r"\1", text)) != text:
        text = inner
    return text
