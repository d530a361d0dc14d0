"""``ivr firewall``: the rules as nft takes them, and as somebody outside meets them.

Two network namespaces joined by a cable stand for this box and for the world; what listens in the first
listens everywhere, as badly set up as can be.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops import firewall
from appliance.settings import Admin, Firewall, Metrics, Settings, Sip, Switch

ROOT = Path(__file__).parent.parent
WAIT_S = 30
BOX4, BOX6 = "10.9.0.1", "fd00:9::1"
PHONE4, PHONE6, OTHER_PHONE4 = "10.9.0.2", "fd00:9::2", "10.9.0.3"
STRANGER4, STRANGER6 = "10.66.0.2", "fd66::2"
TRUNK4 = "10.77.0.2"
TCP = (22, 5060, 5070, 6379, 7000, 7101, 7379, 7432, 7611, 7700, 7800, 7900, 8021)
UDP = (5060, 5070, 7000, 16384, 24000, 32000, 40000)
VARIABLES = {
    "sip_port": "5060", "sip_tls_port": "5061", "phones_port": "5070", "phones_tls_port": "5071",
    "rtp_first_port": "16384", "rtp_last_port": "32766",
}  # fmt: skip
MISSING = [name for name in ("nft", "ip") if shutil.which(name) is None]
in_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING),
    reason=f"network namespaces need root, nft and ip (apt-get install nftables iproute2){MISSING}",
)


def _networks(*texts: str) -> tuple[firewall.Network, ...]:
    return tuple(ip_network(text) for text in texts)


def _settings(folder: Path, *, freeswitch: bool) -> Settings:
    """A box whose every part listens on the outside address."""
    conf = folder / "freeswitch"
    if freeswitch:
        (conf / "site").mkdir(parents=True)
        lines = [
            f'<X-PRE-PROCESS cmd="set" data="{name}={value}"/>' for name, value in VARIABLES.items()
        ]
        (conf / "site/vars.xml").write_text("<include>\n" + "\n".join(lines) + "\n</include>\n")
        (conf / "site/acl.xml").write_text(
            '<include><list name="trunks" default="deny">'
            '<node type="allow" cidr="10.77.0.0/24"/></list></include>'
        )
    return Settings(
        sip=Sip(host=BOX4, allow=_networks("127.0.0.0/8", "10.9.0.0/24")),
        switch=Switch(conf_dir=conf),
        admin=Admin(host=BOX4),
        firewall=Firewall(
            ssh=_networks("10.9.0.0/24"),
            phones=_networks("10.9.0.0/24", "fd00:9::/64"),
            console=_networks("10.9.0.2/32"),
        ),
    )


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)[:200]}: {done.stderr}"
    return done.stdout


SERVE = """
import json, selectors, socket, sys
tcp, udp = json.loads(sys.argv[1])
watched = selectors.DefaultSelector()
for kind, ports in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
    for port in ports:
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            s.listen()
        watched.register(s, selectors.EVENT_READ)
print("up", flush=True)
while True:
    for key, _ in watched.select():
        if key.fileobj.type == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, peer = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(data, peer)
"""
SCAN = """
import json, select, socket, sys
source, target, tcp, udp = json.loads(sys.argv[1])
family = socket.AF_INET6 if ":" in target else socket.AF_INET
calling, asking = {}, {}
for port in tcp:
    s = socket.socket(family)
    s.setblocking(False)
    s.bind((source, 0))
    s.connect_ex((target, port))
    calling[s] = port
for port in udp:
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.sendto(b"OPTIONS sip:x SIP/2.0\\r\\n", (target, port))
    asking[s] = port
found = {"tcp": [], "udp": []}
while True:
    readable, writable, _ = select.select(list(asking), list(calling), [], 1.5)
    if not readable and not writable:
        break
    for s in writable:
        port = calling.pop(s)
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            found["tcp"].append(port)
    for s in readable:
        found["udp"].append(asking.pop(s))
print(json.dumps({name: sorted(ports) for name, ports in found.items()}))
"""
FLOOD = """
import json, socket, sys, time
source, target, word, count = json.loads(sys.argv[1])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((source, 0))
s.settimeout(0.7)
began, answers = time.monotonic(), 0
for _ in range(count):
    s.sendto(f"{word} sip:1@box SIP/2.0\\r\\n\\r\\n".encode(), (target, 5060))
sent_s = time.monotonic() - began
try:
    while s.recv(2048):
        answers += 1
except TimeoutError:
    pass
