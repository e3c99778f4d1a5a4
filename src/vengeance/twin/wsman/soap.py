"""SOAP in and out: reading a WS-Management request, and the envelopes of Windows' answers word for word.

The wording of answers and faults is that of the recordings named in the tests (Windows Server 2008 R2, 2012 R2
and 2016, kept by the pypsrp project) and of wsmerror.h of the Windows SDK.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

S = "{http://www.w3.org/2003/05/soap-envelope}"
A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
RSP = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"
IDENTIFY = "{http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd}Identify"

TRANSFER_URI = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
SHELL_URI = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD_URI = f"{SHELL_URI}/cmd"
CONFIG_URI = "http://schemas.microsoft.com/wbem/wsman/1/config"
WSMAN_FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
ADDRESSING_FAULT_ACTION = "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault"

CONTENT_TYPE = "application/soap+xml;charset=UTF-8"

ACTIONS = {
    f"{TRANSFER_URI}/Create": "Create",
    f"{TRANSFER_URI}/Delete": "Delete",
    f"{TRANSFER_URI}/Get": "Get",
    f"{SHELL_URI}/Command": "Command",
    f"{SHELL_URI}/Send": "Send",
    f"{SHELL_URI}/Receive": "Receive",
    f"{SHELL_URI}/Signal": "Signal",
}

_NAMESPACES = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    'xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" '
    'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"'
)
_ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"

# An XML duration as WS-Management clients write it: PT20S, PT1.500S, PT2M, P0DT0H0M20S
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


@dataclass
class WsmanFault(Exception):
    """A fault that goes to the client with HTTP status 500.

    code: WSMan or Win32 code, decimal as in f:WSManFault
    value: "Sender" or "Receiver"
    subcode: with its prefix, e.g. "w:TimedOut"
    reason: text of s:Reason
    message: text of f:Message, as ``reason`` when None
    fault_detail: last part of w:FaultDetail, e.g. "UnexpectedSelectors"
    provider: (name, path) for a f:ProviderFault around the message
    wmi: whether Windows wraps this code into MSFT_WmiError instead of f:WSManFault
    """

    code: int
    value: str
    subcode: str
    reason: str
    message: str | None = None
    fault_detail: str | None = None
    provider: tuple[str, str] | None = None
    wmi: bool = False
    action: str = WSMAN_FAULT_ACTION


@dataclass
class SoapRequest:
    """What the service needs of a request.

    timeout: OperationTimeout in seconds, None when the client gave none
    max_envelope_size: MaxEnvelopeSize of the request in bytes, None when not given
    """

    action: str
    resource_uri: str
    message_id: str
    to: str
    shell_id: str | None
    timeout: float | None
    max_envelope_size: int | None
    options: dict[str, str] = field(default_factory=dict)
    body: ElementTree.Element = field(default_factory=lambda: ElementTree.Element(f"{S}Body"))

    @property
    def verb(self) -> str:
        """The last word of the action: "Create", "Receive", ..."""
        return self.action.rpartition("/")[2]


def new_id() -> str:
    """A GUID as Windows writes it: upper case."""
    return str(uuid.uuid4()).upper()


def parse_duration(text: str) -> float | None:
    """An XML duration in seconds; None when it is none (negative ones are none for WS-Management)."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def parse_xml(data: bytes) -> ElementTree.Element:
    """Read an envelope; WsmanFault when it is no XML. A document type is refused as Windows refuses it."""
    invalid = WsmanFault(
        2150858819,
        "Sender",
        "w:SchemaValidationError",
        "The WS-Management service cannot process the request because the XML is invalid. ",
    )
    if b"<!DOCTYPE" in data[:2048]:
        raise invalid
    try:
        root = ElementTree.fromstring(data)  # noqa: S314  entities need a document type, refused above
    except (ElementTree.ParseError, ValueError) as error:
        raise invalid from error
    if root.tag != f"{S}Envelope":
        raise invalid
    return root


def parse_request(root: ElementTree.Element) -> SoapRequest:
    """Read the headers of an envelope; WsmanFault for headers that Windows refuses."""
    header = root.find(f"{S}Header")
    body = root.find(f"{S}Body")
    if header is None or body is None:
        raise _missing_header("wsa:Action")
    action = _text(header, f"{A}Action")
    message_id = _text(header, f"{A}MessageID")
    if not action:
        raise _missing_header("wsa:Action")
    if not message_id:
        raise _missing_header("wsa:MessageID")
    timeout_text = _text(header, f"{W}OperationTimeout")
    timeout = parse_duration(timeout_text) if timeout_text else None
    if timeout_text and timeout is None:
        raise _invalid_header(
            "The WS-Management service cannot process the request. The XML contains an invalid timeout "
            "field in the "
            f"SOAP header: {timeout_text}. "
        )
    size_text = _text(header, f"{W}MaxEnvelopeSize")
    if size_text and not size_text.isdigit():
        raise _invalid_header(
            "The WS-Management service cannot process the request. The request contains one or more invalid "
            "SOAP headers. "
        )
    selectors = {
        (selector.get("Name") or "").lower(): (selector.text or "").strip()
        for selector in header.iterfind(f"{W}SelectorSet/{W}Selector")
    }
    options = {
        (option.get("Name") or "").upper(): option.text or "" for option in header.iterfind(f"{W}OptionSet/{W}Option")
    }
    return SoapRequest(
        action=action,
        resource_uri=_text(header, f"{W}ResourceURI"),
        message_id=message_id,
        to=_text(header, f"{A}To"),
        shell_id=selectors.get("shellid"),
        timeout=timeout,
        max_envelope_size=int(size_text) if size_text else None,
        options=options,
        body=body,
    )


