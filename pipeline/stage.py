"""What every stage looks like: a synchronous push that yields what it completes."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


class Stage(Protocol[In, Out]):
    """No await, no clock, no I/O: time is counted from the samples that are pushed."""

    def push(self, item: In, /) -> Iterable[Out]:
        """Take one item and yield what it completes, if anything."""
        ...

    def reset(self) -> None:
        """Forget everything heard so far."""
        ...
