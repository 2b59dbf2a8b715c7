//! Load of pools in regions: what proxies and other balancers report, and for how long it counts.
//! No I/O; time is passed in.

mod meter;
mod table;

pub use meter::{Meter, Totals};
pub use table::{Full, Load, Loads, STALE, Sample};
