"""The deepest stack that a firmware can need, from its object files.

    worst = deepest chain of calls from reset, or from main
          + what functions called through pointers need, all of them on top of each other
          + one interrupt: the frame that the core pushes, and the deepest handler

Functions whose address is taken may be called from anywhere, so each is counted once at the
deepest place. Handlers have one priority: none interrupts another. What can't be bounded is told:
recursion, arrays of variable length, functions without a known frame. A static function that calls
only itself leaves no trace in an object file and is not seen; the firmware has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .objects import KEPT, Objects, SectionId


@dataclass(frozen=True)
class StackUse:
    """Bytes of stack. calls: the deepest chain, outermost first. The last three name functions."""

    thread: int
    indirect: int
    interrupt: int
    calls: tuple[str, ...]
    recursive: tuple[str, ...] = ()
    unbounded: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def worst(self) -> int:
        return self.thread + self.indirect + self.interrupt


def measure_stack(objects: Objects, entries: Iterable[str], exception_frame: int = 0) -> StackUse:
    """entries: where execution may begin; exception_frame: bytes that the core pushes itself."""
    entries = list(entries)
    graph = _CallGraph(objects, objects.live(entries))
    roots = {objects.globals[name] for name in entries if name in objects.globals}
    kept = {key for key in graph.live if objects.sections[key].name.startswith(KEPT)}
    vectors = {target for key in kept for target in objects.sections[key].takes} & graph.code
    starts = roots | {key for key in vectors if graph.reach[key] & roots}
    handlers = vectors - starts
    pointed = graph.address_taken(ignoring=kept) - starts - handlers
    deepest = max(starts, key=graph.depth, default=None)
    handler = max(map(graph.depth, handlers), default=0)
    return StackUse(
        thread=graph.depth(deepest) if deepest else 0,
        indirect=sum(map(graph.depth, pointed)),
        interrupt=handler + exception_frame if handlers else 0,
        calls=tuple(map(graph.name, graph.chain(deepest))) if deepest else (),
        recursive=graph.names(key for key in graph.code if key in graph.cycle(key)),
        unbounded=graph.names(key for key in graph.code if objects.sections[key].dynamic),
        unknown=tuple(sorted(graph.unknown)),
    )


class _CallGraph:
    """Who calls whom among the live code sections."""

    def __init__(self, objects: Objects, live: set[SectionId]):
        self.objects = objects
        self.live = live
        self.code = {key for key in live if objects.sections[key].functions}
        self.calls = {key: objects.sections[key].calls & self.code for key in self.code}
        self.reach = {key: self._reachable(key) for key in self.code}
        self.unknown = {
            target
            for key in self.code
            for target in objects.sections[key].calls
            if isinstance(target, str)
        } | {self.name(key) for key in self.code if objects.sections[key].frame is None}
        self._depths: dict[SectionId, int] = {}

    def name(self, key: SectionId) -> str:
        return self.objects.sections[key].functions[0]

    def names(self, keys: Iterable[SectionId]) -> tuple[str, ...]:
        return tuple(sorted({self.name(key) for key in keys}))

    def cycle(self, key: SectionId) -> set[SectionId]:
        """The functions that call each other in a circle with this one; empty without recursion."""
        return {other for other in self.reach[key] if key in self.reach[other]}

    def address_taken(self, ignoring: set[SectionId]) -> set[SectionId]:
        """What a function holds of itself is the table of its switch, and no pointer to call."""
        holders = self.live - ignoring
        return {t for key in holders for t in self.objects.sections[key].takes - {key}} & self.code

    def depth(self, key: SectionId) -> int:
        """Bytes from this function down; a circle of calls counts as one round."""
        if key not in self._depths:
            ring = self.cycle(key) | {key}
            beyond = {callee for member in ring for callee in self.calls[member]} - ring
            frames = sum(self.objects.sections[member].frame or 0 for member in ring)
            self._depths[key] = frames + max(map(self.depth, beyond), default=0)
        return self._depths[key]

    def chain(self, key: SectionId) -> list[SectionId]:
        """The deepest calls from here, outermost first."""
        chain = []
        while key is not None:
            chain.append(key)
            below = self.calls[key] - self.cycle(key) - {key}
            key = max(below, key=self.depth, default=None)
        return chain

    def _reachable(self, key: SectionId) -> set[SectionId]:
        seen: set[SectionId] = set()
        pending = list(self.calls[key])
        while pending:
            other = pending.pop()
            if other not in seen:
                seen.add(other)
                pending += self.calls[other]
        return seen
