//! Load of pools in regions: what proxies and other balancers report, for how long it counts, and
//! what proxies learn of how much a pool can take. No I/O; time is passed in.

mod knee;
mod meter;
mod table;

pub use knee::{Knee, Reading, Weights};
pub use meter::{Meter, Totals};
pub use table::{Full, Load, Loads, STALE, Sample};
