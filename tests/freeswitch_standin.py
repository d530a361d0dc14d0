"""A stand-in for FreeSWITCH where there is none: its event socket, and calls that exist only here.

    async with standin(tmp_path) as fs:
        caller = await fs.call("+911234", "+919800000001")      # now in CHANNEL_PARK
        fs.policies["+915"] = Refuse(486)                       # as tests.sippeer has them

It speaks the event socket on ``fs.event_port`` (password ``fs.password``), follows the shipped
``dialplans/``, and connects to real workers by websocket and UDP. ``tests/test_standin.py`` holds it
and a real FreeSWITCH to the same tests. What the real one (1.10.12) was seen to do:

=============================== ===================================================================
command                         answer; what follows
=============================== ===================================================================
unknown api                     ``-ERR NAME Command not found!``
unknown command                 reply ``-ERR command not found``
uuid_answer                     ``+OK``, also again; no channel ``-ERROR``; CHANNEL_ANSWER once
uuid_kill, uuid_transfer,       ``+OK``; no channel: ``-ERR No such channel!``
uuid_setvar, sched_transfer
uuid_setvar_multi               as uuid_setvar; no channel: two lines, the second ``-USAGE: …``
uuid_getvar                     the value, no line end; unset: ``_undef_``; set to nothing is unset
uuid_dump U json                headers of CHANNEL_DATA, values not encoded
uuid_buglist                    ``<media-bugs>…``; no channel: ``-ERR no reply``
sched_del                       ``+OK Deleted: N``, also without a channel
sched_transfer +N               fires when the clock's whole second has gone up by N: N-1 s to N s
                                (and up to half a second of the scheduler's own)
uuid_audio_stream start         ``+OK Success``; on a stream already: ``-ERR Operation Failed``
.. accepted                     first text is the 6th argument and all after it (blanks too),
                                a backslash before ``" \\ ' n r t s`` eaten, ``\\u00XX`` left alone;
                                ::connect ``{"status":"connected"}``; frames from then on, before
                                an answer too. Now and then the first frame comes before the text,
                                and now and then the text never comes (see below).
.. refused (TCP, 401, 503)      ::error, code 6, and the stream is off the channel
.. worker's close frame         ::disconnect with its code; the stream STAYS: send_text says +OK,
                                start -ERR, until stop
.. broken without one           ::error code 1 alone, and the stream is off
.. stop                         ``+OK Success``; the worker gets 1000; no event. None there: -ERR
uuid_audio_stream send_text     3rd argument alone reaches the worker; no stream: -ERR
sendmsg execute answer          reply ``+OK``; CHANNEL_ANSWER. Unlike uuid_answer it is the channel's
                                own thread that answers, so that it cannot block one that begins to
                                read media (seen: both wait for ever, and every guard with them)
sendmsg unicast                 reply ``+OK``; no channel: ``-ERR invalid session id [U]``
.. a second one in that park    ``+OK``; the second port is deaf, and is what park's end closes: the
                                first is heard until the channel ends
.. ends with                    uuid_transfer, uuid_bridge, uuid_broadcast (no UNPARK, no PARK then)
uuid_record                     ``+OK Success`` / ``-ERR Cannot record session!``
uuid_broadcast                  ``+OK Message sent``; PLAYBACK_START, PLAYBACK_STOP ``done``
uuid_bridge A B                 ``+OK B``; UNPARK of both, CHANNEL_BRIDGE of A; the stream stays on
bgapi                           reply ``+OK Job-UUID: J``; BACKGROUND_JOB: ``+OK U`` or ``-ERR CAUSE``
originate                       CREATE, ORIGINATE, (PROGRESS,) ANSWER, PARK, then the job's event
.. nobody                       ``-ERR`` USER_BUSY, NO_ANSWER (time is up), INVALID_GATEWAY,
                                SUBSCRIBER_ABSENT (user/), USER_NOT_REGISTERED (sofia/PROFILE/x%y)
show channels as json           ``{"row_count": 0}``, without rows, when there are none; some ms behind
                                the events, both ways (the stand-in's is not)
reloadxml, reloadacl, rescan    ``+OK [Success]``, ``+OK acl reloaded``, two lines with ``+OK``
.. whoever asked for it         RELOADXML, once the variables of vars.xml are the new ones
killgw, status gateway          ``-ERR no such gateway.``, ``Invalid Gateway!`` for unknown ones
.. a gateway that is killed     it is unknown at once; sofia::gateway_delete one or two seconds later,
                                after the REGISTER that ends its registration
=============================== ===================================================================

================================ ========================= ===== ============ =======================
end                              Hangup-Cause              Q.850 term_status  sip_hangup_disposition
================================ ========================= ===== ============ =======================
caller's BYE                     NORMAL_CLEARING           16    200          recv_bye
caller's CANCEL                  ORIGINATOR_CANCEL         16    487          recv_cancel
uuid_kill, answered              as asked                  its   none         send_bye
uuid_kill, not answered          as asked                  its   none         send_refuse
person busy                      USER_BUSY                 17    486          recv_refuse
person rings till time is up     NO_ANSWER                 19    none         send_cancel
leg_timeout before that          ALLOTTED_TIMEOUT          16    none         send_cancel
other side of a bridge           NORMAL_CLEARING           16    none         send_bye
================================ ========================= ===== ============ =======================

An unanswered caller refused by uuid_kill sees 404 UNALLOCATED_NUMBER, 486 USER_BUSY, 603
CALL_REJECTED, 480 NORMAL_CLEARING, 503 NORMAL_TEMPORARY_FAILURE and SWITCH_CONGESTION. Times are
µs since 1970, 0 while it has not happened. In CHANNEL_PARK of a call that came in Answer-State is
``early``. Not imitated, because it is the module's race: a websocket that is open before the stream
is on the channel gets no first text; one refused that early leaves the stream on the channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import uuid as uuids
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.sippeer import Answer, Policy, Refuse, Ring, Silent
from tests.standin_channel import CAUSE_OF_SIP, Channel
from tests.standin_dialplan import Action, Dialplan
from tests.standin_party import Party
from tests.standin_words import plain_event, separate

DIALPLANS = Path(__file__).parents[1] / "dialplans"
HOST = "127.0.0.1"
PASSWORD = "stand-in"
CORE = "5ca1ab1e-0000-4000-8000-000000000001"
_NO_CHANNEL = "-ERR No such channel!\n"
_STREAM_USAGE = (
    "-USAGE: <uuid> [start | stop | send_text | pause | resume | graceful-shutdown ]"
    " [wss-url | path] [mono | mixed | stereo] [8000 | 16000] [metadata]\n"
)
_RING_S = 60
RINGS_S = 0.02
"""From INVITE to 180."""
GATEWAY_GOES_S = 1.0
"""From ``killgw`` until a gateway has gone."""


class Listener:
    """One connection to the event socket."""

    def __init__(self, switch: Standin, writer: asyncio.StreamWriter) -> None:
        self._switch, self._writer = switch, writer
        self._wanted: set[str] = set()
        self._known = False

    async def serve(self, reader: asyncio.StreamReader) -> None:
        self._send("Content-Type: auth/request\n\n")
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                text = (await reader.readuntil(b"\n\n")).decode().strip("\n")
                if text and not await self._command(text):
                    break
        self._writer.close()

    def tell(self, headers: Mapping[str, str], body: str) -> None:
        name = headers.get("Event-Subclass") or headers["Event-Name"]
        if self._known and (name in self._wanted or "ALL" in self._wanted):
            self._writer.write(plain_event(headers, body))

    def close(self, *, notice: bool) -> None:
        if notice:
            text = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
            head = f"Content-Type: text/disconnect-notice\nContent-Length: {len(text)}\n\n"
            self._send(head + text)
        self._writer.close()

    async def _command(self, text: str) -> bool:
        """False: the connection is over."""
        line, _, rest = text.partition("\n")
        name, _, arguments = line.partition(" ")
        if name == "auth":
            self._known = hmac.compare_digest(arguments, self._switch.password)
            self._reply("+OK accepted" if self._known else "-ERR invalid")
            return self._known
        if not self._known:
            self._reply("-ERR command not found")
            return True
        match name:
            case "exit":
                self._reply("+OK bye")
                self.close(notice=True)
                return False
            case "event":
                kind, *names = arguments.split()
                self._wanted |= set(names) - {"CUSTOM"}
                self._reply(f"+OK event listener enabled {kind}")
            case "api":
                self._answer(await self._switch.api(arguments) or "-ERR no reply\n")
            case "bgapi":
                job = self._switch.background(arguments)
                self._reply(f"+OK Job-UUID: {job}", f"Job-UUID: {job}\n")
            case "sendmsg":
                self._reply(self._switch.message(arguments.strip(), rest))
            case _:
                self._reply("-ERR command not found")
        return True

    def _reply(self, text: str, more: str = "") -> None:
        self._send(f"Content-Type: command/reply\nReply-Text: {text}\n{more}\n")

    def _answer(self, body: str) -> None:
        length = len(body.encode())
        self._send(f"Content-Type: api/response\nContent-Length: {length}\n\n{body}")

    def _send(self, text: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(text.encode())


class Standin:
    """The switch: its channels, who can be rung, who listens."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.password = PASSWORD
        self.domain = "ivr.internal"
        self.event_port = 0
        self.variables = dict(variables)
        """Global ones, as ``freeswitch-conf/defaults.xml`` and ``site/vars.xml`` set them."""
        self.dialplan = Dialplan(DIALPLANS)
        self.channels: dict[str, Channel] = {}
        self.policy: Policy = Ring()
        """What persons do whom nobody has told."""
        self.policies: dict[str, Policy] = {}
        """By number or extension."""
        self.gateways: dict[str, str] = {}
        """Name to state (NOREG, REGED, FAIL_WAIT …)."""
        self.phones: set[str] = set()
        """Extensions that are registered."""
        self.rung: list[Party] = []
        """Everybody who was ever rung, in order."""
        self.commands: list[str] = []
        """Every api and bgapi command that came."""
        self.faults: list[str] = []
        """What the real one would not forgive; raised at the end of :func:`standin`."""
        self._listeners: list[Listener] = []
        self._server: asyncio.Server | None = None
        self._sequence = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- for tests --------------------------------------------------------------------------------

    async def call(
        self, did: str, number: str = "+919800000001", *, audio: bytes = b"", context: str = "trunk",
        variables: Mapping[str, str] | None = None,
    ) -> Party:  # fmt: skip
        """Somebody calls ``did``; ``audio`` (L16, 8 kHz) is what they say once answered."""
        party = Party(number)
        party.play(audio)
        found = {"sip_network_ip": HOST} | dict(variables or {})
        channel = Channel(
            self, party, direction="inbound", context=context, destination=did, variables=found
        )
        channel.fire("CHANNEL_CREATE")
        channel.transfer(did, context)
        await asyncio.sleep(0)
        return party

    async def person(self, number: str, timeout_s: float = 15.0) -> Party:
        """The last who was rung at ``number``. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = [party for party in self.rung if party.number == number]
                if found:
                    return found[-1]
                await asyncio.sleep(0.01)

    def add_gateway(self, name: str, state: str = "NOREG") -> None:
        self.gateways[name] = state
        self.fire(
            {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::gateway_state", "Gateway": name,
             "State": state, "Ping-Status": "UP"}
        )  # fmt: skip

    async def start(self, port: int = 0) -> None:
        """Listen; also again after :meth:`stop`."""
        self._server = await asyncio.start_server(self._accept, HOST, port or self.event_port)
        self.event_port = self._server.sockets[0].getsockname()[1]

    async def stop(self, *, kill: bool = False) -> None:
        """End all calls and connections; ``kill``: as a crash does."""
        for channel in list(self.channels.values()):
            channel.hangup("NORMAL_TEMPORARY_FAILURE" if kill else "SYSTEM_SHUTDOWN")
        for listener in self._listeners:
            listener.close(notice=not kill)
        self._listeners.clear()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- for channels -----------------------------------------------------------------------------

    def fire(self, headers: Mapping[str, str], body: str = "") -> None:
        """Tell who listens."""
        self._sequence += 1
        whole = {"Core-UUID": CORE, "Event-Sequence": str(self._sequence)} | dict(headers)
        for listener in self._listeners:
            listener.tell(whole, body)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ring(
        self, dial: str, variables: Mapping[str, str], limit_s: float, owner: Channel | None = None
    ) -> tuple[str, Channel | None]:
        """Ring ``dial`` until somebody answers; the cause (``SUCCESS``) and who it was."""
        cause = "NO_ANSWER"
        dialling: list[Channel] = []
        try:
            async with asyncio.timeout(limit_s):
                for group in dial.split("|"):
                    dialling.clear()
                    cause, answered = await self._ring_together(
                        _split(group), variables, owner, dialling
                    )
                    if answered is not None:
                        return "SUCCESS", answered
        except TimeoutError:
            cause = "NO_ANSWER"
            for channel in dialling:
                channel.hangup("NO_ANSWER")
        except asyncio.CancelledError:
            for channel in dialling:
                channel.hangup("ORIGINATOR_CANCEL")
            raise
        return cause, None

    # --- the event socket -------------------------------------------------------------------------

    def message(self, uuid: str, text: str) -> str:
        """``sendmsg``."""
        channel = self.channels.get(uuid)
        if channel is None:
            return f"-ERR invalid session id [{uuid}]"
        headers = dict(line.split(": ", 1) for line in text.splitlines())
        match headers.get("call-command"):
            case "unicast":
                channel.unicast(headers)
            case "execute":
                app = headers.get("execute-app-name", "")
                channel.do_at_once(app, headers.get("execute-app-arg", ""))
            case other:
                self.faults.append(f"the stand-in knows no message {other}")
        return "+OK"

    def background(self, command: str) -> str:
        """``bgapi``; the job's id."""
        job = str(uuids.uuid4())
        self.spawn(self._job(job, command))
        return job

    async def api(self, command: str) -> str:
        """The body of the answer; empty when FreeSWITCH says nothing at all."""
        self.commands.append(command)
        name, _, text = command.partition(" ")
        if name.startswith("uuid_") or name == "sched_transfer":
            return await self._of_channel(name, text)
        match name:
            case "originate":
                return await self._originate(text)
            case "sched_del":
                channel = self.channels.get(text)
                return f"+OK Deleted: {channel.unguard() if channel else 0}\n"
            case "show" if text == "channels as json":
                return self._rows()
            case "reloadxml":
                self.fire({"Event-Name": "RELOADXML"})
                return "+OK [Success]\n"
            case "reloadacl":
                return "+OK acl reloaded\n"
            case "sofia":
                return self._sofia(text)
            case "global_getvar":
                return self.domain if text == "domain" else self.variables.get(text, "")
            case "status":
                return "UP 0 years\n"
        return f"-ERR {name} Command not found!\n"

    async def _of_channel(self, name: str, text: str) -> str:
        words = text.split(" ")
        first = words[1] if name == "sched_transfer" and len(words) > 1 else words[0]
        channel = self.channels.get(first)
        rest = text.partition(" ")[2]
        if name == "uuid_audio_stream":
            return await _stream(channel, text)
        if channel is None:
            return _missing(name)
        match name:
            case "uuid_setvar":
                variable, _, value = rest.partition(" ")
                channel.set(variable, value)
            case "uuid_setvar_multi":
                for pair in rest.split(";"):
                    channel.set(*pair.partition("=")[::2])
            case "uuid_answer":
                channel.answer()
            case "uuid_kill":
                channel.hangup(rest or "NORMAL_CLEARING")
            case "uuid_transfer":
                channel.transfer(words[1], words[3])
            case "sched_transfer":
                channel.guard(int(words[0]), words[2], words[4])
            case _:
                return self._told_of(name, channel, rest)
        return "+OK\n"

    def _told_of(self, name: str, channel: Channel, rest: str) -> str:
        match name:
            case "uuid_getvar":
                return channel.variables.get(rest) or self.variables.get(rest) or "_undef_"
            case "uuid_buglist":
                return channel.bugs()
            case "uuid_dump":
                found = {"Event-Name": "CHANNEL_DATA"} | channel.headers()
                return orjson.dumps(found).decode() + "\n"
        return self._media(name, channel, rest.split(" "))

    def _media(self, name: str, channel: Channel, words: list[str]) -> str:
        match name:
            case "uuid_broadcast":
                channel.broadcast(words[0])
                return "+OK Message sent\n"
            case "uuid_record" if words[0] == "start":
                done = channel.record(words[1])
                return "+OK Success\n" if done else "-ERR Cannot record session!\n"
            case "uuid_record":
                done = channel.stop_record(words[1])
                return "+OK Success\n" if done else "-ERR Cannot stop record session!\n"
            case "uuid_bridge":
                other = self.channels.get(words[0])
                if other is None:
                    return "-ERR Invalid uuid\n"
                channel.bridge_to(other)
                return f"+OK {other.uuid}\n"
        return f"-ERR {name} Command not found!\n"

    def _rows(self) -> str:
        rows = [
            {"uuid": c.uuid, "direction": c.headers()["Call-Direction"], "dest": c.destination,
             "cid_num": c.party.number, "state": c.headers()["Channel-State"]}
            for c in self.channels.values()
        ]  # fmt: skip
        if not rows:
            return '{"row_count": 0}\n'
        return orjson.dumps({"row_count": len(rows), "rows": rows}).decode() + "\n"

    def _sofia(self, text: str) -> str:
        match text.split():
            case ["profile", _, "rescan"]:
                return "Reload XML [Success]\n+OK scan complete\n"
            case ["profile", _, "killgw", name]:
                if self.gateways.pop(name, None) is None:
                    return "-ERR no such gateway.\n"
                self.spawn(self._end_gateway(name))
                return "+OK gateway marked for deletion.\n"
            case ["status", "gateway", name]:
                state = self.gateways.get(name.rpartition("::")[2])
                if state is None:
                    return "Invalid Gateway!\n"
                return f"Name    \t{name}\nState   \t{state}\nStatus  \tUP\n"
        return "-ERR\n"

    async def _end_gateway(self, name: str) -> None:
        await asyncio.sleep(GATEWAY_GOES_S)
        self.fire(
            {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::gateway_delete",
             "profile-name": "trunks", "Gateway": name}
        )  # fmt: skip

    async def _job(self, job: str, command: str) -> None:
        body = await self.api(command)
        name, _, argument = command.partition(" ")
        self.fire(
            {"Event-Name": "BACKGROUND_JOB", "Job-UUID": job, "Job-Command": name,
             "Job-Command-Arg": argument}, body,
        )  # fmt: skip

    async def _originate(self, text: str) -> str:
        variables, rest = _leading(text, "{}")
        dial, _, then = rest.partition(" ")
        limit_s = float(variables.get("originate_timeout", _RING_S))
        cause, channel = await self.ring(dial, variables, limit_s)
        if channel is None:
            return f"-ERR {cause}\n"
        if app := re.fullmatch(r"&(\w+)\((.*)\)", then):
            channel.follow([Action(app[1], app[2])])
        else:
            destination, _, context = then.split(" ")
            channel.transfer(destination, context)
        await asyncio.sleep(0)
        return f"+OK {channel.uuid}\n"

    async def _ring_together(
        self, dials: list[str], variables: Mapping[str, str], owner: Channel | None,
        dialling: list[Channel],
    ) -> tuple[str, Channel | None]:  # fmt: skip
        tasks = [
            asyncio.create_task(self._ring_one(dial, variables, owner, dialling)) for dial in dials
        ]
        cause = "NO_ANSWER"
        try:
            for done in asyncio.as_completed(tasks):
                cause, answered = await done
                if answered is not None:
                    for channel in dialling:
                        if channel is not answered:
                            channel.hangup("LOSE_RACE")
                    return "SUCCESS", answered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return cause, None

    async def _ring_one(
        self,
        dial: str,
        variables: Mapping[str, str],
        owner: Channel | None,
        dialling: list[Channel],
    ) -> tuple[str, Channel | None]:
        own, endpoint = _leading(dial, "[]")
        number = re.split(r"[@%]", endpoint.rpartition("/")[2])[0]
        if why := self._cannot(endpoint, number):
            return why, None
        found = {**variables, **own}
        party = Party(number)
        context = owner.context if owner else "default"
        channel = Channel(
            self, party, direction="outbound", context=context, destination=number,
            variables=found, uuid=found.get("origination_uuid", ""),
        )  # fmt: skip
        dialling.append(channel)
        self.rung.append(party)
        channel.fire("CHANNEL_CREATE")
        channel.fire("CHANNEL_ORIGINATE")
        limit_s = float(own.get("leg_timeout", _RING_S))
        return await self._until_answered(channel, self.policies.get(number, self.policy), limit_s)

    async def _until_answered(
        self, channel: Channel, policy: Policy, limit_s: float
    ) -> tuple[str, Channel | None]:
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(RINGS_S)
                if not isinstance(policy, Silent):
                    channel.fire("CHANNEL_PROGRESS")
                wait_s = getattr(policy, "after_s", None)
                gone = asyncio.ensure_future(channel.over.wait())
                try:
                    await asyncio.wait({gone}, timeout=wait_s)
                finally:
                    gone.cancel()
        except TimeoutError:
            channel.hangup("ALLOTTED_TIMEOUT")
        if channel.over.is_set():
            return channel.variables.get("hangup_cause", "NO_ANSWER"), None
        if isinstance(policy, Refuse):
            cause = CAUSE_OF_SIP.get(policy.status, "NORMAL_UNSPECIFIED")
            channel.hangup(cause, "recv_refuse", status=policy.status)
            return cause, None
        assert isinstance(policy, Answer)
        channel.answer()
        return "SUCCESS", channel

    def _cannot(self, endpoint: str, number: str) -> str:
        parts = endpoint.split("/")
        if parts[:2] == ["sofia", "gateway"] and parts[2] not in self.gateways:
            return "INVALID_GATEWAY"
        if parts[0] == "user" and number not in self.phones:
            return "SUBSCRIBER_ABSENT"
        if "%" in endpoint and number not in self.phones:
            return "USER_NOT_REGISTERED"
        return ""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener = Listener(self, writer)
        self._listeners.append(listener)
        try:
            await listener.serve(reader)
        finally:
            if listener in self._listeners:
                self._listeners.remove(listener)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _stream(channel: Channel | None, text: str) -> str:
    """``uuid_audio_stream``: words as FreeSWITCH cuts them."""
    words = separate(text, 6)
    if len(words) < 2 or (words[1] == "start" and len(words) < 4):
        return _STREAM_USAGE
    done = False
    if channel is not None:
        match words[1:]:
            case ["start", url, "mono", *more]:
                rate_hz = {"8k": 8000, "16k": 16000}.get(more[0], 0) if more else 8000
                metadata = more[1] if len(more) > 1 else ""
                done = channel.start_stream(url, rate_hz or int(more[0]), metadata)
            case ["stop", *_]:
                done = await channel.stop_stream()
            case ["send_text", message, *_] if channel.stream is not None:
                channel.stream.text(message)
                done = True
    return "+OK Success\n" if done else "-ERR Operation Failed\n"


