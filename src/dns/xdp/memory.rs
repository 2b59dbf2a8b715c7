//! Memory shared with the kernel: the frames of packets, and the words of the rings.
//!
//! A frame belongs to who holds its [`Frame`]. The kernel reads and writes only frames whose
//! `Frame` was turned into an address and put into a ring, so octets of frames are plain slices;
//! what both sides touch at any time, the rings, are atomic words.

#![allow(unsafe_code)] // Mapped memory is known to the compiler by pointers alone.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use libc::{c_int, c_void, off_t};

use super::kernel;

/// Octets of a frame: one of the two sizes that the kernel takes for pages of 4 KiB. A packet of
/// the usual 1,500 octets fits behind the [`HEADROOM`].
pub(super) const FRAME: usize = 2048;
/// Octets that the kernel leaves free before a received packet (`XDP_PACKET_HEADROOM`).
pub(super) const HEADROOM: usize = 256;

/// Mapped memory.
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: the memory belongs to this value alone, wherever it goes.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps memory of `file`, or fresh memory.
    fn new(length: usize, file: Option<(&OwnedFd, off_t)>) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let (kind, fd, offset): (c_int, _, _) = match file {
            Some((file, offset)) => (libc::MAP_SHARED, file.as_raw_fd(), offset),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        };
        let flags = kind | libc::MAP_POPULATE;
        // SAFETY: the kernel chooses a place that nothing else uses.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start).ok_or_else(|| io::Error::other("memory at address 0"))?;
        Ok(Self { start, length })
    }

    /// Where `size` octets at `offset` lie, if they are mapped and begin at a multiple of `size`.
    fn place(&self, offset: usize, size: usize) -> Option<NonNull<c_void>> {
        let mapped = offset.checked_add(size).is_some_and(|end| end <= self.length);
        // SAFETY: the offset is within the mapping.
        (mapped && offset.is_multiple_of(size)).then(|| unsafe { self.start.byte_add(offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nothing borrowed from it is left.
        unsafe { libc::munmap(self.start.as_ptr(), self.length) };
    }
}

/// The words of one ring.
pub(super) struct Words(Mapping);

impl Words {
    /// Maps those that the socket has at this offset.
    pub(super) fn new(socket: &OwnedFd, offset: off_t, length: usize) -> io::Result<Self> {
        Mapping::new(length, Some((socket, offset))).map(Self)
    }

    /// The word of four octets at an offset.
    pub(super) fn four(&self, offset: usize) -> Option<&AtomicU32> {
        // SAFETY: the place is mapped as long as `self` lives, aligned, and any four octets are a
        // number; this process and the kernel access it as a whole word.
        self.0.place(offset, 4).map(|place| unsafe { place.cast::<AtomicU32>().as_ref() })
    }

    /// The word of eight octets at an offset.
    pub(super) fn eight(&self, offset: usize) -> Option<&AtomicU64> {
        // SAFETY: as in `four`.
        self.0.place(offset, 8).map(|place| unsafe { place.cast::<AtomicU64>().as_ref() })
    }
}

/// The right to use one frame. There is one for each, and it is never copied.
#[derive(Debug)]
pub(super) struct Frame(u32);

impl Frame {
    /// The frame in which an address lies, and the offset in it. Only for addresses that come
    /// back from the kernel.
    pub(super) fn at(address: u64) -> (Self, usize) {
        let size = FRAME as u64;
        (Self((address / size) as u32), (address % size) as usize)
    }

    /// Gives up the frame: its address, for the kernel.
    pub(super) fn give_away(self) -> u64 {
        u64::from(self.0) * FRAME as u64
    }
}

/// The memory of all frames.
pub(super) struct Frames(Mapping);

impl Frames {
    /// Memory for `count` frames, and the right to each.
    pub(super) fn new(count: u32) -> io::Result<(Self, Vec<Frame>)> {
        let memory = Mapping::new(count as usize * FRAME, None)?;
        Ok((Self(memory), (0..count).map(Frame).collect()))
    }

    /// Gives the kernel the memory; it must outlive the socket.
    pub(super) fn register(&self, socket: &OwnedFd) -> io::Result<()> {
        let Self(memory) = self;
        kernel::set_memory(socket, memory.start.as_ptr() as u64, memory.length, FRAME)
    }

    /// The octets of a frame.
    pub(super) fn read(&self, frame: &Frame) -> &[u8] {
        self.0.place(frame.0 as usize * FRAME, FRAME).map_or(&[], |place| {
            // SAFETY: the place holds as many octets, mapped as long as `self` lives. Who holds
            // the frame's right keeps the kernel away from it, and writing takes `&mut self`.
            unsafe { slice::from_raw_parts(place.cast().as_ptr(), FRAME) }
        })
    }

    /// The octets of one frame for reading and of another one for writing.
    pub(super) fn read_and_write(&mut self, from: &Frame, to: &mut Frame) -> (&[u8], &mut [u8]) {
        let place = |frame: &Frame| self.0.place(frame.0 as usize * FRAME, FRAME);
        let (Some(source), Some(target)) = (place(from), place(to)) else {
            return (&[], &mut []);
        };
        if source == target {
            return (&[], &mut []);
        }
        // SAFETY: as in `read`; these are two different frames, and `&mut self` keeps every other
        // reader and writer away from both.
        unsafe {
            let read = slice::from_raw_parts(source.cast().as_ptr(), FRAME);
            (read, slice::from_raw_parts_mut(target.cast().as_ptr(), FRAME))
        }
    }
}
