"""How programs of the twin's Windows reach web servers: names that only the twin knows, real TLS, a proxy if told."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Problem = Literal["name", "connect", "trust", "timeout", "receive", "proxy"]
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 50


class WebError(Exception):
    """A request failed without an answer; the text is what .NET Framework says.

    problem: what kind of System.Net.WebExceptionStatus it was
    """

    def __init__(self, problem: Problem, text: str) -> None:
        super().__init__(text)
        self.problem = problem


class Response:
    """An answer whose body is still to be read."""

    def __init__(self, url: str, answer: http.client.HTTPResponse, close: Callable[[], None]) -> None:
        self.url = url
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._close = close

    @property
    def length(self) -> int | None:
        """Bytes of the body as they were announced."""
        text = self.headers.get("Content-Length")
        return None if text is None else int(text)

    def read(self, count: int) -> bytes:
        """At most so many bytes of the body; b"" at its end, and when the connection is closed before it.

        WebError when the server says nothing for too long, or the connection breaks.
        """
        try:
            return self._answer.read1(count)
        except TimeoutError as error:
            raise WebError("timeout", "The operation has timed out.") from error
        except (OSError, http.client.HTTPException) as error:
            raise WebError(
                "receive",
                "Unable to read data from the transport connection: An existing connection was forcibly closed by the "
                "remote host.",
            ) from error

    def close(self) -> None:
        """Drop the connection."""
        self._close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Web:
    """What Windows' name service and certificate store know, in the twin only.

    names: host name -> where its https really is; proxies: host name and port -> where that proxy really is
    direct: whether anybody gets out without a proxy
    """

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, int]] = {}
        self.proxies: dict[tuple[str, int], tuple[str, int]] = {}
        self.direct = True
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    def believe(self, authority: bytes) -> None:
        """Add an authority (PEM) to those that are believed."""
        self._context.load_verify_locations(cadata=authority.decode("ascii"))

    def open(
        self, url: str, headers: Mapping[str, str] | None = None, proxy: str | None = None, timeout: float = 60.0
    ) -> Response:
        """Ask for a URL and follow its redirects, headers kept, as HttpWebRequest does.

        proxy: as ``http://proxy.lan:3128``; timeout: seconds that the server may say nothing
        Raises WebError. An answer with an error status is an answer.
        """
        for _ in range(_MOST_REDIRECTS):
            response = self._open_one(url, headers or {}, proxy, timeout)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            url = urljoin(url, location)
        raise WebError("receive", "Too many automatic redirections were attempted.")

    def _open_one(self, url: str, headers: Mapping[str, str], proxy: str | None, timeout: float) -> Response:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme != "https":
            raise WebError("name", f"The twin's web has https only, and not {url}.")
        connection = self._connection(host, proxy, timeout)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("GET", target or "/", headers={"User-Agent": "vengeance", **headers})
            answer = connection.getresponse()
        except WebError:
            connection.close()
            raise
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise WebError(
                "trust",
                "The underlying connection was closed: Could not establish trust relationship for the SSL/TLS secure "
                "channel.",
            ) from error
        except TimeoutError as error:
            connection.close()
            raise WebError("timeout", "The operation has timed out.") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if "Tunnel connection failed" in str(error):
                raise WebError(
                    "proxy", f"The remote server returned an error: {str(error).split(':')[-1].strip()}."
                ) from error
            raise WebError("connect", "Unable to connect to the remote server") from error
        return Response(url, answer, connection.close)

    def _connection(self, host: str, proxy: str | None, timeout: float) -> http.client.HTTPSConnection:
        if proxy is None:
            connection = http.client.HTTPSConnection(host, timeout=timeout, context=self._context)
            place = self._place(host)
        else:
            way = urlsplit(proxy)
            via = ((way.hostname or "").lower(), way.port or 80)
            if via not in self.proxies:
                raise WebError("name", f"The remote name could not be resolved: '{via[0]}'")
            connection = http.client.HTTPSConnection(*via, timeout=timeout, context=self._context)
            connection.set_tunnel(host, 443)
            place = self.proxies[via]

        def connect(address: object, timeout: float, source: object = None) -> socket.socket:
            return socket.create_connection(place, timeout)

        # The only door of http.client for a name service of one's own.
        connection._create_connection = connect  # type: ignore[attr-defined]
        return connection

    def _place(self, host: str) -> tuple[str, int]:
        if host not in self.names:
            raise WebError("name", f"The remote name could not be resolved: '{host}'")
        if not self.direct:
            raise WebError("connect", "Unable to connect to the remote server")
        return self.names[host]