def _missing(name: str) -> str:
    match name:
        case "uuid_answer":
            return "-ERROR\n"
        case "uuid_buglist":
            return ""
        case "uuid_bridge":
            return "-ERR Invalid uuid\n"
        case "uuid_broadcast":
            return "-ERR invalid uuid\n"
        case "uuid_record":
            return "-ERR Cannot locate session!\n"
        case "uuid_setvar_multi":
            return _NO_CHANNEL + "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    return _NO_CHANNEL


def _split(group: str) -> list[str]:
    """Those rung together: cut at commas, but for those in brackets."""
    return re.findall(r"(?:\[[^\]]*\]|[^,\[])+", group)


def _leading(text: str, brackets: str) -> tuple[dict[str, str], str]:
    """``{a=1,b=2}rest`` or ``[a=1]rest``."""
    if not text.startswith(brackets[0]):
        return {}, text
    inside, _, rest = text[1:].partition(brackets[1])
    return dict(pair.split("=", 1) for pair in inside.split(",") if "=" in pair), rest


@asynccontextmanager
async def standin(
    folder: Path, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Standin]:
    """A stand-in on a free port of 127.0.0.1; ``variables``: global ones."""
    switch = Standin(variables or {})
    await switch.start()
    try:
        yield switch
    finally:
        await switch.stop()
    if switch.faults:
        raise AssertionError(switch.faults)
