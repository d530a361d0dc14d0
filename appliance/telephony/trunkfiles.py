"""Rows of the database as the XML that FreeSWITCH reads from its ``site`` folder. Pure.

Values are operators' and carriers' words. Each is escaped as an attribute, and every ``$`` is
written as a character reference: FreeSWITCH replaces ``$${…}`` in the text before it reads the XML,
and the reference keeps it from seeing one. A line can begin no ``X-PRE-PROCESS``, for ``<`` and
line breaks are escaped too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

from appliance.store.phonebook import Extension, Trunk, check_extension, check_trunk

ACL = "trunks"
REGISTER_S = 600
"""How long a registration lives; short enough for a router that forgets, long enough for a carrier."""
RETRY_S = 30
"""Between two tries of a registration that failed."""
REGISTER_TIMEOUT_S = 20
PINGS_TO_CHANGE = 2
"""So many unanswered (answered) OPTIONS make a gateway down (up)."""


def gateway_xml(trunk: Trunk) -> str:
    """``gateways/NAME.xml``. Raises UserError for a trunk that breaks a rule."""
    check_trunk(trunk)
    lines = ["<include>", f"  <gateway name={_quoted(trunk.name)}>", "    <params>"]
    lines += [_line("param", name, value) for name, value in _params(trunk).items()]
    lines += ["    </params>", "    <variables>"]
    lines += [
        _line("variable", name, value, ' direction="outbound"')
        for name, value in _variables(trunk).items()
    ]
    return "\n".join([*lines, "    </variables>", "  </gateway>", "</include>", ""])


def acl_xml(trunks: Iterable[Trunk], resolved: Mapping[str, Sequence[str]]) -> str:
    """``acl.xml``: the list ``trunks``, of networks whose calls are taken; all others are refused.

    ``resolved`` has the addresses of each trunk's proxy by the trunk's name; used for trunks
    without ``addresses``. Disabled trunks have no part in it.
    """
    networks: dict[str, str] = {}
    for trunk in trunks:
        if trunk.enabled:
            for address in networks_of(trunk, resolved):
                networks.setdefault(address, trunk.name)
    nodes = [f'      <node type="allow" cidr={_quoted(network)}/>' for network in networks]
    head = f'    <list name="{ACL}" default="deny">'
    return "\n".join(["<include>", head, *nodes, "    </list>", "</include>", ""])


def directory_xml(extension: Extension) -> str:
    """``directory/EXTENSION.xml``: a telephone that may register. Raises UserError."""
    check_extension(extension)
    number = _quoted(extension.extension)
    name = _quoted(extension.name or extension.extension)
    return "\n".join(
        [
            "<include>",
            f"  <user id={number}>",
            "    <params>",
            _line("param", "a1-hash", extension.a1_hash),
            "    </params>",
            "    <variables>",
            f'      <variable name="effective_caller_id_number" value={number}/>',
            f'      <variable name="effective_caller_id_name" value={name}/>',
            "    </variables>",
            "  </user>",
            "</include>",
            "",
        ]
    )


def networks_of(trunk: Trunk, resolved: Mapping[str, Sequence[str]]) -> list[str]:
    """Networks (CIDR) that calls of ``trunk`` come from: its own, else its proxy's addresses."""
    found = trunk.addresses or resolved.get(trunk.name, ())
    return [str(ip_network(address, strict=False)) for address in found]


def _params(trunk: Trunk) -> dict[str, str]:
    params = {
        "realm": trunk.realm or trunk.host,
        "proxy": trunk.proxy,
        "register": _truth(trunk.register),
        "register-transport": trunk.transport,
        "expire-seconds": str(REGISTER_S),
        "retry-seconds": str(RETRY_S),
        "timeout-seconds": str(REGISTER_TIMEOUT_S),
        "caller-id-in-from": _truth(bool(trunk.caller_id) or trunk.caller_id_rule == "pass"),
        # a registered trunk's calls come to our Contact: the dialled number stands in To alone
        "extension": "auto_to_user",
    }
    if trunk.username:
        params |= {"username": trunk.username, "password": trunk.password}
        params |= {"from-user": trunk.username}
    if trunk.realm:
        params["from-domain"] = trunk.realm
    if trunk.ping_s:
        params |= {"ping": str(trunk.ping_s), "ping-max": str(PINGS_TO_CHANGE), "ping-min": "1"}
        params["contact-in-ping"] = "true"
    return params


def _variables(trunk: Trunk) -> dict[str, str]:
    variables = {"rtp_secure_media_outbound": _offered_srtp(trunk), "ivr_trunk": trunk.name}
    if trunk.codecs:
        variables["absolute_codec_string"] = ",".join(trunk.codecs)
    return variables


def _offered_srtp(trunk: Trunk) -> str:
    """A key sent over plain SIP protects nothing, and the doubled offer upsets old carriers: what
    is optional is offered over TLS only."""
    if trunk.srtp == "required":
        return "mandatory"
    return "optional" if trunk.srtp == "optional" and trunk.transport == "tls" else "forbidden"


def _line(tag: str, name: str, value: str, rest: str = "") -> str:
    return f'      <{tag} name="{name}" value={_quoted(value)}{rest}/>'


_REFERENCES = str.maketrans(
    {c: f"&#{ord(c)};" for c in "$\"'\r\n\t"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def _quoted(text: str) -> str:
    return f'"{text.translate(_REFERENCES)}"'


def _truth(value: bool) -> str:
    return "true" if value else "false"
