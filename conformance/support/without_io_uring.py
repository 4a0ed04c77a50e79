#!/usr/bin/env python3
"""Runs a command that may not set up io_uring, as in a container with a strict seccomp profile.

usage: without_io_uring.py COMMAND [ARGUMENT]...
"""

import ctypes
import os
import struct
import sys

# Classic BPF (linux/bpf_common.h, linux/seccomp.h).
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
ALLOW = 0x7FFF0000
REFUSE_WITH_EPERM = 0x00050000 | 1
SYSCALL_NUMBER_OFFSET = 0

IO_URING_SETUP = 425  # the same on x86-64 and aarch64
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2


def instruction(code, if_true, if_false, value):
    return struct.pack("HBBI", code, if_true, if_false, value)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def forbid_io_uring():
    instructions = [
        instruction(LOAD_WORD, 0, 0, SYSCALL_NUMBER_OFFSET),
        instruction(JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
        instruction(RETURN, 0, 0, REFUSE_WITH_EPERM),
        instruction(RETURN, 0, 0, ALLOW),
    ]
    program = Program(len(instructions), b"".join(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        sys.exit(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), zero, zero) != 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
forbid_io_uring()
os.execvp(sys.argv[1], sys.argv[1:])
