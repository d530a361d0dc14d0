"""What is wrong with a trunk, in plain language: DNS, reachability, registration, codecs, clock, NAT,
one-way audio. Each check says what was seen and what to do about it.

The trunk's registration is not touched: REGISTER goes out without a Contact, which only asks for
the bindings there are (RFC 3261 §10.2.3) and needs the same password.
"""

from __future__ import annotations

import secrets
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address

from appliance.errors import ProtocolError
from appliance.store.phonebook import CODECS, Trunk
from appliance.telephony.dnssrv import Srv, lookup, nameservers
from appliance.telephony.registration import digest
from appliance.telephony.sdp import codec_names
from appliance.telephony.sipclient import Reply, SipClient
from appliance.telephony.sipmessage import Response, parse_via

TIMEOUT_S = 4.0
"""For each request; RFC 3261 would wait 32 s, an operator does not."""
DNS_TIMEOUT_S = 2.0
MOST_TARGETS = 3
SLOW_MS = 500
"""An OPTIONS that takes longer than this delays every call's ringing noticeably."""
CLOCK_OFF_S = 30
"""Certificates, digest nonces and call records start to disagree at about this."""
DEAF_PACKETS = 10
"""Fewer RTP packets than this in a call, 200 ms, is no audio."""
TALK_PACKETS = 150
"""3 s of 20 ms packets: a call long enough to be judged."""

