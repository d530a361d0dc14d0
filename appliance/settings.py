"""The settings of every process: one TOML file plus environment, read and checked once.

``IVR_`` variables override the file, two underscores between levels: ``IVR_WORKER__PORT=7001`` is
``port`` in ``[worker]``. Lists are written as JSON. A bad value stops the start with one sentence
that says which setting, what is wrong with it and what it should be.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Mapping
from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from appliance.errors import UserError
from appliance.languages import primary
from appliance.urls import in_url, reached

ENV_PREFIX = "IVR_"
DEFAULT_FILE = Path("ivr.toml")
SECRET_NAMES = ("password", "api_key", "key", "url")
"""Settings whose wrong values are not repeated: a password of digits, unquoted, is an int."""

# Names of generated secrets (Settings.secret); the embedded database's stand beside its own code.
MEDIA_SECRET = "media"
"""Signs the tokens of the media stream, docs/wires.md §1."""
SWITCH_SECRET = "switch"
"""Bearer token of the HTTP API of ``ivr switch``."""
EVENT_SOCKET_SECRET = "event-socket"
"""Password of FreeSWITCH's event socket."""
REDIS_SECRET = "redis"
"""Password of the embedded Redis."""
METRICS_SECRET = "metrics"
"""Bearer token of ``GET /metrics`` where other machines reach it (docs/observability.md)."""
BACKUP_SEAL_SECRET = "backup-seal"
"""Seals backups, so that one that this box did not make is not restored."""
ENGINES_SECRET = "engines"
"""Bearer token of the engine servers of this machine (docs/wires.md)."""

Port = Annotated[int, Field(ge=1, le=65535)]
Token = Annotated[str, Field(pattern=r"^[!-~]*\z")]
"""What stands in a header: printable, no blanks, no line ends."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Database(_Section):
    url: str = Field("", repr=False)
    """Postgres >= 15 with pgvector, as postgresql://user:password@host:port/name. Empty: the
    embedded server, started by ``ivr up``."""
    embedded_port: Port = 7432
    embedded_dir: Path = Path("/var/lib/ivr-appliance")
    """For the embedded server started by root, which runs as another user: its files go here
    when that user cannot reach ``data_dir``."""
    connect_timeout_s: float = Field(3.0, gt=0)


class Worker(_Section):
    host: str = "127.0.0.1"
    port: Port = 7000
    spare_port: int = Field(0, ge=0, le=65535)
    """Where ``ivr upgrade`` runs one more worker while the others change; calls are given to it
    whenever it answers there. 0: none."""
    max_calls: int = Field(100, ge=1)
    recordings: bool = True
    drain_timeout_s: float = Field(600, ge=0)
    agent_timeout_ms: int = Field(300, ge=10)
    """How long an arriving call waits for Postgres before the last known agent answers it."""
    search_deadline_ms: int = Field(60, ge=5)
    """How long a reply waits for its passages."""
    admission: bool = True
    """Refuse new calls at the knee that the worker itself finds, before ``max_calls``."""
    frame_late_ms: float = Field(10, gt=0)
    """The knee of the call path: 95 % of frames go out less than this late."""
    stage_late: float = Field(2.0, gt=1)
    """The knee of a stage: it takes so many times as long as when it was idle."""

    @property
    def reached(self) -> str:
        """The address to reach it by on this machine, as it stands in a URL."""
        return in_url(reached(self.host))

    def spare_urls(self) -> tuple[str, ...]:
        """Where the spare worker is, while it runs; nothing where there is none."""
        return (f"ws://{self.reached}:{self.spare_port}",) if self.spare_port else ()

    def and_spare(self, urls: tuple[str, ...]) -> tuple[str, ...]:
        """``urls`` of workers, and the spare one's."""
        return tuple(dict.fromkeys((*urls, *self.spare_urls())))


