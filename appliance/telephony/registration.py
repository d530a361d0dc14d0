"""Registers us as an extension at a PBX (RFC 3261 §10), with digest authentication (RFC 2617, 7616)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import uuid
from collections.abc import Callable
from enum import Enum, auto

from appliance.errors import ProtocolError, UserError
from appliance.telephony.calltable import Flow
from appliance.telephony.proxy import MAX_FORWARDS, REGISTER_MARK
from appliance.telephony.sipmessage import (
    DEFAULT_SIP_PORT,
    Headers,
    Request,
    Response,
    cseq,
    parse,
    parse_uri,
)
from appliance.urls import in_url

_log = logging.getLogger(__name__)

EXPIRES_S = 300
RETRY_S = 15.0
"""After a refusal or no answer."""
T1_S = 0.5
T2_S = 4.0
TRANSACTION_S = 32.0
_CHALLENGE = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class RegistrationState(Enum):
    TRYING = auto()
    REGISTERED = auto()
    REFUSED = auto()
    """The PBX said no, or nothing; tried again every RETRY_S."""


class Registration:
    """Keeps one binding fresh; ``run`` until cancelled, then ``remove``."""

    def __init__(
        self,
        registrar: str,
        username: str,
        password: str,
        public: tuple[str, int],
        send: Callable[[Flow, bytes], None],
    ) -> None:
        try:
            uri = parse_uri(registrar)
        except ProtocolError as e:
            raise UserError(
                f"Setting sip.registrar = {registrar!r} is no SIP address; "
                "write it like sip:pbx.example:5060."
            ) from e
        self._flow = Flow(uri.transport, uri.host, uri.port or DEFAULT_SIP_PORT)
        self._uri = f"sip:{uri.host}" + (f":{uri.port}" if uri.port else "")
        self._user, self._password = username or "ivr", password
        self._public = public
        self._send = send
        self._call_id = str(uuid.uuid4())
        self._tag = secrets.token_hex(6)
        self._cseq = 0
        self._answer: asyncio.Future[Response] | None = None
        self.state = RegistrationState.TRYING

    def received(self, data: bytes) -> None:
        """A response to one of our REGISTERs, as it came from the network."""
        try:
            message = parse(data)
        except ProtocolError as e:
            _log.warning("! registrar: %s; dropped", e)
            return
        waiting = self._answer
        if not isinstance(message, Response) or waiting is None or waiting.done():
            return
        if message.call_id != self._call_id:
            return  # not the registrar's: it might be after an answer to a challenge of its own
        if cseq(message.headers)[0] == self._cseq and message.status >= 200:
            waiting.set_result(message)

    async def run(self) -> None:
        """Register and refresh until cancelled."""
        while True:
            granted_s = await self._register(EXPIRES_S)
            if granted_s is None:
                self.state = RegistrationState.REFUSED
                await asyncio.sleep(RETRY_S)
                continue
            if self.state is not RegistrationState.REGISTERED:
                _log.info("= registered at %s for %d s", self._uri, granted_s)
            self.state = RegistrationState.REGISTERED
            await asyncio.sleep(max(granted_s * 0.8, 5.0))

    async def remove(self) -> None:
        """Take the binding back."""
        if self.state is RegistrationState.REGISTERED:
            self.state = RegistrationState.TRYING
            await self._register(0)

    async def _register(self, expires_s: int) -> int | None:
        """One REGISTER, and again with credentials when asked; the granted seconds or None."""
        response = await self._exchange(expires_s, ())
        if response and response.status in (401, 407):
            name = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
            answer = self._credentials(response.headers.get(name.lower()))
            if answer is None:
                return None
            header = "Authorization" if response.status == 401 else "Proxy-Authorization"
            response = await self._exchange(expires_s, ((header, answer),))
        if response is None:
            _log.warning("! registrar %s does not answer", self._uri)
            return None
        if response.status >= 300:
            _log.warning("! registrar %s: %d %s", self._uri, response.status, response.reason)
            return None
        return _granted_s(response, expires_s)

    async def _exchange(
        self, expires_s: int, extra: tuple[tuple[str, str], ...]
    ) -> Response | None:
        """Send until answered (timers E and F of §17.1.2.2)."""
        self._cseq += 1
        data = self._request(expires_s, extra).serialise()
        self._answer = asyncio.get_running_loop().create_future()
        wait_s, waited_s = T1_S, 0.0
        while waited_s < TRANSACTION_S:
            self._send(self._flow, data)
            try:
                return await asyncio.wait_for(asyncio.shield(self._answer), wait_s)
            except TimeoutError:
                waited_s += wait_s
                wait_s = min(wait_s * 2, T2_S)
        return None

    def _request(self, expires_s: int, extra: tuple[tuple[str, str], ...]) -> Request:
        host, port = self._public
        where = f"{in_url(host)}:{port}"
        me = f"<sip:{self._user}@{self._uri.removeprefix('sip:')}>"
        via = f"SIP/2.0/{self._flow.transport.upper()} {where}"
        contact = f"<sip:{self._user}@{where};transport={self._flow.transport}>"
        items = (
            ("Via", f"{via};branch={REGISTER_MARK}{secrets.token_hex(8)};rport"),
            ("Max-Forwards", str(MAX_FORWARDS)),
            ("From", f"{me};tag={self._tag}"),
            ("To", me),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} REGISTER"),
            ("Contact", f"{contact};expires={expires_s}"),
            ("Expires", str(expires_s)),
            *extra,
        )
        return Request("REGISTER", self._uri, Headers(items))

    def _credentials(self, challenge: str) -> str | None:
        answer = digest(
            challenge,
            method="REGISTER",
            uri=self._uri,
            username=self._user,
            password=self._password,
            cnonce=secrets.token_hex(8),
        )
        if answer is None:
            _log.warning("! registrar %s asks for an authentication we do not have", self._uri)
        return answer


def digest(
    challenge: str, *, method: str, uri: str, username: str, password: str, cnonce: str
) -> str | None:
    """The Authorization value for a Digest ``challenge`` (MD5 or SHA-256; qop auth or none).

    None when it is of a kind that we do not speak.
    """
    scheme, _, rest = challenge.partition(" ")
    fields = {k.lower(): a or b for k, a, b in _CHALLENGE.findall(rest)}
    algorithm = fields.get("algorithm", "MD5").upper()
    if scheme.lower() != "digest" or algorithm not in _HASHES or "nonce" not in fields:
        return None
    qop = "auth" if "auth" in re.split(r"[,\s]+", fields.get("qop", "")) else ""
    if "qop" in fields and not qop:
        return None

    def h(text: str) -> str:
        return _HASHES[algorithm](text.encode()).hexdigest()

    realm, nonce = fields.get("realm", ""), fields["nonce"]
    ha1, ha2 = h(f"{username}:{realm}:{password}"), h(f"{method}:{uri}")
    middle = f"{nonce}:00000001:{cnonce}:auth" if qop else nonce
    parts = [f'username="{username}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"']
    parts += [f'response="{h(f"{ha1}:{middle}:{ha2}")}"', f"algorithm={algorithm}"]
    if qop:
        parts += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    if "opaque" in fields:
        parts.append(f'opaque="{fields["opaque"]}"')
    return "Digest " + ", ".join(parts)


def _granted_s(response: Response, asked_s: int) -> int:
    """How long the binding lives: our Contact's ``expires``, else Expires, else what we asked."""
    for text in (response.headers.get("contact"), f"expires={response.headers.get('expires')}"):
        match = re.search(r"expires=(\d{1,7})", text, re.IGNORECASE | re.ASCII)
        if match:
            return int(match[1])
    return asked_s
