"""The journal: what a change has overwritten, so that half of a change can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metta.cogworks.curriculum.pool.layout import EPOCH, JOURNAL, JOURNAL_BYTES


class Journal:
    """Saves bytes before they are changed, and puts them back.

    The journal is a stack in the pool's memory; its height is a header word. Each entry is the old
    bytes, then their place and their number. Whoever takes the lock and finds entries undoes them:
    their writer was killed, or interrupted, in the middle of a change.

    Args:
        memory: all of the pool's bytes.
        words: the same as int64.
        at: where the journal begins, in bytes.
    """

    def __init__(self, memory: memoryview, words: memoryview[int], at: int):
        self._memory, self._words, self._at = memory, words, at

    def save(self, offset: int, nbytes: int) -> None:
        """Keep ``nbytes`` bytes at ``offset``, both multiples of 8. Lock held.

        Raises:
            RuntimeError: the change is larger than the journal.
        """
        words, memory = self._words, self._memory
        used = words[JOURNAL]
        end = used + nbytes + 16
        if end > JOURNAL_BYTES:
            raise RuntimeError(
                f"a change of more than {JOURNAL_BYTES} bytes: split it into several changes, each "
                "with a commit"
            )
        at = self._at + used
        memory[at : at + nbytes] = memory[offset : offset + nbytes]
        word = (at + nbytes) // 8
        words[word] = offset
        words[word + 1] = nbytes
        words[JOURNAL] = end

    def undo(self) -> Iterator[tuple[int, int]]:
        """Put everything back, the latest first; yields place and number of the bytes of each entry
        after it was put back. May be interrupted and begun again. Lock held."""
        words, memory = self._words, self._memory
        while words[JOURNAL]:
            end = words[JOURNAL]
            word = (self._at + end) // 8 - 2
            offset, nbytes = words[word], words[word + 1]
            at = self._at + end - 16 - nbytes
            memory[offset : offset + nbytes] = memory[at : at + nbytes]
            yield offset, nbytes
            words[JOURNAL] = end - 16 - nbytes

    def all_or_nothing(self, replace: Callable[[], object]) -> None:
        """Call ``replace``, which makes the whole pool anew. An exception, of a signal handler say,
        puts all bytes back; the death of the process does not. Lock held."""
        words, former = self._words, bytes(self._memory)
        try:
            replace()
        except BaseException:
            epoch = words[EPOCH]
            self._memory[:] = former
            words[EPOCH] = epoch + 1  # never back to a number that another process knows
            raise