class Run(_Section):
    """One kind of engine server that this machine runs for a stage (``ivr up``, ``ivr pools``):
    ``least`` servers always, up to ``most`` at the peak, on consecutive ports."""

    engine: str
    """What ``ivr stt|tts|embed|rerank --engine`` calls it; elsewhere ``smart-turn``, ``vllm``."""
    model: str = ""
    """A name that `ivr models list` shows, or a folder; empty: the engine's own."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    compute_type: str = ""
    languages: tuple[str, ...] = ()
    """Which languages are asked of it (BCP 47 primary subtags); empty: all that it knows."""
    capacity: int = Field(0, ge=0)
    """Calls (STT) or requests at once that one server carries; 0: the engine's own figure."""
    port: int = Field(0, ge=0, le=65535)
    """First port on 127.0.0.1, server i listens on ``port`` + i; 0: after the entry before it."""
    least: int = Field(1, ge=0)
    most: int = Field(1, ge=1)
    python: str = ""
    """Python interpreter of the environment that holds the engine; empty: ours."""
    options: tuple[str, ...] = ()
    """More arguments of its command, as they are."""

    @model_validator(mode="after")
    def _least_first(self) -> Self:
        if self.most < self.least:
            raise ValueError(f"most ({self.most}) is less than least ({self.least})")
        return self


class Place(NamedTuple):
    """One server of a :class:`Run`."""

    run: Run
    number: int
    """0 to ``run.most`` - 1; those under ``run.least`` run always."""
    port: int


class Stage(_Section):
    """One engine stage: the servers that share its load."""

    urls: tuple[str, ...] = ()
    """Servers that somebody else runs."""
    run: tuple[Run, ...] = ()
    """Servers that this machine runs."""
    timeout_ms: int = Field(2000, ge=50)
    """Longest wait for the first answer of a server before it counts as slow."""
    api_key: Token = Field("", repr=False)
    """What the servers of this stage ask for, in place of ``engines.key``."""
    first_port: Port = 7100
    """Of ``run``, where an entry names none."""

    SCHEME: ClassVar[str] = "http"
    EMBEDDED: ClassVar[tuple[Run, ...]] = ()
    """What runs when neither ``urls`` nor ``run`` are set."""

    @model_validator(mode="before")
    @classmethod
    def _embedded(cls, value: Any) -> Any:
        if isinstance(value, dict) and not ({"urls", "run"} & value.keys()):
            return {**value, "run": cls.EMBEDDED}
        return value

    @property
    def is_served(self) -> bool:
        """Whether the settings name any server of it."""
        return bool(self.urls or self.run)

    def places(self) -> tuple[Place, ...]:
        """Every server that may run here, with its port."""
        found, next_port = [], self.first_port
        for run in self.run:
            port = run.port or next_port
            found += [Place(run, number, port + number) for number in range(run.most)]
            next_port = port + run.most
        return tuple(found)

    def addresses(self) -> tuple[str, ...]:
        """Every server that may be there: ``urls``, and all of ``places()``. One that is not
        running just counts as down."""
        ours = (f"{self.SCHEME}://127.0.0.1:{place.port}" for place in self.places())
        return (*self.urls, *ours)


class Stt(Stage):
    timeout_ms: int = Field(800, ge=50)
    first_port: Port = 7101
    prefer: dict[str, tuple[str, ...]] = {}
    """Which engines hear a language, the best first: ``{"hi": ["wav2vec2"], "hi/digits": […]}``; the
    part after the slash is the agent's ``speech_context``, ``*`` any language. An engine that is not
    named comes last: a call is never refused for a preference."""

    SCHEME: ClassVar[str] = "ws"
    EMBEDDED: ClassVar[tuple[Run, ...]] = (Run(engine="pocketsphinx", least=2, most=2),)

    def preferred(self, language: str, context: str = "") -> tuple[str, ...]:
        """The row of ``prefer`` for a language (BCP 47) and a speech context, the nearest first."""
        code = primary(language)
        for key in (f"{code}/{context}", f"*/{context}", code, "*"):
            if key in self.prefer:
                return self.prefer[key]
        return ()


class Tts(Stage):
    first_port: Port = 7201
    EMBEDDED: ClassVar[tuple[Run, ...]] = (Run(engine="flite"), Run(engine="espeak"))


class TurnStage(Stage):
    timeout_ms: int = Field(250, ge=50)
    first_port: Port = 7301
    EMBEDDED: ClassVar[tuple[Run, ...]] = (Run(engine="smart-turn"),)


class Embed(Stage):
    first_port: Port = 7401
    EMBEDDED: ClassVar[tuple[Run, ...]] = (Run(engine="minilm"),)


class Rerank(Stage):
    """Cross-encoders that put passages in order, as ``POST /rerank`` (Jina, Cohere, vLLM). With no
    server there is no reranking."""

    model: str = ""
    timeout_ms: int = Field(30, ge=5)
    """Longest that an answer waits for it; then the fused order stands."""
    first_port: Port = 7451


