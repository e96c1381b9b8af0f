"""JSON from hosts that nobody vouches for, parsed within bounded memory.

A limit on the bytes of a text is no limit on what becomes of it: `{"":0},` has seven bytes and takes some two
hundred once it is parsed. So the parts of a text are counted before it is parsed.
"""

import json

_BEFORE_A_PART = b",:[{"


def parse_json(raw: bytes, max_parts: int) -> object:
    """Parse JSON of at most so many parts: values, and names of members. A part takes up to some 100 bytes.

    What stands before a part is counted in texts too, so a limit leaves room for those.

    Raises:
        ValueError: It has more parts, is nested too deeply, or is no JSON.
    """
    if sum(raw.count(mark) for mark in _BEFORE_A_PART) >= max_parts:
        raise ValueError(f"it has more than {max_parts} parts")
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
