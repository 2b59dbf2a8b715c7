//! The immutable snapshot a query is answered from, and the publisher that makes it.

mod answers;

pub use answers::{Family, Located, ServiceAnswers, Steered, SteeredKind};