class LlmServers(Stage):
    """Servers of one language model, OpenAI's chat completions. ``run`` starts ``vllm serve``."""

    model: str = ""
    """Name of the served model; empty together with ``urls`` and ``run``: answers are extractive."""
    timeout_ms: int = Field(2000, ge=50)
    """To the first token; well under the agent's ``answer_deadline_ms``, so that a second server
    can still be asked."""
    priorities: bool = False
    """Send vLLM's ``priority`` field (needs ``--scheduling-policy priority``)."""
    first_port: Port = 7501
    max_model_len: int = Field(8192, ge=256)
    """Of a server that ``run`` starts: prompt and answer together, in tokens."""
    gpu_share: float = Field(0.45, gt=0, le=1)
    """Of the GPU's memory, for weights and KV cache of one server."""
    max_num_seqs: int = Field(64, ge=1)
    """Requests that one server works on at once."""

    @property
    def served_model(self) -> str:
        """What requests call the model: ``model``, else the folder's name of what ``run`` starts."""
        if self.model or not self.run:
            return self.model
        return Path(self.run[0].model).name


class Llm(LlmServers):
    max_tokens: int = Field(160, ge=1)
    temperature: float = Field(0.3, ge=0)
    answer_timeout_s: float = Field(20.0, gt=0)
    """Longest that one answer may be written for."""
    keep_warm_s: float = Field(20.0, ge=0)
    """A server asked nothing for so long gets the agents' prompts again; 0: never."""
    fallback: LlmServers = LlmServers(first_port=7551)
    """A smaller model that answers when no server of the first one does in time."""


class Engines(_Section):
    stt: Stt = Stt.model_validate({})
    tts: Tts = Tts.model_validate({})
    turn: TurnStage = TurnStage.model_validate({})
    embed: Embed = Embed.model_validate({})
    rerank: Rerank = Rerank.model_validate({})
    llm: Llm = Llm()
    roster_url: str = ""
    """``GET`` answers ``{"stt": ["ws://…"], …}``: servers that come and go (docs/wires.md §7)."""
    key: Token = Field("", repr=False)
    """What engine servers ask for, and what they are sent. Empty: the generated secret ``engines``,
    which is sent to this machine's servers alone; several machines need one key in the settings of
    each."""

    def stages(self) -> dict[str, Stage]:
        """Every stage by its name; the second language model is none of them."""
        return {
            "stt": self.stt,
            "tts": self.tts,
            "turn": self.turn,
            "embed": self.embed,
            "rerank": self.rerank,
            "llm": self.llm,
        }


