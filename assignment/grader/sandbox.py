"""What a process that runs a student's code can touch: it reads libraries, writes in its own folder, starts nothing.

Linux holds it by Landlock (files, signals, TCP; from kernel 6.2) and by a filter of system calls (libseccomp), whatever
its code does, in Python or past it. Where one of them is missing a root's grader gives it a user of its own, and an
audit hook stops what Python itself would do: that stops accidents and mischief, not a determined attacker.
"""

import ctypes
import os
import signal
import stat
import struct
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

EXTRA_MEMORY_BYTES = 768 << 20  # bytes of memory beyond what the process has when it is confined
MAX_FILE_BYTES = 10_000_000  # bytes of a file
MAX_OPEN_FILES = 256  # files
MAX_TASKS = 64  # threads and processes of a user of its own
READABLE_SPECIAL_FILES = '/dev/null', '/dev/zero', '/dev/urandom', '/dev/random', '/proc/cpuinfo', '/proc/meminfo'
READABLE_LIBRARIES = (
    '/lib',
    '/lib64',
    '/usr/lib',
    '/usr/lib64',
    '/usr/local/lib',
    '/usr/share/zoneinfo',
    '/etc/localtime',
    '/etc/ld.so.cache',
    '/sys/devices/system/cpu',
    *(f'{prefix}/{name}' for prefix in {sys.prefix, sys.base_prefix} for name in ('lib', 'lib64')),
)

# ------------------------------------------------------------------------------------------ Landlock (linux/landlock.h)

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
MIN_LANDLOCK_VERSION = 3  # version that holds truncation too
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, TRUNCATE, IOCTL = 1 << 1, 1 << 14, 1 << 15
EXECUTE, MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 0, 1 << 6, 1 << 9, 1 << 11
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
NEVER_ALLOWED = EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_BLOCK | IOCTL

# ----------------------------------------------------------------------------------------------------------- libseccomp

SECCOMP_ALLOW, SECCOMP_ERRNO = 0x7fff0000, 0x00050000  # the latter with the number of an error
EPERM, ENOSYS = 1, 38
NOT_EQUAL, EQUAL, MASKED = 1, 4, 7
CLONE_THREAD = 0x10000
REFUSED_CALLS = (  # what no assignment needs
    'fork', 'vfork', 'execve', 'execveat', 'setsid', 'setpgid',  # processes
    'kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'pidfd_send_signal', 'pidfd_open',
    'pidfd_getfd', 'ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'kcmp',
    'setpriority', 'ioprio_set', 'sched_setscheduler', 'sched_setparam', 'sched_setattr', 'sched_setaffinity',
    'utime', 'utimes', 'utimensat', 'futimesat',  # what Landlock leaves: owners, modes, times
    'chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat',
    'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat', 'removexattr', 'lremovexattr', 'fremovexattr',
    'socket', 'socketpair', 'memfd_create', 'memfd_secret', 'shmget', 'msgget', 'semget', 'mq_open', 'mq_unlink',
    'io_uring_setup', 'userfaultfd', 'perf_event_open', 'bpf', 'keyctl', 'add_key', 'request_key',
    'mount', 'umount2', 'pivot_root', 'chroot', 'unshare', 'setns', 'open_tree', 'move_mount', 'fsopen',
    'mount_setattr', 'quotactl', 'acct', 'swapon', 'swapoff', 'reboot', 'syslog', 'kexec_load', 'init_module',
    'finit_module')
REFUSED_ARGUMENTS = (  # name, which argument, how it is compared, with what
    ('clone', 0, MASKED, CLONE_THREAD, 0),  # a process; threads may be
    ('prlimit64', 0, NOT_EQUAL, 0, 0),  # another process's limits
    ('prctl', 0, EQUAL, 1, 0),  # PR_SET_PDEATHSIG: to outlive the grader
    *(('fcntl', 1, EQUAL, command, 0) for command in (8, 10, 15)))  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals


def _landlock():
    """The kernel's version of Landlock, 0 without."""
    if sys.platform != 'linux':
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def _libseccomp():
    """The library, or None."""
    try:
        return ctypes.CDLL('libseccomp.so.2') if sys.platform == 'linux' else None
    except OSError:
        return None


def missing_protection():
    """What this system lacks to hold a submission whatever its code does, as text; '' where it can."""
    return ' and '.join(
        name
        for name, there in (
            (f'Landlock {MIN_LANDLOCK_VERSION} (Linux 6.2)', _landlock() >= MIN_LANDLOCK_VERSION),
            ('libseccomp', _libseccomp()),
        )
        if not there
    )


def confine(folder, readable, seconds):
    """From here on this process writes in `folder` alone and reads what is in the folders `readable` and libraries.

    It must have a single thread. seconds: of processor time that it may take
    """
    readable = [*map(str, readable), *READABLE_LIBRARIES]
    weak = missing_protection()
    if resource:
        set_limits(seconds)
        if weak and os.geteuid() == 0:
            become_nobody(folder, readable)
    if sys.platform == 'linux':
        drop_capabilities()
        restrict_files(folder, readable)
        filter_system_calls()
    if weak:
        forbid_writing_outside(folder)


