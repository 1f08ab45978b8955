"""The types of the callbacks by which work reports its progress. Nothing else belongs here."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, total) as the work goes on."""

Say = Callable[[str], None]
"""Called with a sentence that says what is being done, or what the work waits for."""