class Capacity(_Section):
    """How many engine servers are wanted, and when. docs/capacity.md."""

    plan: bool = True
    """Start servers before the forecast peak; else only when load asks for them."""
    interval_s: int = Field(300, ge=60, le=3600)
    """Width of one step of the forecast."""
    history_days: int = Field(42, ge=7)
    quantile: float = Field(0.95, gt=0.5, lt=1)
    """The plan holds for the calls of so many intervals out of all."""
    wait_share: float = Field(0.01, gt=0, lt=1)
    """Most requests that may find every slot of a stage busy (Erlang C)."""
    headroom: float = Field(0.2, ge=0)
    """Servers above what the forecast needs, as a share."""
    holidays: dict[date, Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = {}
    """Days that are like another day of the week: ``{"2026-11-08" = "sun"}``."""
    warm_up_s: dict[str, float] = {
        "stt": 30,
        "tts": 30,
        "turn": 10,
        "embed": 10,
        "rerank": 10,
        "llm": 120,
    }
    """From the start of a server to its first answer, where none was measured."""
    idle_s: float = Field(300, ge=10)
    """A server above the plan that was not needed for so long is stopped."""


class Cluster(_Section):
    """Engine servers on several machines, placed by Ray Serve (`ivr cluster`)."""

    address: str = ""
    """Of a Ray cluster; empty: one on this machine."""
    host: str = "127.0.0.1"
    port: Port = 7800
    """Where the roster is served: ``engines.roster_url`` of the workers names it."""
    gpu_share: dict[str, float] = {}
    """GPUs that one server of a stage takes: ``{stt = 0.25, llm = 1}``; left out: none."""
    cpu_share: dict[str, float] = {}
    """CPUs that one server of a stage takes; left out: 1."""


class Sip(_Section):
    host: str = "127.0.0.1"
    """Address that SIP and RTP are served on; it also stands in the SDP."""
    port: Port = 5060
    transports: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
    processes: int = Field(2, ge=1, le=64)
    """pjsua2 carries 4 calls a process."""
    rtp_port: Port = 16384
    """First RTP port; each process takes the next 100."""
    allow: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("127.0.0.0/8"),)
    """Networks that may call; anything else gets no answer but one log line."""
    trunks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Those of them that are carriers and PBXs: where it names any, they have a budget of messages of
    their own, and half of the lines are theirs alone."""
    strict_rtp: bool = True
    """Hear audio from the address of the caller's SDP and of their signalling alone. Off only for a
    carrier that sends it from a third one; then a stranger may speak in calls."""
    worker_urls: tuple[str, ...] = ("ws://127.0.0.1:7000",)
    registrar: str = ""
    """sip:pbx.example:5060 to register to; empty: do not register."""
    username: str = ""
    password: str = Field("", repr=False)


class Redis(_Section):
    """The queue of background jobs. No call ever waits for it."""

    url: str = Field("", repr=False)
    """redis://:password@host:port/0 (rediss:// with TLS). Empty: the embedded server, started by
    ``ivr up``; its password is the generated secret ``redis``."""
    embedded_port: Port = 7379


class Jobs(_Section):
    """Background work (``ivr jobs``): reading documents, moderation, review, retention."""

    enabled: bool = True
    """Whether ``ivr up`` runs it, with the embedded Redis."""
    processes: int = Field(1, ge=1, le=64)
    sweep_s: float = Field(30, ge=1)
    """How often Postgres is asked what is left to be done: what Redis lost is found again."""
    nightly: str = Field("02:30", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """When golden questions are asked and what is too old is erased; in ``switch.timezone``."""


class Knowledge(_Section):
    """Documents that agents answer from."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of the operator that documents may be read from by URL; empty: none."""
    max_document_mb: int = Field(50, ge=1, le=1000)
    max_pages: int = Field(2000, ge=1)
    read_timeout_s: float = Field(300, ge=1)
    """Longest that one document is read for."""
    ocr: bool = False
    """Read scanned pages with Tesseract, where it is installed."""
    ocr_languages: tuple[str, ...] = ("eng", "hin")
    """Tesseract's names of the languages of scanned pages."""


class Guard(_Section):
    """An optional model that judges each phrase beside the rules; OpenAI's chat completions."""

    url: str = Field("", repr=False)
    """Of a guard model's server (http://…/v1); empty: rules only."""
    model: str = ""
    api_key: str = Field("", repr=False)
    timeout_ms: int = Field(800, ge=10)
    prompt: str = ""
    """What it is asked, with {said} and {phrase}; empty: Llama Guard's own form of chat."""
    unsafe: str = "^\\s*unsafe"
    """Its answer is a stop when this (RE2) is found in it."""


class Retention(_Section):
    """After how many days what is kept of calls is erased, where an agent does not say; 0: never."""

    recordings_days: int = Field(90, ge=0)
    transcripts_days: int = Field(365, ge=0)
    log_days: int = Field(730, ge=0)


class Backup(_Section):
    """Where backups go and how long they stay (``ivr backup``, docs/backup.md)."""

    target: str = ""
    """Folder that backups are written to, better on another disk; empty: ``backups`` in data_dir."""
    mount: str = ""
    """Mount point that must be mounted before anything is written, so that a share that is away is
    not filled in as a folder of this disk; empty: none."""
    recipients: tuple[str, ...] = ()
    """age1…: who can read them; empty: the one that ``ivr backup key`` made."""
    daily: int = Field(7, ge=1)
    """Of each of so many days the last backup stays."""
    weekly: int = Field(4, ge=0)
    monthly: int = Field(6, ge=0)
    drill: Literal["never", "always", "weekly", "monthly"] = "weekly"
    """How often a backup is restored into a scratch database while it is made."""
    models: bool = False
    """Weights of models too, not only their names and checksums."""
    mb_per_s: float = Field(30, ge=0)
    """Read at most so fast, that calls keep disk and cores; 0: as fast as it goes."""
    keep_free_gb: float = Field(1, ge=0)
    """On the target, beside what the backup is expected to take."""
    late_hours: float = Field(36, gt=0)
    """An older last backup is an alarm."""
    by_jobs: bool = True
    """Whether ``ivr jobs`` makes one every night where no systemd runs it (ivr-backup.timer does
    where one does)."""


