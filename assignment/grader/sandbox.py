"""Confine a process that runs a student's code: it may read libraries, write in its own folder and start nothing.

On Linux two mechanisms of the kernel enforce this, also against native code: Landlock (files; on newer kernels TCP and
signals as well) from kernel 6.2 and a filter of system calls (libseccomp). If one of them is missing, an audit hook
makes Python refuse to write elsewhere or to start programs, and a grader that runs as root also gives the process a
separate user. This stops accidents and mischief, but not a determined attacker.
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

EXTRA_MEMORY_BYTES = 768 << 20  # memory beyond what the process has when it is confined
MAX_FILE_BYTES = 10_000_000  # size of one file
MAX_OPEN_FILES = 256
MAX_TASKS = 64  # threads and processes of the user that `become_nobody` chooses
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
MIN_LANDLOCK_VERSION = 3  # the first ABI version that restricts truncation
READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, TRUNCATE, IOCTL = 1 << 1, 1 << 14, 1 << 15
EXECUTE, MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 0, 1 << 6, 1 << 9, 1 << 11
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
NEVER_ALLOWED = EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_BLOCK | IOCTL

# ----------------------------------------------------------------------------------------------------------- libseccomp

SECCOMP_ALLOW, SECCOMP_ERRNO = 0x7fff0000, 0x00050000  # the latter is combined with an error number
EPERM, ENOSYS = 1, 38
NOT_EQUAL, EQUAL, MASKED = 1, 4, 7
CLONE_THREAD = 0x10000
REFUSED_CALLS = (  # system calls that the assignment does not need
    'fork', 'vfork', 'execve', 'execveat', 'setsid', 'setpgid',  # processes
    'kill', 'tkill', 'tgkill', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'pidfd_send_signal', 'pidfd_open',
    'pidfd_getfd', 'ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'kcmp',
    'setpriority', 'ioprio_set', 'sched_setscheduler', 'sched_setparam', 'sched_setattr', 'sched_setaffinity',
    'utime', 'utimes', 'utimensat', 'futimesat',  # times, modes and owners, which Landlock does not restrict
    'chmod', 'fchmod', 'fchmodat', 'fchmodat2', 'chown', 'fchown', 'lchown', 'fchownat',
    'setxattr', 'lsetxattr', 'fsetxattr', 'setxattrat', 'removexattr', 'lremovexattr', 'fremovexattr',
    'socket', 'socketpair', 'memfd_create', 'memfd_secret', 'shmget', 'msgget', 'semget', 'mq_open', 'mq_unlink',
    'io_uring_setup', 'userfaultfd', 'perf_event_open', 'bpf', 'keyctl', 'add_key', 'request_key',
    'mount', 'umount2', 'pivot_root', 'chroot', 'unshare', 'setns', 'open_tree', 'move_mount', 'fsopen',
    'mount_setattr', 'quotactl', 'acct', 'swapon', 'swapoff', 'reboot', 'syslog', 'kexec_load', 'init_module',
    'finit_module')
REFUSED_ARGUMENTS = (  # name, index of the argument, comparison, its two operands
    ('clone', 0, MASKED, CLONE_THREAD, 0),  # new processes; new threads are allowed
    ('prlimit64', 0, NOT_EQUAL, 0, 0),  # limits of other processes
    ('prctl', 0, EQUAL, 1, 0),  # PR_SET_PDEATHSIG, which would let the code outlive the grader
    *(('fcntl', 1, EQUAL, command, 0) for command in (8, 10, 15)))  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals


def _landlock_version():
    """Return the version of the kernel's Landlock ABI, or 0 if the kernel has none."""
    if sys.platform != 'linux':
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def _load_libseccomp():
    """Load libseccomp; return None if it is not installed."""
    try:
        return ctypes.CDLL('libseccomp.so.2') if sys.platform == 'linux' else None
    except OSError:
        return None


def missing_protection() -> str:
    """Return the names of what this system lacks to confine a submission safely, or '' if it lacks nothing."""
    return ' and '.join(
        name
        for name, is_available in (
            (f'Landlock {MIN_LANDLOCK_VERSION} (Linux 6.2)', _landlock_version() >= MIN_LANDLOCK_VERSION),
            ('libseccomp', _load_libseccomp()),
        )
        if not is_available
    )


