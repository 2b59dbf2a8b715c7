//! What a shared cache may keep, for how long, and for whom (RFC 9111), and where it is kept.
//!
//! Only what an origin says explicitly makes a response fresh; nothing is guessed from the date of
//! its last change.

mod control;
mod fill;
mod key;
mod shelf;
mod shelves;
mod stored;
#[cfg(test)]
mod tests;
mod validators;

pub use control::Control;
pub(super) use fill::{Head, Lead, Outcome, Part, Reader};
pub use key::{Variant, key, target};
pub(super) use shelf::{Found, Turn};
pub use shelf::{Kept, Shelf};
pub use shelves::Shelves;
pub use stored::{Exchange, Refusal, Stored, Use, invalidates};
pub use validators::{is_not_modified, make_conditional, renew};
