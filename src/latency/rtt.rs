//! A round trip as the map keeps it: on a logarithmic scale, from 0.05 ms to 10 s.

use std::time::Duration;

/// The shortest round trip there is, in milliseconds: what a cable of 5 km takes.
pub(super) const LEAST_MS: f64 = 0.05;
/// The longest one that says anything of the way, in milliseconds.
pub(super) const MOST_MS: f64 = 10_000.0;
/// Steps for each factor of e: 0.02 % a step, so that averages need no more digits than samples.
const STEPS: f64 = 5_000.0;

/// A round trip time; two octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rtt(pub(super) u16);

impl Rtt {
    /// The nearest on the scale; what is outside of it becomes its end.
    pub fn from_ms(ms: f64) -> Self {
        Self(steps(ms.clamp(LEAST_MS, MOST_MS) / LEAST_MS).round() as u16)
    }

    /// The nearest to a time; `None`: it is outside of the scale.
    pub fn of(time: Duration) -> Option<Self> {
        let ms = time.as_secs_f64() * 1e3;
        (LEAST_MS..=MOST_MS).contains(&ms).then(|| Self::from_ms(ms))
    }

    /// In milliseconds.
    pub fn ms(self) -> f64 {
        LEAST_MS * (f64::from(self.0) / STEPS).exp()
    }

    /// As it travels and is saved.
    pub fn to_bits(self) -> u16 {
        self.0
    }

    /// What travelled or was saved; `None`: it is beyond the scale.
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits <= Self::from_ms(MOST_MS).0).then_some(Self(bits))
    }
}

/// The steps that a factor is long.
pub(super) fn steps(factor: f64) -> f64 {
    factor.ln() * STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_fine_and_ends_where_round_trips_end() {
        for ms in [0.05, 0.3, 1.0, 17.0, 250.0, 9_999.0] {
            let kept = Rtt::from_ms(ms);
            assert!((kept.ms() / ms - 1.0).abs() < 2e-4, "{ms}");
            assert_eq!(Rtt::from_bits(kept.to_bits()), Some(kept));
        }
        assert_eq!(Rtt::of(Duration::from_micros(49)), None);
        assert_eq!(Rtt::of(Duration::ZERO), None);
        assert_eq!(Rtt::of(Duration::from_millis(10_001)), None);
        assert_eq!(Rtt::of(Duration::from_micros(50)), Some(Rtt(0)));
        assert_eq!(Rtt::from_bits(u16::MAX), None);
        assert_eq!((Rtt::from_ms(0.0), Rtt::from_ms(f64::INFINITY)), (Rtt(0), Rtt(61_030)));
    }
}
