//! A network of our own whose loopback drops what we mark: what is left of
//! sending is the transmit path alone, down to where a driver would begin.
//! Needs root.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The mark (SO_MARK) of sockets whose datagrams are dropped.
const MARK: u32 = 0x7269_6e67;

/// linux/bpf.h: the commands, the program type and the hook used here.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_EGRESS: u32 = 47;

/// One instruction: operation, registers (source << 4 | target), jump or
/// memory offset, constant.
#[repr(C)]
struct Instruction {
    operation: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

const fn instruction(operation: u8, registers: u8, offset: i16, constant: i32) -> Instruction {
    Instruction {
        operation,
        registers,
        offset,
        constant,
    }
}

/// `mark == MARK ? TCX_DROP : TCX_NEXT`.
const PROGRAM: [Instruction; 5] = [
    // r2 = *(u32 *)(r1 + 8), the `mark` of `struct __sk_buff`
    instruction(0x61, 0x12, 8, 0),
    // r0 = TCX_NEXT
    instruction(0xb7, 0x00, 0, -1),
    // if r2 != MARK, skip one
    instruction(0x55, 0x02, 1, MARK as i32),
    // r0 = TCX_DROP
    instruction(0xb7, 0x00, 0, 2),
    // return r0
    instruction(0x95, 0x00, 0, 0),
];

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct Load {
    program_type: u32,
    instructions: u32,
    at: u64,
    license: u64,
    rest: [u64; 12],
}

/// The part of `union bpf_attr` that attaches one to an interface.
#[repr(C)]
struct Attach {
    program: u32,
    interface: u32,
    hook: u32,
    flags: u32,
    rest: [u64; 12],
}

/// The filter, as long as it lives.
pub struct Dropping {
    _link: OwnedFd,
}

/// Moves the calling thread into a new network namespace with a loopback
/// interface and nothing else. Sockets made before stay where they were.
pub fn enter_own_network() -> io::Result<()> {
    // SAFETY: takes a plain number.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    // SAFETY: takes and returns plain numbers.
    let socket = own(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
    // SAFETY: `ifreq` is plain data; all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the kernel reads an `ifreq` for this request.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) })?;
    Ok(())
}

/// Marks what `socket` sends.
pub fn mark(socket: RawFd) -> io::Result<()> {
    // SAFETY: SO_MARK takes a 32-bit number, read during the call.
    check(unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MARK,
            std::ptr::from_ref(&MARK).cast(),
            size_of_val(&MARK) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// From here on, marked datagrams are dropped where the loopback device would
/// take them (TCX, Linux 6.6).
pub fn drop_marked() -> io::Result<Dropping> {
    let load = Load {
        program_type: BPF_PROG_TYPE_SCHED_CLS,
        instructions: PROGRAM.len() as u32,
        at: PROGRAM.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        rest: [0; 12],
    };
    let program = bpf(BPF_PROG_LOAD, &load)?;
    // SAFETY: the name ends in a zero byte.
    let interface = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
    let attach = Attach {
        program: program.as_raw_fd() as u32,
        interface,
        hook: BPF_TCX_EGRESS,
        flags: 0,
        rest: [0; 12],
    };
    // The link keeps the program.
    let link = bpf(BPF_LINK_CREATE, &attach)?;
    Ok(Dropping { _link: link })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: both commands only read the attributes, whose size is given; the
    // tail beyond what the command knows is zero. What they point at is static.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    own(fd as libc::c_int)
}

fn own(fd: libc::c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
