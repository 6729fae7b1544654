"""Runs a program under ptrace and halts it when it enters a certain system call.

    halt.py kill|freeze AT LOG FROM PROGRAM [ARGUMENT]...

AT is the Nth call that counts (0: none), or `LINE+K`: the Kth call after the first whose line in the log begins so.
`kill` ends all threads at once. `freeze` stops them until this process is sent SIGUSR2; time goes on meanwhile.
LOG gets one line per call that counts: its name and what it is on. The call that halted the program is the last line,
and was not carried out yet. FROM says from when calls count: the first time that a file whose name ends so is opened,
or, for `signal`, when this process is sent SIGUSR1.
Why not strace: its `when=` counts per thread and per call, and which thread does what differs from run to run.
"""

import ctypes
import os
import platform
import signal
import struct
import sys

TO_END, TO_CALL, SEIZE, INTERRUPT, CALL_INFO = 7, 24, 0x4206, 0x4207, 0x420E
SYSGOOD, CLONE, EXEC, EXITKILL = 1, 8, 16, 1 << 20
WALL = 0x40000000
LOCKS = {6, 7, 37, 38}  # F_SETLK, F_SETLKW and their like for open files; fcntl does other things too

# The calls that count: what changes a file, a lock or a link. By number, which differs between machines.
NUMBERS = {
    "x86_64": {
        "write": 1, "pwrite64": 18, "writev": 20, "connect": 42, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
        "shutdown": 48, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "rename": 82,
        "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87, "fchmod": 91, "exit_group": 231, "openat": 257, "linkat": 265,
        "renameat2": 316,
    },
    "aarch64": {
        "write": 64, "pwrite64": 68, "writev": 66, "connect": 203, "sendto": 206, "recvfrom": 207, "sendmsg": 211,
        "shutdown": 210, "fcntl": 25, "flock": 32, "fsync": 82, "fdatasync": 83, "ftruncate": 46, "renameat": 38,
        "mkdirat": 34, "unlinkat": 35, "linkat": 37, "fchmod": 52, "exit_group": 94, "openat": 56, "renameat2": 276,
    },
}[platform.machine()]
NAMES = {number: name for name, number in NUMBERS.items()}
AT_FOLDER = {"openat", "renameat", "renameat2", "mkdirat", "unlinkat", "linkat"}
BY_PATH = AT_FOLDER | {"rename", "mkdir", "rmdir", "link", "unlink"}
SENDS = {"sendto", "write"}

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def text_at(process, address, size):
    """The bytes there up to the first that ends a word, or as many as can be read."""
    try:
        with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            found = memory.read(size)
    except OSError:
        return ""
    return found.split(b"\0")[0].split(b"\r")[0].decode("latin-1")


def file_of(process, number):
    try:
        return os.readlink(f"/proc/{process}/fd/{number}")
    except OSError:
        return "?"


def target(process, name, arguments):
    """What a call is on: a path, an open file, or the first line of what is sent over a link."""
    if name in BY_PATH:
        return text_at(process, arguments[1 if name in AT_FOLDER else 0], 200)
    if name == "exit_group":
        return str(arguments[0])
    found = file_of(process, arguments[0])
    if name in SENDS and found.startswith("socket:"):
        return text_at(process, arguments[1], min(arguments[2], 27))
    return found.split(":[")[0]


def start(command):
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        os.kill(os.getpid(), signal.SIGSTOP)
        os.execv(command[0], command)
    os.waitpid(child, os.WUNTRACED)
    if libc.ptrace(SEIZE, child, None, SYSGOOD | CLONE | EXEC | EXITKILL) != 0:
        sys.exit(f"no right to trace: {os.strerror(ctypes.get_errno())}")
    os.kill(child, signal.SIGCONT)
    return child


class Halt:
    """Where the program is to be halted, and how far it has come."""

    def __init__(self, at):
        self.place, _, after = at.rpartition("+")
        self.ordinal = int(after) if not self.place else None
        self.after = int(after)
        self.seen = 0

    def is_here(self, line):
        self.seen += 1
        if self.ordinal is None and line.startswith(self.place):
            self.ordinal = self.seen + self.after
        return self.seen == self.ordinal


def main():
    deed, at, log, begin, *command = sys.argv[1:]
    halt, log = Halt(at), open(log, "w", buffering=1)
    # Until calls count, only those are looked at that may be the first: the program goes at its usual speed.
    counting, go = False, TO_END if begin == "signal" else TO_CALL
    threads, running = set(), set()

    def count_now(*_):
        """Stops every thread once, to let it go on from call to call."""
        nonlocal counting, go
        counting, go = True, TO_CALL
        running.update(threads)
        for thread in threads:
            libc.ptrace(INTERRUPT, thread, None, None)

    signal.signal(signal.SIGUSR1, count_now)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    child = start(command)
    threads.add(child)
    # Whoever asks this process to end means the program.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    info = ctypes.create_string_buffer(96)
    while True:
        thread, status = os.waitpid(-1, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            threads.discard(thread)
            running.discard(thread)
            if thread == child:
                sys.exit(os.waitstatus_to_exitcode(status) % 256)
            continue
        stopped, deliver = os.WSTOPSIG(status), 0
        if stopped == signal.SIGTRAP | 0x80:
            libc.ptrace(CALL_INFO, thread, len(info), ctypes.addressof(info))
            number, *arguments = struct.unpack_from("<7Q", info.raw, 24)
            name = NAMES.get(number) if info.raw[0] == 1 else None
            if name and not (name == "fcntl" and arguments[1] not in LOCKS):
                if not counting and begin != "signal" and name == "openat":
                    counting = target(child, name, arguments).endswith(begin)
                if counting:
                    line = f"{name} {target(child, name, arguments)}"
                    log.write(line + "\n")
                    if halt.is_here(line) and deed == "kill":
                        os.kill(child, signal.SIGKILL)
                    elif halt.seen == halt.ordinal:
                        # The other threads stop where they next enter or leave a call: nobody lets them go on.
                        log.write("frozen\n")
                        signal.sigwait({signal.SIGUSR2})
        elif not status >> 16:
            deliver = stopped
        threads.add(thread)
        libc.ptrace(go, thread, None, deliver)
        if thread in running:
            running.discard(thread)
            if not running:
                log.write("counting\n")


main()
