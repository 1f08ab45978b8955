"""How work says how far it is. Nothing else belongs here."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, in all) as the work goes on."""

Say = Callable[[str], None]
"""Called with a sentence: what is being done now, or waited for."""