def _text(parent: ElementTree.Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()


def _missing_header(name: str) -> WsmanFault:
    return WsmanFault(
        2150858769,
        "Sender",
        "a:MessageInformationHeaderRequired",
        "The WS-Management service cannot process the request because a required SOAP header is missing. ",
        message=(
            "The WS-Management service cannot process the request because the following required SOAP header "
            f"is missing: {name}. "
        ),
        action=ADDRESSING_FAULT_ACTION,
    )


def _invalid_header(message: str) -> WsmanFault:
    # recorded: test_psrp_is_alive_other_wsman_error
    return WsmanFault(
        2150858767,
        "Sender",
        "a:InvalidMessageInformationHeader",
        "The WS-Management service cannot process the request. The request contains one or more invalid SOAP headers. ",
        message=message,
        action=ADDRESSING_FAULT_ACTION,
    )


def envelope(action: str, relates_to: str | None, body: str) -> bytes:
    """An answer as Windows writes it.

    action: whole URI of the answer's action
    relates_to: MessageID of the request, None when the request had none
    body: XML of the SOAP body
    """
    relation = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    return (
        f'<s:Envelope xml:lang="en-US" {_NAMESPACES}><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{new_id()}</a:MessageID><a:To>{_ANONYMOUS}</a:To>{relation}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def fault_envelope(fault: WsmanFault, relates_to: str | None, machine: str) -> bytes:
    """The envelope of a fault; ``machine`` is the name in it (the one that the client called)."""
    detail = _wmi_detail(fault) if fault.wmi else _wsman_detail(fault, machine)
    body = (
        f"<s:Fault><s:Code><s:Value>s:{fault.value}</s:Value><s:Subcode><s:Value>{fault.subcode}</s:Value>"
        f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">{escape(fault.reason)}</s:Text></s:Reason>'
        f"<s:Detail>{detail}</s:Detail></s:Fault>"
    )
    return envelope(fault.action, relates_to, body)


def _wsman_detail(fault: WsmanFault, machine: str) -> str:
    message = escape(fault.message if fault.message is not None else fault.reason)
    if fault.provider is not None:
        name, path = fault.provider
        message = f"<f:ProviderFault provider={quoteattr(name)} path={quoteattr(path)}>{message}</f:ProviderFault>"
    detail = ""
    if fault.fault_detail is not None:
        uri = f"http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/{fault.fault_detail}"
        detail = f"<w:FaultDetail>{uri}</w:FaultDetail>"
    return (
        f'{detail}<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
        f'Code="{fault.code}" '
        f"Machine={quoteattr(machine)}><f:Message>{message}</f:Message></f:WSManFault>"
    )


def _wmi_detail(fault: WsmanFault) -> str:
    # Windows 8 and later report the quota faults in this form, so a client that looks only into f:WSManFault
    # misses them (recorded by the WinRM gem: wmi_error_v2.xml)
    message = escape(fault.message if fault.message is not None else fault.reason)

    def item(name: str, kind: str, text: str | None) -> str:
        if text is None:
            return f'<p:{name} xsi:type="cim:{kind}" xsi:nil="true"/>'
        return f'<p:{name} xsi:type="cim:{kind}">{text}</p:{name}>'

    items = "".join(
        [
            item("CIMStatusCode", "cimUnsignedInt", "27"),
            item("CIMStatusCodeDescription", "cimString", None),
            item("ErrorSource", "cimString", None),
            item("ErrorSourceFormat", "cimUnsignedShort", "0"),
            item("ErrorType", "cimUnsignedShort", "0"),
            item("Message", "cimString", message),
            item("MessageID", "cimString", f"HRESULT 0x{fault.code:08x}"),
            item("OtherErrorSourceFormat", "cimString", None),
            item("OtherErrorType", "cimString", None),
            item("OwningEntity", "cimString", None),
            item("PerceivedSeverity", "cimUnsignedShort", "0"),
            item("ProbableCause", "cimUnsignedShort", "0"),
            item("ProbableCauseDescription", "cimString", None),
            item("error_Category", "cimUnsignedInt", "30"),
            item("error_Code", "cimUnsignedInt", str(fault.code)),
            item("error_Type", "cimString", "HRESULT"),
            item("error_WindowsErrorMessage", "cimString", message),
        ]
    )
    return (
        '<p:MSFT_WmiError b:IsCIM_Error="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd" '
        'xmlns:p="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError" '
        'xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common" xsi:type="p:MSFT_WmiError_Type">'
        f"{items}</p:MSFT_WmiError>"
    )
