//! Octets on their way from one connection to another, and the time in which none come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::clock::{self, Tick};

/// One direction. It has memory of its own only for what the receiver does not take at once.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What the receiver has not taken yet.
    pending: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    /// Octets were written that may still wait in a buffer.
    unflushed: bool,
    /// The end has come.
    pub(super) ended: bool,
    /// The end was passed on, or the receiver is gone, which its own direction tells.
    pub(super) shut: bool,
    /// Octets that came since this was last set to 0.
    pub(super) moved: u64,
}

/// One direction has broken: on the side that is read, or the one that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Read,
    Write,
}

impl Way {
    /// A direction in which these octets go first.
    pub(super) fn beginning(pending: Vec<u8>) -> Self {
        Self { pending, ..Self::default() }
    }

    /// Whether the receiver has taken all that came.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Moves octets until there are none, or the receiver takes none; what comes goes through
    /// `scratch`, and `look` sees it. The runtime's budget ends a turn that gets too long.
    pub(super) fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
        scratch: &mut [u8],
        mut look: impl FnMut(&[u8]),
    ) -> Result<(), Broken> {
        loop {
            while let Some(left) = self.pending.get(self.taken..).filter(|left| !left.is_empty()) {
                match Pin::new(&mut *to).poll_write(context, left) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(taken)) if taken > 0 => self.taken += taken,
                    Poll::Ready(_) => return Err(Broken::Write),
                }
            }
            // The memory goes, too: most connections are quiet for most of the time.
            (self.pending, self.taken) = (Vec::new(), 0);
            if self.ended {
                self.shut |= Pin::new(&mut *to).poll_shutdown(context).is_ready();
                return Ok(());
            }
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut *from).poll_read(context, &mut buffer) {
                Poll::Pending if self.unflushed => {
                    let flushed = Pin::new(&mut *to).poll_flush(context);
                    self.unflushed = flushed.is_pending();
                    let fine = !matches!(flushed, Poll::Ready(Err(_)));
                    return if fine { Ok(()) } else { Err(Broken::Write) };
                }
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(Broken::Read),
                Poll::Ready(Ok(())) => {}
            }
            let came = buffer.filled();
            if came.is_empty() {
                self.ended = true;
                continue;
            }
            self.moved += came.len() as u64;
            look(came);
            self.unflushed = true;
            let taken = match Pin::new(&mut *to).poll_write(context, came) {
                Poll::Pending => 0,
                Poll::Ready(Ok(taken)) if taken > 0 => taken,
                Poll::Ready(_) => return Err(Broken::Write),
            };
            self.pending.extend_from_slice(came.get(taken..).unwrap_or_default());
        }
    }
}

/// Goes off when nothing has come for a while.
#[derive(Debug)]
pub(super) struct Quiet {
    timer: Pin<Box<Sleep>>,
    after: Duration,
    /// When something came last.
    last: Tick,
}

impl Quiet {
    /// Goes off after this time.
    pub(super) fn new(after: Duration) -> Self {
        Self { timer: Box::pin(sleep(after)), after, last: clock::now() }
    }

    /// Something came.
    pub(super) fn stir(&mut self) {
        self.last = clock::now();
    }

    /// Whether nothing came for so long. The timer is set anew only when it goes off, not with each
    /// octet.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            let left = self.after.saturating_sub(clock::now().since(self.last));
            if left.is_zero() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(tokio::time::Instant::now() + left);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_comes_goes_on_through_receivers_that_take_little() {
        for (beginning, long) in [(0, 0), (0, 1), (5, 3), (0, 10_000), (700, 70_000)] {
            let octets: Vec<u8> = (0..long).map(|at: usize| (at % 251) as u8).collect();
            let ((mut sender, mut from), (mut to, mut receiver)) = (duplex(100), duplex(77));
            let first = vec![b'-'; beginning];
            let expected = [&first[..], &octets].concat();
            let send = async {
                sender.write_all(&octets).await.unwrap();
                sender.shutdown().await.unwrap();
            };
            let (mut way, mut scratch, mut seen) = (Way::beginning(first), [0; 64], 0);
            let pass = poll_fn(|context| {
                let look = |came: &[u8]| seen += came.len();
                way.poll(&mut from, &mut to, context, &mut scratch, look).unwrap();
                if way.shut { Poll::Ready(()) } else { Poll::Pending }
            });
            let mut got = Vec::new();
            let ((), (), read) = tokio::join!(send, pass, receiver.read_to_end(&mut got));
            assert_eq!((read.unwrap(), got), (expected.len(), expected));
            assert_eq!((seen, way.moved, way.is_empty()), (long, long as u64, true));
        }
    }

    #[tokio::test]
    async fn it_is_told_which_side_broke() {
        let ((mut sender, mut from), (mut to, receiver)) = (duplex(100), duplex(100));
        sender.write_all(b"x").await.unwrap();
        drop(receiver);
        let mut way = Way::default();
        let end = poll_fn(|context| {
            Poll::Ready(way.poll(&mut from, &mut to, context, &mut [0; 8], |_| {}))
        });
        assert_eq!(end.await, Err(Broken::Write));
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_is_counted_from_what_came_last() {
        let mut quiet = Quiet::new(Duration::from_millis(1));
        poll_fn(|context| quiet.poll(context)).await;
        let mut stirred = Quiet::new(Duration::from_secs(3600));
        stirred.stir();
        assert!(poll_fn(|context| Poll::Ready(stirred.poll(context))).await.is_pending());
    }
}
