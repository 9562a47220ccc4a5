"""Runs a command to which system calls are refused, as by a container's seccomp filter:

    without_call.py ERRNO CALL[,CALL...] COMMAND [ARGUMENT ...]

CALL: a number of x86-64. Needs no right but the one to give up rights.
"""

import sys

sys.dont_write_bytecode = True

import ctypes
import os
import struct

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
REFUSE, ALLOW = 0x00050000, 0x7FFF0000  # SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW

errno, calls = int(sys.argv[1]), [int(call) for call in sys.argv[2].split(",")]
# struct sock_filter: u16 code, u8 jump if true, u8 jump if false, u32 k. The call's number comes
# first in struct seccomp_data.
program = [(LOAD, 0, 0, 0)]
program += [(JUMP_EQUAL, len(calls) - i, 0, call) for i, call in enumerate(calls)]
program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE | errno)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
# struct sock_fprog: u16 length, pointer.
fprog = struct.pack("@HP", len(program), ctypes.addressof(code))

prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
for option in ((PR_SET_NO_NEW_PRIVS, 1, None, 0, 0), (PR_SET_SECCOMP, 2, fprog, 0, 0)):
    if prctl(*option) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
os.execvp(sys.argv[3], sys.argv[3:])
