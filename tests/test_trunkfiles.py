"""FreeSWITCH's XML from rows: well-formed, and nobody's text becomes configuration."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.store.phonebook import Extension, Trunk
from appliance.telephony.trunkfiles import acl_xml, directory_xml, gateway_xml
from tests.freeswitch_kit import FreeSwitch, freeswitch, needs_freeswitch
from tests.registrar import USER, Registrar, serve

PLAIN = Trunk("plain", "sip.example")
FULL = Trunk(
    "full", "sip.example:5061", transport="tls", register=True, username="user", password="secret",
    realm="example", codecs=("PCMA", "G722"), srtp="required", caller_id="+918022223333",
    ping_s=0, addresses=("203.0.113.5", "198.51.100.0/24"),
)  # fmt: skip
HOSTILE = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from("<>&\"'${}-!")
    ),
    max_size=60,
)


def params(xml: str, tag: str = "param") -> dict[str, str]:
    found = {}
    for element in ElementTree.fromstring(xml).iter(tag):
        assert element.attrib["name"] not in found
        found[element.attrib["name"]] = element.attrib["value"]
    return found


def test_a_trunk_without_registration() -> None:
    found = params(gateway_xml(PLAIN))
    assert found["proxy"] == found["realm"] == "sip.example"
    assert (found["register"], found["ping"], found["caller-id-in-from"]) == (
        "false",
        "30",
        "false",
    )
    assert not {"username", "password"} & set(found)
    assert params(gateway_xml(PLAIN), "variable") == {
        "rtp_secure_media_outbound": "forbidden",
        "ivr_trunk": "plain",
    }


def test_a_trunk_with_everything() -> None:
    found = params(gateway_xml(FULL))
    assert (found["username"], found["password"]) == ("user", "secret")
    assert (found["from-user"], found["from-domain"], found["realm"]) == (
        "user",
        "example",
        "example",
    )
    assert (found["register"], found["register-transport"]) == ("true", "tls")
    assert found["caller-id-in-from"] == "true" and "ping" not in found
    variables = params(gateway_xml(FULL), "variable")
    assert variables["rtp_secure_media_outbound"] == "mandatory"
    assert variables["absolute_codec_string"] == "PCMA,G722"


def test_optional_srtp_is_offered_over_tls_only() -> None:
    over_tls = Trunk("t", "sip.example", transport="tls")
    assert params(gateway_xml(over_tls), "variable")["rtp_secure_media_outbound"] == "optional"


def test_the_acl_lists_own_addresses_or_the_proxys_of_enabled_trunks() -> None:
    off = Trunk("off", "sip.off", addresses=("192.0.2.1",), enabled=False)
    xml = acl_xml([PLAIN, FULL, off], {"plain": ["192.0.2.7"], "full": ["192.0.2.9"]})
    (only,) = ElementTree.fromstring(xml).iter("list")
    assert only.attrib == {"name": "trunks", "default": "deny"}
    nodes = [(node.attrib["type"], node.attrib["cidr"]) for node in only]
    assert nodes == [
        ("allow", "192.0.2.7/32"), ("allow", "203.0.113.5/32"), ("allow", "198.51.100.0/24"),
    ]  # fmt: skip


def test_no_trunk_at_all_lets_nobody_in() -> None:
    (only,) = ElementTree.fromstring(acl_xml([], {})).iter("list")
    assert only.attrib["default"] == "deny" and len(only) == 0


def test_an_extension() -> None:
    xml = directory_xml(Extension("1001", "ab" * 16, name='Asha "Reception" & <Desk>'))
    (user,) = ElementTree.fromstring(xml).iter("user")
    assert user.attrib == {"id": "1001"}
    assert params(xml) == {"a1-hash": "ab" * 16}
    assert params(xml, "variable")["effective_caller_id_name"] == 'Asha "Reception" & <Desk>'


@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_values_come_out_as_they_went_in_and_as_nothing_else(
    username: str, password: str, name: str
) -> None:
    """Read back by an XML parser they are the same text; before it, no line could be FreeSWITCH's."""
    trunk = Trunk("t", "sip.example", register=True, username=username, password=password)
    try:
        xml = gateway_xml(trunk) + directory_xml(Extension("1001", "0" * 32, name))
    except UserError:
        return
    gateway, _, _ = xml.partition("</include>")
    found = params(gateway + "</include>")
    assert (found["username"], found["password"]) == (username, password)
    assert "$" not in xml
    expected = gateway_xml(PLAIN) + directory_xml(Extension("1001", "0" * 32))
    tags = re.findall(r"<[^\s>]+", xml)
    assert set(tags) == set(re.findall(r"<[^\s>]+", expected))
    assert "\r" not in xml and not re.search(r"^\s*<(?:!--|X-)", xml, re.MULTILINE)


