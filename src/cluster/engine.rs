//! What carries messages between nodes: one contract, two engines.

use bytes::Bytes;

use super::embedded::Attached;
use super::mesh::Outgoing;
use super::nats::Bus;

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It can be reached, or can again; messages of the time before may be lost.
    Up,
    /// It cannot be reached.
    Down,
    /// Messages were lost, since they came faster than they were taken.
    Lost,
    /// A message.
    Message {
        /// Where it belongs.
        subject: String,
        /// The message.
        payload: Bytes,
    },
    /// The last message of a subject, which the engine has kept.
    Recalled {
        /// Where it belongs.
        subject: String,
        /// The message.
        payload: Bytes,
    },
}

/// A node's place on an engine. A message reaches every other node that listens to its subject
/// once, or is lost; of pages and beats the last one is kept for those who come later, but for
/// pages of load.
#[derive(Debug)]
pub enum Engine {
    /// Within this process.
    Embedded(Attached),
    /// A NATS bus.
    Nats(Bus),
}

impl Engine {
    /// Hands over a message, without waiting; `false`: there is no room, and it is lost.
    pub fn publish(&self, message: Outgoing) -> bool {
        match self {
            Self::Embedded(attached) => attached.publish(&message),
            Self::Nats(bus) => bus.publish(message),
        }
    }

    /// The next signal; `None`: there will be none. Of round trips the engine may have kept more
    /// than anybody can take at once, so that those come only while there is `room`.
    pub async fn signal(&mut self, room: bool) -> Option<Signal> {
        match self {
            Self::Embedded(attached) => attached.signals.recv().await,
            Self::Nats(bus) => tokio::select! {
                biased;
                signal = bus.signals.recv() => signal,
                Some(signal) = bus.unhurried.recv(), if room => Some(signal),
            },
        }
    }

    /// A signal that is there already.
    pub fn ready_signal(&mut self) -> Option<Signal> {
        match self {
            Self::Embedded(attached) => attached.signals.try_recv().ok(),
            Self::Nats(bus) => bus.signals.try_recv().ok(),
        }
    }
}
