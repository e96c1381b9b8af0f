"""Writes YAML as people do: keys in the given order, texts of several lines as blocks, no anchors.

PyYAML writes an anchor wherever two places hold the same Python object. That is accidental; a reader has to
look each anchor up, and some tools refuse them.
"""

from collections.abc import Iterable

import yaml


def write_yaml(documents: Iterable[object], width: int = 110) -> str:
    """Write documents, separated by `---` where there are several.

    Args:
        documents: Values of JSON's types.
        width: The length of a line after which it is folded, in characters.
    """
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