@pytest.mark.parametrize(
    "trunk",
    [
        Trunk("../../x", "sip.example"),
        Trunk("a b", "sip.example"),
        Trunk("", "sip.example"),
        Trunk("t", "sip.example;fs_path=sip:evil"),
        Trunk("t", "sip.example:0"),
        Trunk("t", ""),
        Trunk("t", "sip.example", register=True),
        Trunk("t", "sip.example", codecs=("PCMA}",)),
        Trunk("t", "sip.example", username="a\nb"),
        Trunk("t", "sip.example", username="$${event_socket_password}"),
        Trunk("t", "sip.example", addresses=("0.0.0.0/33",)),
        Trunk("t", "sip.example", addresses=("anybody",)),
        Trunk("t", "sip.example", ping_s=1),
        Trunk("t", "sip.example", max_calls=-1),
    ],
)
def test_trunks_that_break_a_rule(trunk: Trunk) -> None:
    with pytest.raises(UserError):
        gateway_xml(trunk)


@pytest.mark.parametrize(
    "extension",
    [Extension("1", "0" * 32), Extension("../1", "0" * 32), Extension("1001", "password")],
)
def test_extensions_that_break_a_rule(extension: Extension) -> None:
    with pytest.raises(UserError):
        directory_xml(extension)


@needs_freeswitch
@pytest.mark.server
async def test_a_real_freeswitch_reads_them_as_they_are_meant(tmp_path: Path) -> None:
    password = "p$${event_socket_password}${uuid}\"<&'>;,p"
    registrar = Registrar(password=password, contacts=True)
    trunk = Trunk("hostile", "127.0.0.1", register=True, username=USER, password=password, ping_s=0)
    extension = Extension("1001", "ab" * 16, 'A "B" $5 & <C>')
    async with freeswitch(tmp_path) as fs:
        with serve(registrar, "udp") as port:
            trunk = replace(trunk, proxy=f"127.0.0.1:{port}")
            site = fs.conf / "site"
            (site / "gateways" / "hostile.xml").write_text(gateway_xml(trunk))
            (site / "acl.xml").write_text(acl_xml([FULL, PLAIN], {"plain": ["192.0.2.7"]}))
            (site / "directory" / "1001.xml").write_text(directory_xml(extension))
            for command in ("reloadxml", "reloadacl", "sofia profile trunks rescan"):
                assert "+OK" in await fs.api(command)
            await fs.until(lambda: _registered(fs, "hostile"), 10)
        for address, allowed in (
            ("192.0.2.7", "true"), ("192.0.2.8", "false"), ("198.51.100.77", "true"),
            ("203.0.113.5", "true"), ("203.0.113.6", "false"),
        ):  # fmt: skip
            assert (await fs.api(f"acl {address} trunks")).strip() == allowed
        name = await fs.api(f"user_data 1001@{fs.domain} var effective_caller_id_name")
        assert name.strip() == extension.name
        assert (await fs.api(f"user_data 1001@{fs.domain} param a1-hash")).strip() == "ab" * 16


async def _registered(fs: FreeSwitch, name: str) -> bool:
    return "\tREGED" in await fs.api(f"sofia status gateway {name}")  # and not UNREGED
