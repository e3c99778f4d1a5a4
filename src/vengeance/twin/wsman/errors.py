"""The faults of the shell service, each with the code and the words of Windows."""

from __future__ import annotations

from vengeance.twin.wsman.soap import WsmanFault

CMD_PLUGIN = ("Shell cmd plugin", "%systemroot%\\system32\\winrscmd.dll")

_SELECTORS = (
    "The WS-Management service cannot process the request because the request contained invalid selectors "
    "for the "
    "resource. "
)


def operation_timeout() -> WsmanFault:
    """No output within OperationTimeout (recorded: test_winrs_operation_timeout); the client polls again."""
    text = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "
    return WsmanFault(2150858793, "Receiver", "w:TimedOut", text)


def unknown_shell(shell_id: str | None) -> WsmanFault:
    """The shell does not exist, or has died."""
    # reason and code recorded: test_psrp_is_alive_invalid_selectors; message: WinRM on a cmd shell
    return WsmanFault(
        2150858843,
        "Sender",
        "w:InvalidSelectors",
        _SELECTORS,
        message=(
            "The request for the Windows Remote Shell with ShellId "
            f"{shell_id or ''} failed because the shell was not found on the server. Possible causes are: "
            "the "
            "specified ShellId is incorrect or the shell no longer exists on the server. Provide the "
            "correct ShellId "
            "or create a new shell and retry the operation. "
        ),
        fault_detail="UnexpectedSelectors",
    )


def unknown_command() -> WsmanFault:
    """The command does not exist, or has completed (recorded: test_winrs_bad_cmd_id)."""
    return WsmanFault(
        2150858843,
        "Sender",
        "w:InvalidSelectors",
        _SELECTORS,
        message=(
            "The Windows Remote Shell received a request to perform an operation on a command identifier "
            "that does "
            "not exist. Either the command has completed execution or the client specified an invalid "
            "command "
            "identifier. "
        ),
        fault_detail="UnexpectedSelectors",
    )


def invalid_parameter() -> WsmanFault:
    """A Receive or Signal that names no command (recorded: test_winrs_fail_poll_process)."""
    return WsmanFault(
        87,
        "Sender",
        "w:InvalidParameter",
        "The parameter is incorrect. ",
        fault_detail="InvalidValue",
        provider=CMD_PLUGIN,
    )


def file_not_found() -> WsmanFault:
    """The plugin could not start the command's program (recorded: test_winrs_no_cmd_shell)."""
    text = "The system cannot find the file specified. "
    return WsmanFault(2147942402, "Receiver", "w:InternalError", text, provider=CMD_PLUGIN)


def directory_invalid() -> WsmanFault:
    """The shell's working directory does not exist (HRESULT of ERROR_DIRECTORY)."""
    text = "The directory name is invalid. "
    return WsmanFault(2147942667, "Receiver", "w:InternalError", text, provider=CMD_PLUGIN)


def access_denied() -> WsmanFault:
    """The shell belongs to somebody else."""
    return WsmanFault(5, "Sender", "w:AccessDenied", "Access is denied. ")


def pipe_ended() -> WsmanFault:
    """Input for a program that has ended: "The pipe has been ended" (ansible#69595)."""
    text = "The pipe has been ended. "
    return WsmanFault(109, "Receiver", "w:InternalError", text, provider=CMD_PLUGIN)


def input_timeout() -> WsmanFault:
    """Input not taken within OperationTimeout (ansible#27556); it stays in the pipe all the same."""
    text = "This operation returned because the timeout period expired. "
    return WsmanFault(1460, "Receiver", "w:InternalError", text, provider=CMD_PLUGIN)


def operation_aborted() -> WsmanFault:
    """A Receive that was waiting when its command was terminated or its shell deleted."""
    text = "The I/O operation has been aborted because of either a thread exit or an application request. "
    return WsmanFault(995, "Receiver", "w:InternalError", text)


def too_many_operations(limit: int) -> WsmanFault:
    """The quota that a long-lived shell runs into (0x803381A6)."""
    return WsmanFault(
        2150859174,
        "Sender",
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. The maximum number of concurrent operations "
        "for this "
        "user has been exceeded. Close existing operations for this user, or raise the quota for this user. ",
        message=(
            "The WS-Management service cannot process the request. This user is allowed a maximum number "
            f"of {limit} "
            "concurrent operations, which has been exceeded. Close existing operations for this user, or "
            "raise the "
            "quota for this user. "
        ),
        wmi=True,
    )


def too_many_shells(limit: int) -> WsmanFault:
    """MaxShellsPerUser is used up (0x803381A5)."""
    return WsmanFault(
        2150859173,
        "Sender",
        "w:QuotaLimit",
        "The WS-Management service cannot process the request. The maximum number of concurrent shells for "
        "this user "
        "has been exceeded. Close existing shells or raise the quota for this user. ",
        message=(
            "The WS-Management service cannot process the request. This user is allowed a maximum number "
            f"of {limit} "
            "concurrent shells, which has been exceeded. Close existing shells or raise the quota for this "
            "user. "
        ),
        wmi=True,
    )


def envelope_too_small() -> WsmanFault:
    """The request allows the answer fewer bytes than WS-Management needs."""
    text = (
        "The WS-Management service cannot process the request because the envelope size in the request is too small. "
    )
    return WsmanFault(2150858878, "Sender", "w:EncodingLimit", text, fault_detail="MinimumEnvelopeLimit")


def invalid_action(action: str) -> WsmanFault:
    """An action that the resource does not have."""
    return WsmanFault(
        2150858753,
        "Sender",
        "a:ActionNotSupported",
        "The WS-Management service cannot process the request. The WS-Addressing action URI is invalid. "
        "Check the "
        "documentation for information on how to construct an action URI. ",
        message=(
            f"The action {action} is not supported by the service. Check the documentation for information "
            "on how to "
            "construct an action URI. "
        ),
    )


def invalid_resource(uri: str) -> WsmanFault:
    """A resource that the service does not have."""
    return WsmanFault(
        2150858752,
        "Sender",
        "a:DestinationUnreachable",
        "The WS-Management service cannot process the request. The service cannot find the resource "
        "identified by the "
        "resource URI and selectors. ",
        message=(
            f'The WS-Management service cannot process the request. The resource URI ("{uri}") was not '
            "found in the "
            "WS-Management catalog. "
        ),
        fault_detail="InvalidResourceURI",
    )


def on_demand(code: int) -> WsmanFault:
    """The fault with this code for a fault rule: in the words of Windows where we know them."""
    known = {
        2150858793: operation_timeout,
        2147942402: file_not_found,
        2147942667: directory_invalid,
        87: invalid_parameter,
        5: access_denied,
        109: pipe_ended,
        995: operation_aborted,
        1460: input_timeout,
    }
    if code in known:
        return known[code]()
    if code == 2150858843:
        return unknown_shell(None)
    if code == 2150859174:
        return too_many_operations(1500)
    if code == 2150859173:
        return too_many_shells(30)
    if code == 170:
        return WsmanFault(170, "Receiver", "w:InternalError", "The requested resource is in use. ")
    return WsmanFault(code, "Receiver", "w:InternalError", f"The operation failed with code {code}. ")