class Admin(_Section):
    """The console and its API (``ivr admin``)."""

    enabled: bool = True
    """Whether ``ivr up`` runs it."""
    host: str = "127.0.0.1"
    port: Port = 7900
    tls: bool = True
    """Off only behind a proxy that speaks HTTPS; cookies are for HTTPS alone either way."""
    certificate: str = ""
    """PEM file, the chain included; empty: one of our own making, which browsers warn of."""
    key: str = ""
    """PEM file of its private key."""
    public_url: str = ""
    """https://… as browsers write it; empty: whatever host they ask for."""
    session_hours: float = Field(12, gt=0, le=168)
    idle_minutes: float = Field(60, gt=0)
    """A session that nothing is heard of for so long has ended."""
    second_factor: Literal["optional", "required"] = "optional"
    lock_after: int = Field(8, ge=3)
    """Wrong passwords in a row after which a user is locked out for ``lock_minutes``."""
    lock_minutes: float = Field(15, gt=0)
    requests_a_minute: int = Field(600, ge=10)
    """Of one address; the next get 429."""
    upload_mb: int = Field(50, ge=1, le=1000)
    """Largest upload, documents and lists of contacts."""
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks that webhooks may go to beside the public internet; empty: no private address."""


class Switch(_Section):
    """Call control of FreeSWITCH (``ivr switch``)."""

    esl_host: str = "127.0.0.1"
    esl_port: Port = 8021
    """FreeSWITCH's event socket; its password is the generated secret ``event-socket``."""
    conf_dir: Path = Path("/etc/freeswitch")
    """FreeSWITCH's configuration, as ``ivr switch configure`` made it; we write in its ``site``."""
    worker_urls: tuple[str, ...] = ("ws://127.0.0.1:7000",)
    playback_host: str = "127.0.0.1"
    """Address of FreeSWITCH that workers send playback to. It checks no sender: loopback, or a
    guarded network."""
    playback_port: Port = 24000
    """First UDP port for playback; each call takes one of ``playback_ports``."""
    playback_ports: int = Field(1000, ge=10)
    api_host: str = "127.0.0.1"
    api_port: Port = 7700
    """HTTP API for `ivr call`, `ivr supervise`, `ivr trunks` and the console; the bearer token is the
    generated secret ``switch``."""
    country: str = Field("IN", pattern="^[A-Z]{2}$")
    """ISO 3166: how numbers without a country code are read."""
    timezone: str = "Asia/Kolkata"
    max_calls: int = Field(200, ge=1)
    wait_s: int = Field(30, ge=0)
    """How long a caller holds for a worker with room, before the overflow; 0: not at all."""
    max_waiting: int = Field(20, ge=0)
    """Callers who hold at once; the next goes to the overflow at once."""
    failure_to: str = ""
    """Who takes a call that no worker can carry and whose number names nobody (``overflow_to``)."""
    calling_hours: str = "mon-sat 09:00-21:00"
    """When calls may be made; the called party's night is theirs."""


class CallLimits(_Section):
    """How much may be called; 0: no limit."""

    calls: int = Field(0, ge=0)
    """At once."""
    hour_minutes: int = Field(0, ge=0)
    day_minutes: int = Field(0, ge=0)


Prefix = Annotated[str, Field(pattern=r"^(\+[1-9]\d{0,14}|[1-9]\d{0,5})$")]
"""Of telephone numbers."""


class Toll(_Section):
    """Which numbers this box may ring through its trunks, and how much. SECURITY.md."""

    allow: tuple[Prefix, ...] = ("+91", "1")
    """Prefixes: with a plus of public numbers, without one of short codes (6 digits at most). The
    longest that fits counts; known premium, satellite and fraud ranges need one of their own."""
    deny: tuple[Prefix, ...] = ()
    """Prefixes that are never rung; they win over an equal or shorter ``allow``."""
    foreign: CallLimits = CallLimits(calls=4, hour_minutes=60, day_minutes=240)
    """Of all calls to other countries together."""
    foreign_hours: str = "mon-sat 08:00-22:00"
    """When other countries may be rung (``switch.timezone``)."""
    trunk: CallLimits = CallLimits()
    """Of each trunk, calls out of any kind."""
    trunks: dict[str, CallLimits] = {}
    """By name, in place of ``trunk``."""
    tenant: CallLimits = CallLimits()
    """Of each tenant's agents."""
    tenants: dict[str, CallLimits] = {}
    """By id, in place of ``tenant``."""
    short_s: int = Field(30, ge=1)
    """A call to another country that is over so soon is a short one."""
    burst_calls: int = Field(10, ge=2)
    """So many short ones to one range of numbers within ``burst_minutes`` stop that range."""
    burst_minutes: int = Field(10, ge=1)
    block_hours: float = Field(24, gt=0)
    """For so long, or until ``ivr trunks toll --unblock``."""


