"""Reads YAML as `kubectl` and the API server do, with limits on aliases and nesting.

An alias stands for a whole value, so a parsed document can be exponentially larger than its text (YAML 1.2.2
§3.2.2.2, "billion laughs"), and code that walks it would never end. So the aliases are counted before the
values are constructed, as kubectl's parser (go-yaml) does.
"""

import re
import reprlib
from typing import Any

import yaml

from ftl_operator.errors import SpecError

MAX_ALIASED_VALUES = 100_000
"""How many values the aliases of one document may stand for, in addition to the written ones."""
MAX_DEPTH = 200
"""How deep a document may nest, including aliases."""

_INTEGER_BITS = 64
_HALVES = re.compile("[\ud800-\udfff]")
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = 50
_shown.maxdict = _shown.maxlist = 2
_shown.maxlevel = 2


def read_documents(raw: bytes, name: str) -> list[dict[str, Any]]:
    """The mappings of a YAML stream; empty documents are left out.

    Args:
        raw: The stream; the caller limits its length.
        name: Its name, for messages.

    Raises:
        SpecError: It is not YAML, a key is duplicate, aliases stand for too much, or a document is not a
            mapping.
    """
    try:
        documents = [document for document in yaml.load_all(raw, _Loader) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:  # RecursionError: nested without end
        raise SpecError(f"{name} is not YAML: {error}") from error
    for document in documents:
        if not isinstance(document, dict):
            raise SpecError(f"{name} holds {type(document).__name__} {shown(document)} beside its objects")
    return documents


def shown(value: object) -> str:
    """The beginning of a value for a message, about a hundred characters; the rest is not read."""
    return _shown.repr(value)


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, ANN401 - overridden
        """A node's value. Raises yaml.YAMLError for one that its tag, or JSON, does not have."""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
            # What PyYAML raises for `!!bool maybe`, `!!timestamp x`, or a date that no calendar has.
            raise self._no_value(node, f"this is no {node.tag.rpartition(':')[2]}") from None
        if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
            raise self._no_value(node, f"a number of more than {_INTEGER_BITS} bits")
        if isinstance(value, str) and _HALVES.search(value):
            raise self._no_value(node, "half of a character")
        return value

    @staticmethod
    def _no_value(node: yaml.Node, problem: str) -> yaml.YAMLError:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def compose_document(self) -> yaml.Node | None:
        node: yaml.Node | None = super().compose_document()
        if node is not None:
            _check_aliases(node)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse duplicate keys. Called for each mapping before merge keys (`<<`) add further pairs."""
        marks = vars(self).setdefault("_checked", set())
        if id(node) not in marks:
            marks.add(id(node))
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value[:100]!r} appears twice", key.start_mark
                    )
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        super().flatten_mapping(node)


def _check_aliases(root: yaml.Node) -> None:
    """Raise yaml.YAMLError if a node contains itself, nests too deeply, or if aliases stand for too much.

    Each node is visited once, however many aliases refer to it.
    """
    measured: dict[int, tuple[int, int]] = {}
    within: set[int] = set()
    pending: list[tuple[yaml.Node, bool]] = [(root, False)]
    while pending:
        node, inner_done = pending.pop()
        if id(node) in measured:
            continue
        inner = _children(node)
        if not inner_done:
            if id(node) in within:
                raise yaml.MarkedYAMLError(problem="a value is within itself", problem_mark=node.start_mark)
            within.add(id(node))
            pending.append((node, True))
            pending += [(child, False) for child in inner if id(child) not in measured]
            continue
        within.discard(id(node))
        size = 1 + sum(measured[id(child)][0] for child in inner)
        depth = 1 + max((measured[id(child)][1] for child in inner), default=0)
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"values nest deeper than {MAX_DEPTH}", problem_mark=node.start_mark
            )
        measured[id(node)] = size, depth
    if measured[id(root)][0] - len(measured) > MAX_ALIASED_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"its aliases stand for more than {MAX_ALIASED_VALUES} values",
            problem_mark=root.start_mark,
        )


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
