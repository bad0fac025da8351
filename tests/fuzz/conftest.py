"""How long Hypothesis looks: briefly and always at the same examples, or long, with new ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

COMMON = {
    "deadline": None,  # the first example imports and compiles
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("short", max_examples=100, derandomize=True, database=None, **COMMON)
settings.register_profile("long", max_examples=20_000, print_blob=True, database=None, **COMMON)
settings.load_profile("short")
