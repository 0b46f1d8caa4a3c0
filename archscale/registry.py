"""Names to things: one dictionary with an error that helps.

Later parts of the project are reached by name from YAML and the command line (mixers, parametrizations, laws,
executors); each of those is one `Registry` and one `@REGISTRY.register(name)` in the file that defines the thing.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """A mistake the user can mend. Its message is one line: the value, the allowed ones, the next step.

    The command line prints the message without a traceback and exits with status 2.
    """


def unknown(kind: str, value: str, choices: Iterable[str], *, hint: str = "") -> UserError:
    """The one way to refuse a name: says which one is near and lists all. Of a dotted key the end is compared."""
    names = sorted(choices)
    near = difflib.get_close_matches(value.rpartition(".")[2], names, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) if names else "none"
    return UserError(f"unknown {kind} {value!r}.{guess} Choices: {listed}.{' ' + hint if hint else ''}")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping that is filled by decorators.

    Raises:
        UserError: on lookup of a name that is not registered.
        ValueError: when a name is registered twice.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        def keep(item: T) -> T:
            self.add(name, item)
            return item

        return keep

    def add(self, name: str, item: T) -> None:
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            raise unknown(self.kind, name, self._items) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
