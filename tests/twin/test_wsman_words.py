"""The twin's answers against the answers of a real Windows, word for word.

The recordings are of the pypsrp project (tests/tests_pypsrp/responses). Each recorded request is sent to the twin as
it stands, with the twin's own ids in place of the recorded ones, and the answers are compared as XML after the ids,
addresses and names that differ by nature have been made equal.
"""

from __future__ import annotations

import base64
import http.client
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from tests.twin.raw_wsman import CLEAR_TYPE, CONFIG, PASSWORD, TRANSFER, Served, message, receive_message, serving
from vengeance.twin.process import Process, ProcessOutput, Start

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "winrm"
FILES = sorted(RECORDINGS.glob("*.yml"))

RSP = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"


@dataclass
class Script:
    """A program that prints the recorded pieces: those before each recorded operation timeout, then the next ones."""

    parts: list[list[tuple[str, bytes]]] = field(default_factory=lambda: [[]])
    exit_code: int = 0
    inputs: list[bytes] = field(default_factory=list)
    output: ProcessOutput | None = None
    awaits_input: bool = False

    def start(self, start: Start, output: ProcessOutput) -> Process:
        self.output = output
        if not self.awaits_input:
            self.go_on()
        return self

    def go_on(self) -> None:
        assert self.output is not None
        part = self.parts.pop(0)
        for stream, data in part:
            (self.output.write_stdout if stream == "stdout" else self.output.write_stderr)(data)
        if not self.parts:
            self.output.exit(self.exit_code)

    def write(self, data: bytes) -> None:
        self.inputs.append(data)

    def close_stdin(self) -> None:
        self.go_on()

    def terminate(self) -> None:
        if self.output is not None:
            self.output.exit(1)


def script_of(messages: list[dict[str, str]]) -> Script:
    script = Script()
    for exchange in messages:
        root = ElementTree.fromstring(exchange["response"])
        script.awaits_input |= "shell/Send<" in exchange["request"]
        if root.find(f".//{RSP}ReceiveResponse") is None:
            continue
        for stream in root.iter(f"{RSP}Stream"):
            if stream.text:
                script.parts[-1].append((stream.attrib["Name"], base64.b64decode(stream.text)))
        code = root.findtext(f".//{RSP}ExitCode")
        if code is None:
            script.parts.append([])
        else:
            script.exit_code = int(code)
    return script


def plain(envelope: str) -> str:
    """The envelope in canonical form with everything equal that differs by nature."""
    text = re.sub(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "GUID", envelope)
    text = re.sub(r"<p:ActivityId>[^<]*</p:ActivityId>", "", text)
    text = re.sub(r"<a:Address>[^<]*</a:Address>", "<a:Address>HERE</a:Address>", text)
    text = re.sub(r"<rsp:Owner>[^<]*</rsp:Owner>", "<rsp:Owner>ME</rsp:Owner>", text)
    text = re.sub(r"<rsp:ClientIP>[^<]*</rsp:ClientIP>", "<rsp:ClientIP>ME</rsp:ClientIP>", text)
    text = re.sub(r'Machine="[^"]*"', 'Machine="HERE"', text)
    return ElementTree.canonicalize(text)


class Replay:
    """Sends recorded requests to the twin."""

    def __init__(self, served: Served) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", served.server.http_port, timeout=30)
        credentials = base64.b64encode(f"Steam:{PASSWORD}".encode()).decode()
        self.headers = {"Content-Type": CLEAR_TYPE, "Authorization": f"Basic {credentials}"}
        self.ids: dict[str, str] = {}

    def send(self, request: str, recorded: str) -> tuple[int, str]:
        for theirs, ours in self.ids.items():
            request = request.replace(theirs, ours)
        self.http.request("POST", "/wsman", request.encode(), self.headers)
        response = self.http.getresponse()
        answer = response.read().decode()
        for tag in ("ShellId", "CommandId"):
            pattern = f"<rsp:{tag}>([^<]*)</rsp:{tag}>"
            theirs_found, ours_found = re.search(pattern, recorded), re.search(pattern, answer)
            if theirs_found and ours_found:
                self.ids[theirs_found[1]] = ours_found[1]
        return response.status, answer