print(json.dumps([answers, sent_s]))
"""


class World:
    """The box's namespace, and one outside of it."""

    def __init__(self, box: str, outside: str) -> None:
        self._box, self._outside = box, outside

    def guard(self, text: str) -> None:
        """Put rules in force in the box."""
        _run("ip", "netns", "exec", self._box, "nft", "-f", "-", stdin=text)

    def reached(self, source: str, target: str) -> dict[str, list[int]]:
        """Ports that answer to ``source``."""
        found: dict[str, list[int]] = json.loads(self._tell(SCAN, [source, target, TCP, UDP]))
        return found

    def flood(self, source: str, word: str, count: int) -> tuple[int, float]:
        """How many of ``count`` requests are answered, and the seconds in which they were sent."""
        answers, sent_s = json.loads(self._tell(FLOOD, [source, BOX4, word, count]))
        return answers, sent_s

    def rules(self) -> str:
        """What is in force in the box."""
        return _run("ip", "netns", "exec", self._box, "nft", "list", "table", *firewall.TABLE)

    def apply(self, text: str, file: Path, wait_s: int, answer: str | None) -> str:
        """Apply rules in the box, as a person does who answers so (None: not at all); the last line
        said."""
        argument = json.dumps([text, str(file), wait_s])
        with subprocess.Popen(
            ["ip", "netns", "exec", self._box, sys.executable, "-c", APPLY, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as process:
            if answer is None:
                assert process.wait(WAIT_S) == 0
            said, _ = process.communicate(answer, timeout=WAIT_S)
        return said.strip().splitlines()[-1]

    def _tell(self, code: str, argument: Sequence[object]) -> str:
        command = ("ip", "netns", "exec", self._outside, sys.executable, "-I", "-c", code)
        return _run(*command, json.dumps(argument))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    box, outside = (f"ivr-{os.getpid()}-{name}" for name in ("box", "out"))
    with _namespace(box), _namespace(outside):
        _run(
            "ip",
            "link",
            "add",
            "cable",
            "netns",
            box,
            "type",
            "veth",
            "peer",
            "cable",
            "netns",
            outside,
        )
        for name, addresses in (
            (box, (f"{BOX4}/24", f"{BOX6}/64", "10.66.0.1/24", "fd66::1/64", "10.77.0.1/24")),
            (outside, (f"{PHONE4}/24", f"{OTHER_PHONE4}/24", f"{PHONE6}/64", f"{STRANGER4}/24",
                       f"{STRANGER6}/64", f"{TRUNK4}/24")),
        ):  # fmt: skip
            for device in ("lo", "cable"):
                _run("ip", "-n", name, "link", "set", device, "up")
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                _run("ip", "-n", name, "address", "add", address, "dev", "cable", *nodad)
        served = subprocess.Popen(
            ["ip", "netns", "exec", box, sys.executable, "-I", "-c", SERVE, json.dumps([TCP, UDP])],
            stdout=subprocess.PIPE,
        )
        assert served.stdout is not None
        assert served.stdout.readline() == b"up\n"
        yield World(box, outside)
        served.kill()
        served.wait()
        served.stdout.close()


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _run("ip", "netns", "add", name)
    try:
        yield
    finally:
        _run("ip", "netns", "delete", name)


@in_namespaces
def test_without_rules_everything_is_reached(world: World) -> None:
    """Else the tests below say nothing."""
    assert world.reached(STRANGER4, BOX4) == {"tcp": list(TCP), "udp": list(UDP)}
    assert world.reached(STRANGER6, BOX6) == {"tcp": list(TCP), "udp": list(UDP)}


@in_namespaces
def test_with_ivr_sip_a_stranger_reaches_audio_alone(world: World, tmp_path: Path) -> None:
    world.guard(firewall.render(firewall.plan(_settings(tmp_path, freeswitch=False))))
    assert world.reached(STRANGER4, BOX4) == {"tcp": [], "udp": [16384]}
    assert world.reached(STRANGER6, BOX6) == {"tcp": [], "udp": [16384]}
    assert world.reached(OTHER_PHONE4, BOX4) == {"tcp": [22, 5060], "udp": [5060, 16384]}
    console = world.reached(PHONE4, BOX4)
    assert console == {"tcp": [22, 5060, 7900], "udp": [5060, 16384, 40000]}


@in_namespaces
def test_with_freeswitch_trunks_and_telephones_have_doors_of_their_own(
    world: World, tmp_path: Path
) -> None:
    """And neither reaches event socket, worker, engines, databases, the switch's API or the roster. RTP
    is open to all: a carrier's audio comes from machines that nobody names."""
    world.guard(firewall.render(firewall.plan(_settings(tmp_path, freeswitch=True))))
    audio = [16384, 24000, 32000]
    assert world.reached(STRANGER4, BOX4) == {"tcp": [], "udp": audio}
    assert world.reached(STRANGER6, BOX6) == {"tcp": [], "udp": audio}
    assert world.reached(TRUNK4, BOX4) == {"tcp": [5060], "udp": [5060, *audio]}
    assert world.reached(OTHER_PHONE4, BOX4) == {"tcp": [22, 5070], "udp": [5070, *audio]}
    assert world.reached(PHONE6, BOX6) == {"tcp": [5070], "udp": [5070, *audio]}


@in_namespaces
def test_whoever_asks_too_often_is_not_heard_and_others_are(world: World, tmp_path: Path) -> None:
    settings = _settings(tmp_path, freeswitch=False)
    world.guard(firewall.render(firewall.plan(settings)))
    rate = settings.firewall.sip_per_second
    answers, sent_s = world.flood(PHONE4, "INVITE", 250)
    assert rate <= answers <= rate * (firewall.BURST_TIMES + sent_s + 1)
    registered, _ = world.flood(PHONE4, "REGISTER", 50)
    assert registered < 50  # of the same address, and of the same patience
    assert world.flood(OTHER_PHONE4, "REGISTER", 50)[0] == 50
    assert world.flood(OTHER_PHONE4, "OPTIONS", 100)[0] == 100  # a keep-alive asks for nothing new


@in_namespaces
def test_rules_come_instead_of_those_before(world: World, tmp_path: Path) -> None:
    """All at once: there is no moment without rules, and none doubled."""
    text = firewall.render(firewall.plan(_settings(tmp_path, freeswitch=False)))
    world.guard(text)
    world.guard(text)
    assert world.reached(STRANGER4, BOX4) == {"tcp": [], "udp": [16384]}


@pytest.mark.skipif(shutil.which("nft") is None or os.geteuid() != 0, reason="nft asks for root")
@pytest.mark.parametrize("freeswitch", [False, True])
def test_nft_takes_the_rules(freeswitch: bool, tmp_path: Path) -> None:
    settings = _settings(tmp_path, freeswitch=freeswitch).model_copy(
        update={
            "metrics": Metrics(host=BOX4),
            "firewall": Firewall(
                machines=_networks("10.8.0.0/24", "fd08::/64"), metrics=_networks("10.8.0.9/32")
            ),
        }
    )
    text = firewall.render(firewall.plan(settings))
    assert "our machines" in text
    assert "7611" in text
    firewall.check(text)
    with pytest.raises(UserError, match="nft does not take the rules"):
        firewall.check(text.replace("policy drop", "policy perhaps"))


def test_a_box_that_nobody_reaches_opens_ssh_alone() -> None:
    planned = firewall.plan(Settings())
    assert [door.what for door in planned.doors] == ["SSH"]


def test_playback_that_anybody_could_send_is_refused(tmp_path: Path) -> None:
    """FreeSWITCH's unicast ports check no sender."""
    settings = _settings(tmp_path, freeswitch=True)
    open_ones = settings.model_copy(
        update={"switch": settings.switch.model_copy(update={"playback_host": BOX4})}
    )
    with pytest.raises(UserError, match="anybody could speak to callers"):
        firewall.plan(open_ones)


def test_a_broken_list_of_trunks_opens_nothing(tmp_path: Path) -> None:
    settings = _settings(tmp_path, freeswitch=True)
    (settings.switch.conf_dir / "site/acl.xml").write_text(
        "<include><node type='allow'/></include>"
    )
    with pytest.raises(UserError, match="cannot be read"):
        firewall.plan(settings)


def test_show_prints_the_rules_or_what_they_open() -> None:
    told = CliRunner().invoke(main, ["firewall", "show", "--json"])
    assert json.loads(told.stdout.splitlines()[-1])["open"][0]["what"] == "SSH"
    assert "policy drop" in CliRunner().invoke(main, ["firewall", "show"]).stdout


APPLY = """
import json, sys
from pathlib import Path
from appliance.ops import firewallchange
text, file, wait_s = json.loads(sys.argv[1])
firewallchange.apply(text, wait_s=wait_s, file=Path(file))
"""


@in_namespaces
def test_rules_that_nobody_confirms_are_taken_back(world: World, tmp_path: Path) -> None:
    file = tmp_path / "firewall.nft"
    old = firewall.render(firewall.plan(Settings()))
    new = firewall.render(firewall.plan(_settings(tmp_path, freeswitch=False)))
    said = [
        world.apply(text, file, wait_s, answer)
        for text, wait_s, answer in ((old, 0, ""), (new, 5, "no\n"), (new, 1, None))
    ]
    assert [last.split(":")[0].split(",")[0] for last in said] == [
        "The rules are in force", "Nobody said yes", "Nobody said yes",
    ]  # fmt: skip
    assert file.read_text() == old
    assert BOX4 not in world.rules()
    assert "10.9.0.2" not in world.rules()
    world.apply(new, file, 20, "yes\n")
    assert file.read_text() == new
    assert "10.9.0.2" in world.rules()
