"""What scripts say of a Windows that is as it should be, for the tests that read it and those that judge it."""

from __future__ import annotations

QUOTA = {
    "max_envelope_kb": 500,
    "max_timeout_ms": 60000,
    "max_shells_per_user": 30,
    "max_processes_per_shell": 25,
    "max_memory_per_shell_mb": 1024,
    "idle_timeout_ms": 7200000,
}