Lookup = Callable[[str], list[Srv] | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict; ``ok`` is None where it cannot be told or does not apply."""

    name: str
    ok: bool | None
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One server of a trunk."""

    host: str
    address: str
    port: int

    def __str__(self) -> str:
        name = "" if self.host == self.address else f" ({self.host})"
        return f"{self.address}:{self.port}{name}"


def diagnose(
    trunk: Trunk,
    *,
    audio: Sequence[Mapping[str, int]] | None = None,
    external_address: str = "",
    timeout_s: float = TIMEOUT_S,
    srv: Lookup | None = None,
) -> Iterator[Check]:
    """Check ``trunk`` from here; each verdict as soon as it is known. Blocks for seconds.

    ``audio`` has the RTP packets of its last calls (``in_packets`` from the carrier,
    ``out_packets`` to it); ``external_address`` is what FreeSWITCH gives as its own.
    """
    if not trunk.enabled:
        remedy = f"Take it into use: ivr trunks enable {trunk.name}"
        yield Check("trunk", None, "It is disabled: no call goes through it.", remedy)
    targets, dns = resolve(trunk, srv or _ask_dns)
    yield dns
    reply = None
    if targets:
        reply = yield from _reach(trunk, targets, timeout_s)
    if reply is not None:
        yield codecs(reply.response, trunk)
        yield clock(reply)
        yield nat(reply, external_address)
    yield one_way(audio)


def resolve(trunk: Trunk, srv: Lookup) -> tuple[list[Target], Check]:
    """The trunk's servers in the order to try them, by SRV where its proxy has no port."""
    port = trunk.port or (5061 if trunk.transport == "tls" else 5060)
    if _is_address(trunk.host):
        return [Target(trunk.host, trunk.host, port)], Check(
            "DNS", None, "The proxy is an address."
        )
    names, how = [(trunk.host, port)], ""
    if trunk.port is None:
        records = srv(_srv_name(trunk))
        if records:
            names = [(record.host, record.port) for record in records]
            how = f" by {len(records)} SRV records"
        elif records is None:
            how = " (no name server answered for SRV records)"
    targets = [Target(host, a, p) for host, p in names for a in _addresses(host)]
    if targets:
        shown = ", ".join(str(target) for target in targets[:MOST_TARGETS])
        return targets, Check("DNS", True, f"{trunk.host} is {shown}{how}.")
    return [], Check(
        "DNS", False, f"The name {trunk.host} has no IPv4 address{how}.",
        "Check its spelling with the carrier; check that this machine has a name server"
        " (/etc/resolv.conf), or give the trunk the carrier's address: ivr trunks change"
        f" {trunk.name} --proxy ADDRESS",
    )  # fmt: skip


def _reach(
    trunk: Trunk, targets: Sequence[Target], timeout_s: float
) -> Generator[Check, None, Reply | None]:
    """Connection, OPTIONS and REGISTER at the first server that answers; returns its answer."""
    for target in targets[:MOST_TARGETS]:
        client = SipClient((target.address, target.port), trunk.transport, trunk.host, timeout_s)
        try:
            with client:
                if trunk.transport == "tls":
                    yield trust(client.untrusted, trunk.host)
                reply = client.ask("OPTIONS", f"sip:{trunk.host}", _identity(trunk))
                yield options(reply, target, trunk)
                if reply is None:
                    continue
                yield register(client, trunk)
                return reply
        except (OSError, ProtocolError) as e:
            yield unreachable(e, target, trunk)
    return None


def trust(untrusted: str, host: str) -> Check:
    """Of the certificate that a TLS server showed."""
    if not untrusted:
        return Check("TLS", True, "The connection is encrypted and its certificate is trusted.")
    return Check(
        "TLS", None, f"Encrypted, but the certificate is not trusted: {untrusted}.",
        f"Ask the carrier for one made out to {host}, or put its authority in cafile.pem if"
        " FreeSWITCH is to check certificates (ivr switch configure --tls-certificates).",
    )  # fmt: skip


def unreachable(error: Exception, target: Target, trunk: Trunk) -> Check:
    """Where the network, not the server, said no."""
    where = f"{target} over {trunk.transport.upper()}"
    if isinstance(error, ConnectionRefusedError):
        what = f"Nothing listens at {where}: the port is closed."
        remedy = "Check the port and the transport with the carrier (ivr trunks change)."
    elif isinstance(error, ssl.SSLError):
        what = f"{where}: the TLS handshake failed: {error.reason or error}."
        remedy = "It may not speak TLS on this port, or only an old version; ask the carrier."
    elif isinstance(error, TimeoutError):
        what = f"{where} did not accept a connection in time."
        remedy = "A firewall drops it, here or there: allow it outwards, and ask the carrier."
    elif isinstance(error, ProtocolError):
        what = f"{where} answered, but {error}."
        remedy = "It may be no SIP server, or speak another transport; check proxy and transport."
    else:
        what = f"{where} cannot be reached: {error}."
        remedy = "Check this machine's network: address, route, firewall (ip route get ADDRESS)."
    return Check("OPTIONS", False, what, remedy)


def options(reply: Reply | None, target: Target, trunk: Trunk) -> Check:
    """Any answer shows that the server is there and hears us."""
    if reply is None:
        return Check(
            "OPTIONS", False, f"No answer from {target} over {trunk.transport.upper()}.",
            "A firewall drops it, or the carrier does not know our address. Ask them to allow this"
            " machine's public address, and check that UDP/TCP to that port may leave here.",
        )  # fmt: skip
    status, reason = reply.response.status, reply.response.reason
    what = f"{target} answered {status} {reason} in {reply.ms:.0f} ms."
    if status == 403:
        remedy = "It refuses us: ask the carrier to allow this machine's public address."
        return Check("OPTIONS", False, what, remedy)
    if status >= 500:
        remedy = "The carrier's server is in trouble or full; tell the carrier."
        return Check("OPTIONS", False, what, remedy)
    if reply.ms > SLOW_MS:
        remedy = f"Slow: over {SLOW_MS} ms delays calls; look at the line to the carrier."
        return Check("OPTIONS", True, what, remedy)
    return Check("OPTIONS", True, what)


def register(client: SipClient, trunk: Trunk) -> Check:
    """Whether the carrier takes our user name and password; asks only, changes no registration."""
    if not trunk.username:
        return Check("REGISTER", None, "The trunk has no user name: the carrier knows our address.")
    domain = trunk.realm or trunk.host
    uri, identity = f"sip:{domain}", _identity(trunk)
    reply = client.ask("REGISTER", uri, identity)
    tries = 0
    while reply and reply.response.status in (401, 407) and tries < 2:
        tries += 1
        response = reply.response
        asked = "www-authenticate" if response.status == 401 else "proxy-authenticate"
        challenge = response.headers.get(asked)
        if tries == 2 and "stale=true" not in challenge.lower().replace('"', ""):
            break
        answer = digest(
            challenge, method="REGISTER", uri=uri, username=trunk.username,
            password=trunk.password, cnonce=secrets.token_hex(8),
        )  # fmt: skip
        if answer is None:
            return Check(
                "REGISTER", False, "It asks for an authentication that we do not have:"
                f" {challenge[:80] or 'none named'}.", "Ask the carrier for digest MD5 or SHA-256.",
            )  # fmt: skip
        name = "Authorization" if response.status == 401 else "Proxy-Authorization"
        reply = client.ask("REGISTER", uri, identity, ((name, answer),))
    return registered(reply.response if reply else None, trunk, challenged=tries > 0)


def registered(response: Response | None, trunk: Trunk, *, challenged: bool) -> Check:
    """The answer to REGISTER in plain words."""
    user = trunk.username
    if response is None:
        return Check(
            "REGISTER", False, "OPTIONS is answered, REGISTER is not.",
            "Is the carrier's registrar another server? Ask which proxy takes registrations.",
        )  # fmt: skip
    said = f"{response.status} {response.reason}".strip()
    if 200 <= response.status < 300:
        return _accepted(response, trunk, challenged)
    if response.status in (401, 407) or (response.status == 403 and challenged):
        return Check(
            "REGISTER", False, f"The password of user {user} is refused ({said}).",
            f"Set it anew: ivr trunks change {trunk.name} --password. If it is right, the user name"
            " or the realm is not; both stand in the carrier's letter.",
        )  # fmt: skip
    advice = {
        403: "It does not let us register: wrong user name, another of our lines is registered"
        " already, or our address is not allowed. Ask the carrier.",
        404: f"It knows no user {user}: check user name and realm (ivr trunks change"
        f" {trunk.name} --username … --realm …).",
        405: "It takes no registrations: ivr trunks change"
        f" {trunk.name} --no-register; the carrier knows our address instead.",
        423: "It wants longer registrations than we ask for; tell us, this is ours to mend.",
        503: "Its registrar is full or in trouble; tell the carrier.",
    }
    general = "Show this answer to the carrier; FreeSWITCH gets the same one."
    return Check("REGISTER", False, f"It answered {said}.", advice.get(response.status, general))


def _accepted(response: Response, trunk: Trunk, challenged: bool) -> Check:
    how = "User name and password are right" if challenged else "It asks for no password"
    if not trunk.register:
        return Check("REGISTER", True, f"{how}; the trunk does not register.")
    bindings = response.headers.listed("contact")
    if bindings:
        return Check("REGISTER", True, f"{how}; registered at present: {bindings[0][:120]}.")
    return Check(
        "REGISTER", True, f"{how}, but nobody is registered at present.",
        "Calls to us cannot arrive until FreeSWITCH registers: is ivr switch running, and the trunk"
        " listed by `ivr trunks`?",
    )  # fmt: skip


def codecs(response: Response, trunk: Trunk) -> Check:
    """Whether the codecs that a server names in its answer are among the trunk's."""
    theirs = offered_codecs(response.body)
    ours = trunk.codecs or CODECS
    if not theirs:
        return Check(
            "codec", None, f"Its answer names no codecs; we offer {', '.join(ours)}.",
            "Indian carriers take PCMA (G.711 A-law); calls that fail with 488 or"
            " INCOMPATIBLE_DESTINATION need another list (ivr trunks change --codec).",
        )  # fmt: skip
    common = [codec for codec in ours if codec in theirs]
    if common:
        return Check("codec", True, f"Both sides speak {', '.join(common)}.")
    return Check(
        "codec", False, f"It speaks {', '.join(theirs)}, we offer {', '.join(ours)}: calls fail.",
        f"Offer one of its codecs: ivr trunks change {trunk.name} --codec PCMA, or ask the carrier"
        " for G.711.",
    )  # fmt: skip


def offered_codecs(body: bytes) -> list[str]:
    """Names of the audio codecs in an SDP (RFC 8866), in its order; DTMF and comfort noise not."""
    return [name for name in codec_names(body) if name not in ("TELEPHONE-EVENT", "CN")]


def clock(reply: Reply) -> Check:
    """Our clock against the Date header of the answer (RFC 3261 §20.17)."""
    text = reply.response.headers.get("date")
    try:
        theirs = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return Check("clock", None, "Its answer says no time.")
    off_s = reply.at - theirs
    if abs(off_s) <= CLOCK_OFF_S:
        return Check("clock", True, f"Our clock and the carrier's agree within {abs(off_s):.0f} s.")
    way = "ahead of" if off_s > 0 else "behind"
    return Check(
        "clock", False, f"Our clock is {abs(off_s):.0f} s {way} the carrier's.",
        "Call records and certificates need the right time: timedatectl set-ntp true (or a time"
        " server of your own network).",
    )  # fmt: skip


def nat(reply: Reply, external_address: str) -> Check:
    """The address the carrier sees us at (Via's received and rport, RFC 3581) against our own."""
    vias = reply.response.headers.listed("via")
    seen = parse_via(vias[0]).get("received") if vias else None
    port = parse_via(vias[0]).get("rport") if vias else None
    ours, our_port = reply.local
    if not seen and not port:
        return Check("NAT", None, f"Its answer does not say which address it sees; ours is {ours}.")
    seen = seen or ours
    if seen == ours:
        moved = port and port != str(our_port)
        what = f"The carrier sees us at {seen}: no NAT between us."
        return Check("NAT", True, what if not moved else f"{what[:-1]}, but at another port.")
    if seen == external_address:
        return Check("NAT", True, f"We are {ours} behind NAT, and say {seen}, as the carrier sees.")
    said = external_address or ours
    return Check(
        "NAT", False, f"The carrier sees us at {seen}, but we say {said}: callers would not be heard.",
        f"ivr switch configure --external-address {seen}; forward SIP and RTP ports to {ours} in the"
        " router, and switch its SIP ALG off.",
    )  # fmt: skip


def one_way(audio: Sequence[Mapping[str, int]] | None) -> Check:
    """Whether RTP went both ways in the last calls, as FreeSWITCH counted it."""
    if audio is None:
        return Check("audio", None, "No ivr switch runs here that could tell of the last calls.")
    pairs = [(call.get("in_packets", 0), call.get("out_packets", 0)) for call in audio]
    judged = [pair for pair in pairs if max(pair) >= TALK_PACKETS]
    if not judged:
        return Check(
            "audio", None, "No call of 3 s or more went through it since ivr switch began."
        )
    deaf = sum(got < DEAF_PACKETS for got, _ in judged)
    mute = sum(sent < DEAF_PACKETS for _, sent in judged)
    of = f"of the last {len(judged)} calls"
    if deaf:
        return Check(
            "audio", False, f"In {deaf} {of} no audio came from the carrier: callers were not heard.",
            "RTP is lost on its way in: allow UDP 16384-32767 in the firewall, check NAT above, and"
            " ask the carrier which addresses its RTP comes from.",
        )  # fmt: skip
    if mute:
        return Check(
            "audio", False, f"In {mute} {of} we sent no audio: callers heard nothing.",
            "Calls ended before they were answered, or a codec was not agreed; see `ivr calls show`"
            " and the log of FreeSWITCH.",
        )  # fmt: skip
    return Check("audio", True, f"Audio went both ways in all {of}.")


def _identity(trunk: Trunk) -> str:
    return f"sip:{trunk.username or 'ivr'}@{trunk.realm or trunk.host}"


def _srv_name(trunk: Trunk) -> str:
    service = "_sips._tcp" if trunk.transport == "tls" else f"_sip._{trunk.transport}"
    return f"{service}.{trunk.host}"


def _ask_dns(name: str) -> list[Srv] | None:
    return lookup(name, nameservers(), DNS_TIMEOUT_S)


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
