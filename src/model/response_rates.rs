//! How many answers the clients of one prefix get in a second.

use std::num::NonZeroU32;

use crate::prefix::Prefix;

/// Bounds of the rate of answers over UDP, for each client prefix (/24 and /56).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseRates {
    /// Answers a second with data or a referral; `None`: any number.
    pub positive: Option<NonZeroU32>,
    /// Answers a second that say that there is no such name or data; `None`: any number.
    pub negative: Option<NonZeroU32>,
    /// Errors a second; `None`: any number.
    pub error: Option<NonZeroU32>,
    /// One in so many answers above the rate is sent, truncated; 0: none.
    pub slip: u8,
    /// Clients that are never limited.
    pub exempt: Vec<Prefix>,
    /// Whether answers above the rate are only counted, and sent all the same.
    pub dry_run: bool,
}

impl ResponseRates {
    /// Whether there is no bound at all.
    pub fn is_off(&self) -> bool {
        self.positive.is_none() && self.negative.is_none() && self.error.is_none()
    }
}