class Metrics(_Section):
    """``GET /metrics`` of processes that have no HTTP port of their own; 0: none."""

    host: str = "127.0.0.1"
    """Where they are read; on another address than loopback the generated secret ``metrics`` is asked
    for."""
    sip_port: int = Field(7611, ge=0, le=65535)
    jobs_port: int = Field(7612, ge=0, le=65535)
    up_port: int = Field(7613, ge=0, le=65535)
    """Of ``ivr up``."""
    pools_port: int = Field(7614, ge=0, le=65535)


class Tracing(_Section):
    """OpenTelemetry: one trace a call, one span a turn, sent when the turn is over."""

    endpoint: str = ""
    """http://host:4318/v1/traces of a collector (OTLP over HTTP); empty: no traces."""
    words: bool = False
    """Whether what was said, and callers' numbers, go along."""
    sample: float = Field(1.0, gt=0, le=1)
    """Share of calls that are traced."""


class Firewall(_Section):
    """Who may reach what from outside (``ivr firewall``); docs/systemd.md."""

    ssh: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
    ssh_port: Port = 22
    phones: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of our own telephones, behind FreeSWITCH; of ``ivr sip``: ``sip.allow``."""
    trunks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of carriers beside those that ``ivr trunks`` knows."""
    console: tuple[IPv4Network | IPv6Network, ...] = ()
    """Of people who open the console, where ``admin.host`` is not loopback."""
    metrics: tuple[IPv4Network | IPv6Network, ...] = ()
    """Of whoever reads metrics, where ``metrics.host`` is not loopback."""
    machines: tuple[IPv4Network | IPv6Network, ...] = ()
    """Our other machines: workers, engine servers, the roster."""
    sip_per_second: int = Field(30, ge=1)
    """New calls, and registrations, of one address; three seconds' worth may come at once."""


