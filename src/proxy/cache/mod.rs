//! What a shared cache may keep, for how long, and for whom (RFC 9111).
//!
//! Nothing here holds a body or a table: these are the decisions. Only what an origin says
//! explicitly makes a response fresh; nothing is guessed from the date of its last change.

mod control;
mod key;
mod stored;
#[cfg(test)]
mod tests;
mod validators;

pub use control::Control;
pub use key::{Variant, key};
pub use stored::{CacheRules, Exchange, Refusal, Stored, Use, invalidates};
pub use validators::{is_not_modified, make_conditional, renew};
