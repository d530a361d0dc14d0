"""FreeSWITCH's configuration folder: ours, with what is particular to a site in ``site/``.

``configure`` copies ``freeswitch-conf/`` and ``dialplans/`` and writes ``site/vars.xml``; to repeat
it is to repair or to upgrade. Variables of FreeSWITCH are text that is pasted into XML before it is
read, so values are checked here and never escaped.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from appliance import shipped
from appliance.errors import UserError
from appliance.files import write_whole
from appliance.settings import EVENT_SOCKET_SECRET, Settings
from appliance.telephony.failuredial import check_failure_dial
from appliance.telephony.tollguard import TollGuard

SHIPPED = shipped.root()
"""Holds ``freeswitch-conf/`` and ``dialplans/``."""
SECRET_MODE = 0o640
"""Of files with passwords: FreeSWITCH may run as another user of our group."""
FOLDER_MODE = 0o2750
"""Of ``site/``: what is made in it belongs to its group."""
LEGS_PER_CALL = 3
"""The caller, the person they are transferred to, a supervisor."""
SPARE_LEGS = 20
NOBODY_MAY_CALL = """<include>
  <!-- Written by `ivr switch` from the table `trunks`. -->
  <list name="trunks" default="deny"/>
</include>
"""

_VARIABLE = re.compile(r'<X-PRE-PROCESS cmd="set" data="([A-Za-z0-9_]+)=([^"]*)"/>')
_UNSAFE = re.compile(r"[\"<>&\x00-\x1f\x7f]")
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


@dataclass(frozen=True)
class Options:
    """What is particular to a site. None: as it was before, or the default."""

    address: str | None = None
    """Own address that SIP and RTP are served on; default: the machine's first."""
    external_address: str | None = None
    """The address that carriers see where the machine stands behind NAT; default: ``address``."""
    sip_port: int | None = None
    """For trunks; default 5060, TLS on the next one."""
    phones_port: int | None = None
    """For our own telephones; default 5070, TLS on the next one."""
    rtp_ports: tuple[int, int] | None = None
    """First and last; two a leg; default 16384 to 32766."""
    domain: str | None = None
    """SIP domain and digest realm of our own telephones; default ivr.internal."""
    tls_certificates: Path | None = None
    """Folder with agent.pem (certificate and key), and cafile.pem to check others by."""
    failure_dial: str | None = None
    """Dial string of FreeSWITCH for the person who takes calls that nobody else can."""
    sessions_per_second: int | None = None
    """Most new legs a second; default 50."""
    group: str | None = None
    """Unix group that FreeSWITCH runs in, to read the files of ``site/``."""


@dataclass(frozen=True)
class Configured:
    """A configuration folder, as it now is."""

    folder: Path
    variables: Mapping[str, str]
    """The site's variables, the password among them."""

    def summary(self) -> dict[str, object]:
        """What may be shown."""
        names = ("sip_address", "external_address", "domain", "tls")
        ports = ("sip_port", "phones_port", "rtp_first_port", "rtp_last_port", "event_socket_port")
        return (
            {"folder": str(self.folder)}
            | {name: self.variables[name] for name in names}
            | {name: int(self.variables[name]) for name in ports}
        )


DEFAULTS = {
    "sip_address": "$${local_ip_v4}",
    "external_address": "$${sip_address}",
    "sip_port": "5060",
    "sip_tls_port": "5061",
    "phones_port": "5070",
    "phones_tls_port": "5071",
    "rtp_first_port": "16384",
    "rtp_last_port": "32766",
    "domain": "ivr.internal",
    "tls": "false",
    "tls_certificates": "",
    "tls_verify": "none",
    "sessions_per_second": "50",
    "ivr_failure_dial": "",
}


def configure(settings: Settings, to: Path, options: Options) -> Configured:
    """Make or renew the configuration folder ``to``; its ``site/`` keeps what is in it.

    Raises UserError for options that cannot be, for a folder that holds somebody else's
    configuration, and for one that cannot be written.
    """
    site = to / "site"
    try:
        if any(to.glob("*.xml")) and not (site / "vars.xml").exists():
            raise UserError(
                f"{to} holds another configuration of FreeSWITCH. Move it away"
                f" (mv {to} {to}.old), or name another folder."
            )
        path = site / "vars.xml"
        before = read_variables(path.read_text()) if path.exists() else {}
        variables = merge(before, options) | _from_settings(settings)
        _check(variables)
        _check_failure_dial(settings, variables["ivr_failure_dial"])
        _copy(to)
        _make_site(site)
        _write(path, render_variables(variables), SECRET_MODE)
        if options.group is not None:
            _give_to(options.group, site)
    except OSError as e:
        raise UserError(f"{to} cannot be written: {e}. Run this as a user who may.") from e
    return Configured(to, variables)


def read_variables(text: str) -> dict[str, str]:
    """The variables that a ``vars.xml`` sets."""
    return dict(_VARIABLE.findall(text))


def render_variables(variables: Mapping[str, str]) -> str:
    """``vars.xml``. Raises UserError for a value that would break out of its place."""
    lines = []
    for name, value in variables.items():
        if _UNSAFE.search(value):
            raise UserError(f"{name} = {value!r} holds a character that it cannot hold.")
        lines.append(f'  <X-PRE-PROCESS cmd="set" data="{name}={value}"/>\n')
    note = "  <!-- Written by `ivr switch configure`; changes made here stay. -->\n"
    return f"<include>\n{note}{''.join(lines)}</include>\n"


