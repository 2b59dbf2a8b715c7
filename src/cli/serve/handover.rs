//! What the running process and its successor say to each other, and the sockets that pass.
//!
//! ```text
//! running process                        successor
//!   its sockets, one by one, SOCKETS_END ──▶
//!                          ◀── PREPARED      the files are read and the sockets open
//!   state/ is let go, GO ──▶
//!                          ◀── READY         it serves
//!   answers what has arrived, and ends
//! ```

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use crate::handed::Handed;

/// Set for a successor, whose standard input is the channel.
const MARK: &str = "MERIDIAN_HANDOVER";
/// Longest that either waits for the other: as long as supervisors wait for a start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most sockets that are taken: far more than a node has.
const SOCKETS_MAX: usize = 65_536;
/// A process that closed the channel has this long to end before it is made to.
const ENDING: Duration = Duration::from_secs(5);

const SOCKET: u8 = b'S';
const SOCKETS_END: u8 = b'E';
const PREPARED: u8 = b'P';
const GO: u8 = b'G';
const READY: u8 = b'R';

/// The process that is to go on; ended with this, unless it took over.
pub(super) struct Successor {
    child: Child,
    channel: UnixStream,
    took_over: bool,
}

/// The process before, as its successor sees it.
pub(super) struct Predecessor(UnixStream);

impl Successor {
    /// Starts the program again, with the arguments of this process, and waits until it has read
    /// its files and opened its sockets, these among them.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) async fn start(sockets: Vec<OwnedFd>) -> Result<Self, String> {
        let mut arguments = std::env::args_os();
        // Found the way it was at the start, so that a new program in its place is the one.
        let program = arguments.next().ok_or("this process has no name")?;
        let made = UnixStream::pair().and_then(|(own, other)| {
            own.set_read_timeout(Some(PATIENCE))?;
            own.set_write_timeout(Some(PATIENCE))?;
            Ok((own, other))
        });
        let (channel, other) = made.map_err(|error| format!("no channel: {error}"))?;
        let mut command = Command::new(&program);
        command.args(arguments).env(MARK, "1").stdin(Stdio::from(OwnedFd::from(other)));
        let child = command.spawn();
        drop(command);
        let child =
            child.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let mut successor = Self { child, channel, took_over: false };
        successor
            .talk(move |channel| {
                for socket in &sockets {
                    send(channel, SOCKET, Some(socket))?;
                }
                send(channel, SOCKETS_END, None)?;
                hear(channel, PREPARED)
            })
            .await?;
        Ok(successor)
    }

    /// Lets it go on, and waits until it serves; gives its number.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn take_over(mut self) -> Result<u32, String> {
        self.talk(|channel| {
            channel.write_all(&[GO])?;
            hear(channel, READY)
        })
        .await?;
        self.took_over = true;
        Ok(self.child.id().unwrap_or_default())
    }

    /// Says and hears something; the error is why that failed.
    async fn talk(
        &mut self,
        say: impl FnOnce(&mut UnixStream) -> io::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        let channel = self.channel.try_clone();
        let mut channel = channel.map_err(|error| format!("no channel: {error}"))?;
        let said = spawn_blocking(move || say(&mut channel)).await;
        let error = match said {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(error) => return Err(error.to_string()),
        };
        Err(match error.kind() {
            io::ErrorKind::WouldBlock => format!("the new process says nothing for {PATIENCE:?}"),
            _ => match tokio::time::timeout(ENDING, self.child.wait()).await {
                Ok(Ok(status)) => format!("the new process ended: {status}"),
                _ => format!("the new process gave up: {error}"),
            },
        })
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.took_over {
            // It has ended, or is about to: either way there is no one to tell.
            let _ = self.child.start_kill();
        }
    }
}

impl Predecessor {
    /// The process that started this one to take over, and its sockets; `None`: nobody did.
    ///
    /// # Errors
    /// When the sockets cannot be taken.
    pub(super) fn of_this_process() -> Result<Option<(Self, Handed)>, String> {
        if std::env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let taken = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).and_then(
            |mut channel| {
                channel.set_read_timeout(Some(PATIENCE))?;
                let mut sockets = Vec::new();
                while let Some(socket) = receive(&mut channel)? {
                    if sockets.len() < SOCKETS_MAX {
                        sockets.push(socket);
                    }
                }
                Ok((Self(channel), Handed::new(sockets)))
            },
        );
        taken.map(Some).map_err(|error| format!("cannot take over sockets: {error}"))
    }

    /// Tells that nothing is in the way any more, and waits for the state folder.
    ///
    /// # Errors
    /// When the process before has ended, or changed its mind.
    pub(super) fn prepared(&mut self) -> Result<(), String> {
        let said = self.0.write_all(&[PREPARED]).and_then(|()| hear(&mut self.0, GO));
        said.map_err(|error| format!("the process before does not hand over: {error}"))
    }

    /// Tells that this process serves.
    ///
    /// # Errors
    /// When the process before has ended.
    pub(super) fn ready(mut self) -> Result<(), String> {
        let said = self.0.write_all(&[READY]);
        said.map_err(|error| format!("the process before cannot be told: {error}"))
    }
}

/// Sends a word, and a descriptor with it.
fn send(channel: &mut UnixStream, word: u8, socket: Option<&OwnedFd>) -> io::Result<()> {
    let Some(socket) = socket else { return channel.write_all(&[word]) };
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg(&*channel, &[IoSlice::new(&[word])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next descriptor; `None`: there are no more.
fn receive(channel: &mut UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut parts = [IoSliceMut::new(&mut word)];
    let received = recvmsg(&*channel, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    match (received.bytes, word, socket) {
        (1, [SOCKETS_END], _) => Ok(None),
        (1, [SOCKET], Some(socket)) => Ok(Some(socket)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Waits for a word.
fn hear(channel: &mut UnixStream, expected: u8) -> io::Result<()> {
    let mut word = [0];
    channel.read_exact(&mut word)?;
    if word == [expected] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::Type;

    use super::*;

    #[test]
    fn sockets_arrive_in_order_with_what_waits_in_them() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        socket.send_to(b"waits", at).unwrap();
        send(&mut one, SOCKET, Some(&socket.into())).unwrap();
        send(&mut one, SOCKETS_END, None).unwrap();
        let received = receive(&mut other).unwrap().unwrap();
        assert!(receive(&mut other).unwrap().is_none());
        let mut handed = Handed::new(vec![received]);
        let socket: UdpSocket = handed.take(Type::DGRAM, at).remove(0).into();
        let mut buffer = [0; 9];
        assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
        drop(one);
        assert!(receive(&mut other).is_err() && hear(&mut other, GO).is_err());
    }
}
