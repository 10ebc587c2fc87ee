"""What items are known by: a key each, none like another's.

A key that is no text and no integer counts as its JSON. Of all keys one digest is made, to tell
whether two curricula have the same items in the same order, and of each a hash of 63 bits, by which
it is found among other items.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np

from metta.cogworks.curriculum.tasks.values import plain

_DIGITS = 32  # of a digest
_CHUNK = 8192  # keys that are joined at a time, to bound what that takes
_MOST_TOLD = 3  # keys that an error names
_ENCODERS: dict[type, Callable[[Any], str]] = {str: encode_basestring_ascii, int: str}
"""What :func:`_json` makes of the commonest keys, ten times as fast."""


class ItemKeys:
    """The keys of a list of items.

    Of a million texts of 80 characters, duplicates take 0.2 s to look for and the digest 0.2 s,
    where ``set`` alone would take 0.6 s; the hashes, which nobody needs before a state is saved,
    take a second. Other kinds of keys take 3 s a million, in their JSON.

    Args:
        keys: one per item, at least one: text, numbers, or what has a form in JSON. Models,
            dataclasses and arrays count as their contents.

    Raises:
        ValueError: two are equal, or one has no form in JSON.
    """

    def __init__(self, keys: Sequence[Any]) -> None:
        listed = keys if isinstance(keys, list | tuple | range) else list(in_order(keys))
        self._kept: Sequence[Any] = listed  # what is still to be hashed
        self._hashes: np.ndarray | None = None
        kinds = set(map(type, listed))
        self._encode = _ENCODERS.get(next(iter(kinds))) if len(kinds) == 1 else None
        if self._encode is None:
            self._kept = []
            self._hashes = _hashed(_json(key, place) for place, key in enumerate(listed))
            _refuse_equal(listed, self._hashes)
        else:
            _refuse_equal(listed, np.fromiter(map(hash, listed), np.int64, len(listed)))

    @functools.cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of all keys in their order."""
        found = hashlib.sha256()  # twice as fast as blake2b where the processor knows it
        if self._encode is None:
            found.update(self.hashes.tobytes())
            return found.hexdigest()[:_DIGITS]
        is_text = self._encode is encode_basestring_ascii
        found.update(b"text" if is_text else b"integers")
        for first in range(0, len(self._kept), _CHUNK):
            keys = self._kept[first : first + _CHUNK]
            texts: Sequence[str] = keys if is_text else list(map(str, keys))
            joined = "\0".join(texts)
            found.update(joined.encode(errors="surrogatepass"))
            if joined.count("\0") >= len(texts):  # it does not say where one ends
                found.update(np.fromiter(map(len, texts), np.int64, len(texts)).tobytes())
        return found.hexdigest()[:_DIGITS]

    @property
    def hashes(self) -> np.ndarray:
        """Of each key, int64 of shape ``(n,)``, at least 0; the same in every process. Made when
        first asked for. Two of a million are equal by a chance of one in 10^7."""
        if self._hashes is None and self._encode is not None:
            self._hashes = _hashed(map(self._encode, self._kept))
        return self._hashes if self._hashes is not None else np.empty(0, np.int64)


def in_order(items: Any) -> Iterable[Any]:
    """All items, by iteration or, where there is none, by their indices: a data set need not raise
    IndexError after its last one, and Python would go on for ever."""
    if isinstance(items, Iterable):
        return items
    return (items[place] for place in range(len(items)))


def _refuse_equal(keys: Sequence[Any], hashes: np.ndarray) -> None:
    """Raises ValueError, naming them, where two keys are equal. Those of unlike hashes are not."""
    ordered = np.sort(hashes)
    suspects = ordered[1:][ordered[1:] == ordered[:-1]]
    places: dict[str, list[int]] = {}
    for place in np.flatnonzero(np.isin(hashes, suspects)).tolist() if len(suspects) else ():
        places.setdefault(_json(keys[place], place), []).append(place)
    equal = [(key, at) for key, at in places.items() if len(at) > 1]
    if not equal:
        return
    more = f" and {len(equal) - _MOST_TOLD} more" if len(equal) > _MOST_TOLD else ""
    told = ", ".join(
        f"{key:.60} (items {', '.join(map(str, at[:_MOST_TOLD]))})"
        for key, at in equal[:_MOST_TOLD]
    )
    raise ValueError(
        f"items have the same key: {told}{more}; each item is a task of its own, known by its key: "
        "list it once, or give key=, a function from an item to what names it"
    )


def _hashed(texts: Iterable[str]) -> np.ndarray:
    made = hashlib.blake2b
    digests = [made(text.encode(errors="surrogatepass"), digest_size=8).digest() for text in texts]
    return (np.frombuffer(b"".join(digests), np.uint64) >> np.uint64(1)).astype(np.int64)


def _json(key: Any, place: int) -> str:
    """A key as text; equal for equal keys, also where they are of other kinds."""
    if isinstance(key, np.ndarray):
        key = key.tolist()
    elif dataclasses.is_dataclass(key) and not isinstance(key, type):
        key = dataclasses.asdict(key)
    try:
        return json.dumps(plain(key, f"item {place}"), sort_keys=True)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"item {place} has no key, because it has no form in JSON ({error}): give key=, a "
            "function from an item to text or a number that names it, or a list of these"
        ) from None