def merge(before: Mapping[str, str], options: Options) -> dict[str, str]:
    """What a site's variables were, with what the options say.

    Raises UserError for an option that cannot be.
    """
    values = DEFAULTS | dict(before)
    for name in ("address", "external_address"):
        if (address := getattr(options, name)) is not None:
            values["sip_address" if name == "address" else name] = _address(name, address)
    for name in ("sip", "phones"):
        if (port := getattr(options, f"{name}_port")) is not None:
            values |= {f"{name}_port": str(port), f"{name}_tls_port": str(port + 1)}
    if options.rtp_ports is not None:
        first, last = options.rtp_ports
        values |= {"rtp_first_port": str(first), "rtp_last_port": str(last - last % 2)}
    if options.domain is not None:
        values["domain"] = options.domain
    if options.failure_dial is not None:
        values["ivr_failure_dial"] = options.failure_dial
    if options.sessions_per_second is not None:
        values["sessions_per_second"] = str(options.sessions_per_second)
    if options.tls_certificates is not None:
        values |= _tls(options.tls_certificates)
    return values


def port_range(text: str) -> tuple[int, int]:
    """``16384-32766`` as two ports. Raises UserError."""
    first, _, last = text.partition("-")
    return _port("--rtp-ports, the first,", first), _port("--rtp-ports, the last,", last)


def _address(name: str, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        what = f"--{name.replace('_', '-')} {text!r}"
        raise UserError(f"{what} is no IP address; FreeSWITCH needs one, not a name.") from None


def _tls(folder: Path) -> dict[str, str]:
    if not (folder / "agent.pem").is_file():
        raise UserError(
            f"There is no {folder / 'agent.pem'}. It holds the certificate and, after it, its key:"
            " cat fullchain.pem privkey.pem > agent.pem"
        )
    verify = "out" if (folder / "cafile.pem").is_file() else "none"
    return {"tls": "true", "tls_certificates": str(folder.resolve()), "tls_verify": verify}


def _from_settings(settings: Settings) -> dict[str, str]:
    switch = settings.switch
    if not switch.esl_host.startswith("127."):
        raise UserError(
            f"Setting switch.esl_host = {switch.esl_host}: the event socket is open to this machine"
            " alone. Set 127.0.0.1."
        )
    return {
        "event_socket_port": str(switch.esl_port),
        "event_socket_password": settings.secret(EVENT_SOCKET_SECRET),
        "max_sessions": str(switch.max_calls * LEGS_PER_CALL + SPARE_LEGS),
        "recordings_dir": str(settings.recordings_dir.resolve()),
        "announcements_dir": str(settings.announcements_dir.resolve()),
    }


def _check_failure_dial(settings: Settings, dial: str) -> None:
    """Raises UserError for a person that the toll rules do not let be rung."""
    if dial:
        check_failure_dial(dial, TollGuard(settings.toll, settings.switch.country))


def _check(variables: Mapping[str, str]) -> None:
    if not _DOMAIN.fullmatch(variables["domain"]):
        raise UserError(f"--domain {variables['domain']!r} is no domain name.")
    taken: dict[int, str] = {}
    for name in ("sip_port", "sip_tls_port", "phones_port", "phones_tls_port", "event_socket_port"):
        port = _port(name, variables[name])
        if port in taken:
            raise UserError(f"{name} and {taken[port]} are both {port}: choose another for one.")
        taken[port] = name
    first, last = (_port(name, variables[name]) for name in ("rtp_first_port", "rtp_last_port"))
    if last - first < 2:
        raise UserError(f"--rtp-ports {first}-{last} is too few: two a leg.")
    for port, name in taken.items():
        if first <= port <= last:
            raise UserError(f"{name} {port} lies within --rtp-ports {first}-{last}.")
    for name in ("announcements_dir", "recordings_dir"):
        if " " in variables[name]:
            raise UserError(
                f"Setting data_dir: {variables[name]} holds a space, and FreeSWITCH splits on it."
            )


def _port(name: str, text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise UserError(f"{name} = {text!r} is no port: 1 to 65535.")


def _copy(to: Path) -> None:
    """Renew the files that we ship; what is gone from ours goes, for folders are read whole."""
    shipped = {
        to / path.relative_to(root): path
        for root in (SHIPPED / "freeswitch-conf", SHIPPED)
        for path in root.rglob("*" if root != SHIPPED else "dialplans/*")
        if path.is_file()
    }
    if not shipped:
        raise UserError(f"There is no freeswitch-conf in {SHIPPED}; install the whole appliance.")
    for target, source in shipped.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, source.read_bytes(), 0o644)
    for folder in ("autoload_configs", "dialplans"):
        for stale in set((to / folder).glob("*.xml")) - set(shipped):
            stale.unlink()


def _make_site(site: Path) -> None:
    for folder in (site, site / "gateways", site / "directory"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(FOLDER_MODE)
    if not (site / "acl.xml").exists():
        _write(site / "acl.xml", NOBODY_MAY_CALL, SECRET_MODE)


def _write(path: Path, content: str | bytes, mode: int) -> None:
    """Replace a file at once: FreeSWITCH may be reading it."""
    write_whole(path, content.encode() if isinstance(content, str) else content, mode=mode)


def _give_to(group: str, site: Path) -> None:
    try:
        for path in (site, *site.rglob("*")):
            shutil.chown(path, group=group)
            if path.is_dir():
                path.chmod(FOLDER_MODE)
    except LookupError as e:
        raise UserError(f"--group {group}: {e}") from e
