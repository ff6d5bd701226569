"""A set of offsets, as ascending ranges that do not touch."""

from bisect import bisect_left, bisect_right


class Ranges:
    def __init__(self):
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self):
        return iter(zip(self._starts, self._stops))

    def __bool__(self) -> bool:
        return bool(self._starts)

    @property
    def first(self) -> tuple[int, int]:
        return self._starts[0], self._stops[0]

    @property
    def end(self) -> int:
        """The end of the last range."""
        return self._stops[-1] if self._stops else 0

    @property
    def prefix(self) -> int:
        """The end of the range that starts at 0."""
        return self._stops[0] if self._starts and self._starts[0] == 0 else 0

    def add(self, start: int, stop: int) -> None:
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]

    def subtract(self, start: int, stop: int) -> None:
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        if low < high:
            kept = [(self._starts[low], start), (stop, self._stops[high - 1])]
            kept = [(a, b) for a, b in kept if a < b]
            self._starts[low:high] = [a for a, _ in kept]
            self._stops[low:high] = [b for _, b in kept]

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Returns what the set lacks of a range."""
        rest = Ranges()
        rest.add(start, stop)
        for index in range(bisect_right(self._stops, start), bisect_left(self._starts, stop)):
            rest.subtract(self._starts[index], self._stops[index])
        return list(rest)

    def holds(self, start: int, stop: int) -> bool:
        return not self.missing(start, stop)