def set_limits(seconds):
    """Set limits of memory, size and number of files, processor time, and no core dumps."""
    limits = {'RLIMIT_FSIZE': MAX_FILE_BYTES, 'RLIMIT_NOFILE': MAX_OPEN_FILES, 'RLIMIT_CORE': 0}
    if sys.platform == 'linux':
        limits['RLIMIT_AS'] = (
            int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize() + EXTRA_MEMORY_BYTES
        )
        Path('/proc/self/oom_score_adj').write_text('1000')  # where memory runs out, it goes first
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # a signal, and what nobody can ignore
    for name, most in limits.items():
        of = getattr(resource, name)
        hard = resource.getrlimit(of)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(of, (most, most))


def become_nobody(folder, readable):
    """Give `folder` and this process to a user that owns nothing else; not where that one could not read libraries."""
    for path in map(Path, readable):
        if any(parent.exists() and not parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents)):
            return
    user = 60000 + os.getpid() % 5000
    for path, folders, files in os.walk(folder):
        for name in ('.', *folders, *files):
            os.chown(os.path.join(path, name), user, user, follow_symlinks=False)
    resource.setrlimit(resource.RLIMIT_NPROC, (MAX_TASKS, MAX_TASKS))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def drop_capabilities():
    """What makes root root."""
    header = struct.pack('Ii', 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    ctypes.CDLL(None).capset(header, bytes(24))


def restrict_files(folder, readable):
    """Landlock, as far as the kernel has it."""
    version, libc = _landlock(), ctypes.CDLL(None, use_errno=True)
    if not version:
        return
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack('QQQ', handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes) if version >= 6 else 16 if
                         version >= 4 else 8), ctypes.c_uint32(0))
    rights = {path: READ_FILE | READ_DIR for path in readable} | dict.fromkeys(READABLE_SPECIAL_FILES, READ_FILE)
    rights |= {'/dev/null': READ_FILE | WRITE_FILE | TRUNCATE, str(folder): handled & ~NEVER_ALLOWED}
    for path, allowed in rights.items():
        if os.path.exists(path):
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed &= handled if os.path.isdir(path) else handled & FILE_RIGHTS
            libc.syscall(ADD_RULE, rules, 1, struct.pack('=Qi', allowed, beneath), 0)
            os.close(beneath)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.syscall(RESTRICT_SELF, rules, 0):
        raise OSError(ctypes.get_errno(), 'Landlock')
    os.close(rules)


class Comparison(ctypes.Structure):
    """libseccomp's scmp_arg_cmp."""
    _fields_ = [('argument', ctypes.c_uint), ('how', ctypes.c_int), ('a', ctypes.c_uint64), ('b', ctypes.c_uint64)]


def filter_system_calls():
    """Refuse the system calls in REFUSED_CALLS and REFUSED_ARGUMENTS, where libseccomp is there."""
    library = _libseccomp()
    if not library:
        return
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(SECCOMP_ALLOW)))

    def refuse(name, comparisons=(), error=EPERM):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # this machine has it
            library.seccomp_rule_add_array(filters, ctypes.c_uint32(SECCOMP_ERRNO | error), number, len(comparisons),
                                           (Comparison * len(comparisons))(*comparisons))
    for name in REFUSED_CALLS:
        refuse(name)
    for name, *comparison in REFUSED_ARGUMENTS:
        refuse(name, [Comparison(*comparison)])
    refuse('clone3', error=ENOSYS)  # its arguments are out of a filter's sight: libc then takes clone
    if library.seccomp_load(filters):
        raise OSError('seccomp')
    library.seccomp_release(filters)


def forbid_writing_outside(folder):
    """From here on Python opens nothing for writing, removes, renames and starts nothing outside the folder.

    An audit hook stays for the life of the process: no code can take it off again.
    """
    folder = os.path.realpath(folder)

    def hook(event, args):
        if event == 'open':
            path, mode, flags = args
            writes = ((isinstance(mode, str) and set(mode) & set('wax+'))
                      or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            paths = [path] if writes else []
        elif event in ('os.remove', 'os.rmdir', 'os.mkdir', 'os.chmod', 'os.chown', 'os.utime', 'os.truncate',
                       'os.setxattr', 'os.removexattr', 'shutil.rmtree', 'sqlite3.connect'):
            paths = args[:1]
        elif event in ('os.rename', 'os.link', 'os.symlink', 'shutil.move', 'shutil.copyfile'):
            paths = args[:2]
        elif event in ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.startfile',
                       'os.fork', 'os.forkpty', 'os.kill', 'os.killpg', 'socket.__new__', 'ctypes.dlopen'):
            raise PermissionError(f'{event} is not needed for the assignment')
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                real = os.path.realpath(os.fsdecode(path))
                if not (real + os.sep).startswith(folder + os.sep) and real != os.devnull:
                    raise PermissionError(f'{os.fsdecode(path)}: writes outside its folder')
    sys.addaudithook(hook)
