"""Shuts the process that parses a document in: no file but programs' and libraries' own can be opened,
nothing written, nobody connected to, no other process signalled or traced.

Parsers of fonts, pictures and compressed streams are written in C: whoever takes one over has the
rights of this process. So it gives away what it has no use for, by the kernel's own means: Landlock
(landlock(7), Linux 5.13) for files, seccomp (seccomp(2)) for sockets and the like. Where a kernel has
neither, limits and an empty environment are what remains.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import appliance

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""System calls, the same on all machines."""
_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_ALL_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights of files that an ABI knows of: those not allowed below are refused."""
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets, and signals."""
_SHOWN = (
    "/usr", "/lib", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache", "/etc/fonts",
    "/etc/localtime", "/dev/null", "/dev/urandom", "/dev/zero", "/sys/devices/system/cpu",
    "/proc/cpuinfo", "/proc/meminfo",
)  # fmt: skip
_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""Go on; the call fails with EPERM."""
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED = {
    "x86_64": (41, 42, 53, 101, 310, 311, 321, 425),
    "aarch64": (198, 203, 199, 117, 270, 271, 280, 425),
}
"""socket, connect, socketpair, ptrace, process_vm_readv and _writev, bpf, io_uring_setup."""


class _Filter(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


def shut_in() -> None:
    """Shut this process in, for good, as far as the kernel can. It must have ``no_new_privs`` set."""
    libc = ctypes.CDLL(None, use_errno=True)
    _hide_files(libc, own_paths())
    _refuse_calls(libc)


def own_paths() -> list[str]:
    """What can still be read: programs, libraries, and what they need to start."""
    ours = (sys.prefix, sys.base_prefix, sys.exec_prefix, Path(appliance.__file__).parent)
    return [str(path) for path in (*ours, *_SHOWN) if os.path.exists(path)]


def _hide_files(libc: ctypes.CDLL, shown: Iterable[str]) -> None:
    abi = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if abi < 1:
        return
    rights = max(known for since, known in _ALL_OF_ABI.items() if since <= abi)
    handled = struct.pack("QQQ", rights, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, handled, size, 0)
    if ruleset < 0:
        return
    for path in shown:
        _show(libc, ruleset, path)
    libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _show(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _EXECUTE | _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        if path == os.devnull:
            rights |= _WRITE_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _refuse_calls(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    if machine not in _MACHINES or sys.maxsize < 2**32:
        return
    refused = _REFUSED[machine]
    code = [
        (_LOAD, 0, 0, 4),  # the machine that a call is made as: another's numbers mean other calls
        (_EQUAL, 1, 0, _MACHINES[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, 0),  # its number
        *((_EQUAL, len(refused) - at, 0, number) for at, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    filter_ = _Filter(len(code), b"".join(struct.pack("HBBI", *line) for line in code))
    libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filter_), 0, 0)