class Log(_Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    json_lines: bool = False


class Settings(_Section):
    """The whole configuration of the appliance, frozen."""

    data_dir: Path = Path("var")
    """Recordings, journal spool, embedded database, generated secrets, model caches."""
    database: Database = Database()
    worker: Worker = Worker()
    engines: Engines = Engines()
    capacity: Capacity = Capacity()
    cluster: Cluster = Cluster()
    sip: Sip = Sip()
    switch: Switch = Switch()
    toll: Toll = Toll()
    redis: Redis = Redis()
    jobs: Jobs = Jobs()
    knowledge: Knowledge = Knowledge()
    guard: Guard = Guard()
    retention: Retention = Retention()
    backup: Backup = Backup()
    admin: Admin = Admin()
    metrics: Metrics = Metrics()
    tracing: Tracing = Tracing()
    firewall: Firewall = Firewall()
    log: Log = Log()

    @property
    def recordings_dir(self) -> Path:
        return self.data_dir / "recordings"

    @property
    def announcements_dir(self) -> Path:
        """Spoken notices that FreeSWITCH plays by itself: WAV files."""
        return self.data_dir / "announcements"

    @property
    def spool_dir(self) -> Path:
        return self.data_dir / "spool"

    @property
    def secrets_dir(self) -> Path:
        return self.data_dir / "secrets"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    @property
    def models_dir(self) -> Path:
        """Checkpoints, one folder a model; `ivr models`."""
        return self.data_dir / "models"

    @property
    def backups_dir(self) -> Path:
        """Where backups are written to."""
        return Path(self.backup.target) if self.backup.target else self.data_dir / "backups"

    @property
    def backup_state_dir(self) -> Path:
        """What is known here of backups: the public key, how the last one ended."""
        return self.data_dir / "backup"

    @property
    def backup_recipient_file(self) -> Path:
        """The public key that backups are made for, where ``backup.recipients`` names none."""
        return self.backup_state_dir / "recipient"

    @property
    def jobs_dir(self) -> Path:
        """The clock's memory of ``ivr jobs``."""
        return self.data_dir / "jobs"

    @property
    def jobs_ready_file(self) -> Path:
        """It stands while ``ivr jobs`` takes jobs."""
        return self.jobs_dir / "ready"

    @property
    def tls_dir(self) -> Path:
        """The console's own certificate, where ``admin.certificate`` names none."""
        return self.data_dir / "tls"

    @property
    def plan_file(self) -> Path:
        """The capacity plan in force, for what starts and stops engine servers."""
        return self.data_dir / "plan.json"

    def secret(self, name: str) -> str:
        """The generated secret ``name``, made on first use and kept readable by us alone."""
        path = self.secrets_dir / name
        if path.exists():
            return _read_secret(path)
        self.secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{name}.{secrets.token_hex(8)}")
        temporary.touch(mode=0o600)
        with temporary.open("w") as out:
            out.write(secrets.token_urlsafe(32))
            out.flush()
            os.fsync(out.fileno())  # a power cut must not leave the name without its value
        try:
            os.link(temporary, path)  # fails when another process made it first
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return _read_secret(path)


def _read_secret(path: Path) -> str:
    """Raises UserError for an empty file: anybody could make tokens under an empty secret."""
    if value := path.read_text().strip():
        return value
    raise UserError(f"The secret {path} is empty. Remove that file; a new one is made.")


def journal_stream() -> str:
    """What systemd has connected our stderr to, as DEVICE:INODE; empty outside of systemd."""
    return os.environ.get("JOURNAL_STREAM", "")


def settings_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where a process with that environment (ours) has its settings from, whether or not it is there:
    ``$IVR_SETTINGS``, else ``ivr.toml`` in this folder."""
    return Path((os.environ if environ is None else environ).get("IVR_SETTINGS", DEFAULT_FILE))


def load(file: Path | None = None, environ: dict[str, str] | None = None) -> Settings:
    """Read, merge and check the settings.

    ``file`` defaults to :func:`settings_file`, if it is there.

    Raises UserError naming the setting, what is wrong with it and where it came from.
    """
    env = dict(os.environ) if environ is None else environ
    path = file or settings_file(env)
    values: dict[str, Any] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as e:
            raise UserError(f"{path} is not valid TOML: {e}. Mend that line.") from e
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f"{path} cannot be read: {e}. It must be a text file in UTF-8.") from e
    elif file or "IVR_SETTINGS" in env:
        raise UserError(f"There is no settings file {path}. Name one that exists, or none.")
    _merge_environment(values, env)
    try:
        return Settings.model_validate(values)
    except ValidationError as e:
        raise UserError(_explain(e)) from e


def _merge_environment(values: dict[str, Any], env: dict[str, str]) -> None:
    for name, text in env.items():
        if not name.startswith(ENV_PREFIX) or name == "IVR_SETTINGS":
            continue
        *levels, last = name.removeprefix(ENV_PREFIX).lower().split("__")
        if not levels and last not in Settings.model_fields:
            continue  # other tools' variables may begin like ours
        section = values
        for level in levels:
            section = section.setdefault(level, {})
            if not isinstance(section, dict):
                raise UserError(f"{name} sets a part of {level}, which has no parts; remove it.")
        section[last] = _value(name, text)


def _value(name: str, text: str) -> Any:
    if not text.startswith(("[", "{")):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise UserError(f"{name} begins like JSON and is not: {e}. Write a list as JSON.") from e


def _explain(error: ValidationError) -> str:
    lines: dict[str, str] = {}  # by setting: a value of two possible types has an error for each
    for item in error.errors():
        # a union's branches stand in the path as names that hold brackets
        where = ".".join(str(part) for part in item["loc"] if "[" not in str(part))
        if item["type"] == "extra_forbidden":
            lines.setdefault(where, f"Setting {where} does not exist; check its spelling.")
        else:
            value = "…" if _is_secret(item) else repr(item["input"])
            lines.setdefault(where, f"Setting {where} = {value}: {item['msg']}.")
    return " ".join(lines.values())


def _is_secret(error: ErrorDetails) -> bool:
    """Whether the value is one that no log may show, or a section that may hold one."""
    return error["loc"][-1] in SECRET_NAMES or isinstance(error["input"], dict | list)
