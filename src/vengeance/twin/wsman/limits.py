"""What the WinRM service of the twin allows, with the values that Windows ships."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Limits:
    """Quotas and switches of the service; every field may be changed while the server runs.

    max_envelope_size: largest SOAP envelope, bytes (MaxEnvelopeSizekb is 500 in the recorded config of
        Server 2016)
    max_timeout_ms: upper bound of a request's OperationTimeout, milliseconds (MaxTimeoutms, same recording)
    max_operations_per_shell: Commands that one shell accepts. Windows counts operations per user and never
        takes a cmd command off the count again (MS-WSMV, product behaviour of the terminate signal), so in
        effect the count ends with the shell.
    max_shells_per_user: MaxShellsPerUser as documented for Windows 8 and later
    connection_idle_seconds: http.sys closes a connection on which nothing came for this long (default 120 s)
    shell_idle_seconds: IdleTimeout of a shell, PT7200.000S in the recordings
    allow_basic, allow_unencrypted: Service/Auth/Basic and Service/AllowUnencrypted; Windows ships both
        as false
    """

    max_envelope_size: int = 512_000
    max_timeout_ms: int = 60_000
    max_operations_per_shell: int = 1500
    max_shells_per_user: int = 30
    connection_idle_seconds: float = 120.0
    shell_idle_seconds: float = 7200.0
    allow_basic: bool = True
    allow_unencrypted: bool = False