def confine(folder: str, readable: list, seconds: int) -> None:
    """Confine this process for the rest of its life; it must have a single thread.

    Args:
        folder: the only folder in which it may write.
        readable: paths of folders that it may read, in addition to the libraries.
        seconds: processor time that it may use.
    """
    readable = [*map(str, readable), *READABLE_LIBRARIES]
    missing = missing_protection()
    if resource:
        set_limits(seconds)
        if missing and os.geteuid() == 0:
            become_nobody(folder, readable)
    if sys.platform == 'linux':
        drop_capabilities()
        restrict_files(folder, readable)
        filter_system_calls()
    if missing:
        forbid_writing_outside(folder)


def set_limits(seconds: int) -> None:
    """Limit memory, the size and number of files and processor time (in seconds), and disable core dumps."""
    limits = {'RLIMIT_FSIZE': MAX_FILE_BYTES, 'RLIMIT_NOFILE': MAX_OPEN_FILES, 'RLIMIT_CORE': 0}
    if sys.platform == 'linux':
        limits['RLIMIT_AS'] = (
            int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize() + EXTRA_MEMORY_BYTES
        )
        Path('/proc/self/oom_score_adj').write_text('1000')  # If memory runs out, this process is killed first.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU comes first, then SIGKILL.
    for name, limit in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def become_nobody(folder: str, readable: list) -> None:
    """Give `folder` and this process to a user that owns nothing else.

    Nothing is changed if that user could not reach one of the paths `readable`. The process must run as root.
    """
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


def drop_capabilities() -> None:
    """Drop all Linux capabilities, which are the privileges of root."""
    header = struct.pack('Ii', 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    ctypes.CDLL(None).capset(header, bytes(24))


def restrict_files(folder: str, readable: list[str]) -> None:
    """Restrict files, TCP and signals with Landlock, as far as the kernel's version of it can.

    Args:
        folder: the only folder in which this process may write.
        readable: paths that it may read.

    Raises:
        OSError: the kernel refuses the restriction.
    """
    version, libc = _landlock_version(), ctypes.CDLL(None, use_errno=True)
    if not version:
        return
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack('QQQ', handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes) if version >= 6 else 16 if
                           version >= 4 else 8), ctypes.c_uint32(0))
    rights = {path: READ_FILE | READ_DIR for path in readable} | dict.fromkeys(READABLE_SPECIAL_FILES, READ_FILE)
    rights |= {'/dev/null': READ_FILE | WRITE_FILE | TRUNCATE, str(folder): handled & ~NEVER_ALLOWED}
    for path, allowed in rights.items():
        if os.path.exists(path):
            parent_fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed &= handled if os.path.isdir(path) else handled & FILE_RIGHTS
            libc.syscall(ADD_RULE, ruleset, 1, struct.pack('=Qi', allowed, parent_fd), 0)
            os.close(parent_fd)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.syscall(RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), 'Landlock cannot restrict this process')
    os.close(ruleset)


class Comparison(ctypes.Structure):
    """Comparison of one argument of a system call: libseccomp's struct scmp_arg_cmp."""
    _fields_ = [('argument', ctypes.c_uint), ('how', ctypes.c_int), ('a', ctypes.c_uint64), ('b', ctypes.c_uint64)]


def filter_system_calls() -> None:
    """Refuse the system calls of REFUSED_CALLS and REFUSED_ARGUMENTS; do nothing without libseccomp.

    Raises:
        OSError: the kernel does not accept the filter.
    """
    library = _load_libseccomp()
    if not library:
        return
    library.seccomp_init.restype = ctypes.c_void_p
    filters = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(SECCOMP_ALLOW)))

    def refuse(name, comparisons=(), error=EPERM):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # This architecture has the call.
            library.seccomp_rule_add_array(filters, ctypes.c_uint32(SECCOMP_ERRNO | error), number, len(comparisons),
                                           (Comparison * len(comparisons))(*comparisons))
    for name in REFUSED_CALLS:
        refuse(name)
    for name, *comparison in REFUSED_ARGUMENTS:
        refuse(name, [Comparison(*comparison)])
    refuse('clone3', error=ENOSYS)  # A filter cannot see its arguments; libc falls back to clone.
    if library.seccomp_load(filters):
        raise OSError('seccomp cannot load the filter of system calls')
    library.seccomp_release(filters)


def forbid_writing_outside(folder: str) -> None:
    """Make Python refuse to change files outside `folder` and to start programs.

    This adds an audit hook, which stays for the life of the process: no code can remove it.
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
                    raise PermissionError(f'{os.fsdecode(path)}: code may write only in its own folder')
    sys.addaudithook(hook)