@pytest.mark.skipif(not FILES, reason="the recordings of real WinRM answers are not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_answer_is_that_of_windows(tmp_path: Path, file: Path) -> None:
    messages = yaml.safe_load(file.read_text(encoding="utf-8"))["messages"]
    script = script_of(messages)
    with serving(tmp_path, launcher=script) as served:
        served.server.limits.allow_unencrypted = True
        replay = Replay(served)
        for number, exchange in enumerate(messages):
            # the recorded program was silent for longer than a test should wait
            request = exchange["request"].replace("PT10S", "PT0.2S")
            last_fault = "2150858793" in exchange["response"] and "2150858793" not in messages[number + 1]["response"]
            status, answer = replay.send(request, exchange["response"])
            assert status == (500 if "transport_error" in exchange else 200)
            assert plain(answer) == plain(exchange["response"])
            if last_fault:
                script.go_on()
    if script.awaits_input:
        sent = re.findall(r">([A-Za-z0-9+/=]+)</rsp:Stream></rsp:Send>", "".join(e["request"] for e in messages))
        assert script.inputs == [base64.b64decode(text) for text in sent]


def test_the_comparison_notices_a_difference() -> None:
    one = '<a xmlns:rsp="urn:x"><rsp:Owner>me</rsp:Owner><b c="1"/></a>'
    assert plain(one) == plain(one.replace("me", "you").replace('<b c="1"/>', "<b c='1'></b>"))
    assert plain(one) != plain(one.replace('"1"', '"2"'))


FAULTS = {
    # recorded on Windows Server 2016 and 2008 R2 by the pypsrp project, without the headers
    "test_winrs_bad_cmd_id": (
        2150858843,
        "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:InvalidSelectors</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en-US">The WS-Management service cannot process the request because the request '
        "contained invalid selectors for the resource. </s:Text></s:Reason><s:Detail><w:FaultDetail>"
        "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/UnexpectedSelectors</w:FaultDetail><f:WSManFault "
        'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858843" Machine="HERE"><f:Message>'
        "The Windows Remote Shell received a request to perform an operation on a command identifier that does not "
        "exist. Either the command has completed execution or the client specified an invalid command identifier. "
        "</f:Message></f:WSManFault></s:Detail>",
    ),
    "test_winrs_fail_poll_process": (
        87,
        "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:InvalidParameter</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en-US">The parameter is incorrect. </s:Text></s:Reason><s:Detail><w:FaultDetail>'
        "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/InvalidValue</w:FaultDetail><f:WSManFault "
        'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="87" Machine="HERE"><f:Message>'
        '<f:ProviderFault provider="Shell cmd plugin" path="%systemroot%\\system32\\winrscmd.dll">The parameter is '
        "incorrect. </f:ProviderFault></f:Message></f:WSManFault></s:Detail>",
    ),
    "test_winrs_no_cmd_shell": (
        2147942402,
        "<s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:InternalError</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en-US">The system cannot find the file specified. </s:Text></s:Reason><s:Detail>'
        '<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2147942402" '
        'Machine="HERE"><f:Message><f:ProviderFault provider="Shell cmd plugin" '
        'path="%systemroot%\\system32\\winrscmd.dll">The system cannot find the file specified. </f:ProviderFault>'
        "</f:Message></f:WSManFault></s:Detail>",
    ),
    "test_psrp_is_alive_other_wsman_error": (
        2150858767,
        "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>a:InvalidMessageInformationHeader</s:Value>"
        '</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">The WS-Management service cannot process the request. '
        "The request contains one or more invalid SOAP headers. </s:Text></s:Reason><s:Detail><f:WSManFault "
        'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858767" Machine="HERE"><f:Message>'
        "The WS-Management service cannot process the request. The XML contains an invalid timeout field in the SOAP "
        "header: PT-1S. </f:Message></f:WSManFault></s:Detail>",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_the_words_of_windows(tmp_path: Path, name: str) -> None:
    code, words = FAULTS[name]
    with serving(tmp_path) as served:
        connection = served.signed_in()
        shell = connection.create()
        sent = {
            "test_winrs_bad_cmd_id": receive_message(shell, "1F2E3D4C-0000-0000-0000-000000000000"),
            "test_winrs_fail_poll_process": receive_message(shell, "x").replace(b' CommandId="x"', b""),
            "test_winrs_no_cmd_shell": message(
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Command",
                shell,
                "<rsp:CommandLine><rsp:Command>no-such-program</rsp:Command></rsp:CommandLine>",
            ),
            "test_psrp_is_alive_other_wsman_error": message(f"{TRANSFER}/Get", resource=CONFIG, timeout="PT-1S"),
        }[name]
        answer = connection.send(sent)
    assert (answer.status, answer.fault) == (500, code)
    assert words in re.sub(r'Machine="[^"]*"', 'Machine="HERE"', answer.body.decode())


def test_threads_of_a_stopped_server_end(tmp_path: Path) -> None:
    before = threading.active_count()
    with serving(tmp_path) as served:
        for _ in range(5):
            served.signed_in()
    assert threading.active_count() <= before + 1
