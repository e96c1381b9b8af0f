"""Date tools, written with FTL's Python SDK: weekday, days_between."""

from datetime import date

from ftl_sdk import FTL

ftl = FTL()


@ftl.tool
def weekday(day: str) -> str:
    """Name the day of the week of a date such as 2026-11-24."""
    return date.fromisoformat(day).strftime("%A")


@ftl.tool
def days_between(start: str, end: str) -> dict:
    """Count the days from one date to another, both such as 2026-11-24."""
    days = (date.fromisoformat(end) - date.fromisoformat(start)).days
    return {"days": days, "weeks": days // 7, "remainder": days % 7}


# The world spin-http exports wasi:http/incoming-handler, which componentize-py looks up under this name.
IncomingHandler = ftl.create_handler()
