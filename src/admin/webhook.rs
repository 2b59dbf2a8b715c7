//! Webhooks: what happens, told to others by signed messages.

mod outbox;
mod sender;

pub use sender::tell;
