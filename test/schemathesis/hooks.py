"""What a schema cannot say of a request that is to be accepted."""

import time

import schemathesis

FOREVER = 4_102_444_800_000_000_000  # in 2100


def end_later(value):
    """Moves every expires_at that has passed to a time to come."""
    if isinstance(value, list):
        for item in value:
            end_later(item)
    elif isinstance(value, dict):
        at = value.get("expires_at")
        if isinstance(at, (int, float)) and not isinstance(at, bool) and at <= time.time_ns() and at == int(at):
            value["expires_at"] = FOREVER
        end_later(value.get("messages"))


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, (dict, list)):
        end_later(case.body)


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
