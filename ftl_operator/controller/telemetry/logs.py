"""The operator's log: one JSON object per line, with the app, stage and generation it is about."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

FIELDS = ("namespace", "app", "generation", "stage", "reason", "identity")
"""The optional fields of a line, in this order."""


class JsonFormatter(logging.Formatter):
    """Formats a record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Formats a record as a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        app = f" {record.__dict__['namespace']}/{record.__dict__['app']}" if hasattr(record, "app") else ""
        line = f"{moment} {record.levelname:7}{app} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def start(level: str, kind: str) -> None:
    """Write the log to standard error from now on.

    Args:
        level: The least level that is written.
        kind: `json` or `text`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf logs every event that it dispatches; the operator logs what it does about it.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
