//! Why a measurement is not believed.

/// Why a measurement is dropped: a bounded label for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// Shorter than 0.05 ms.
    Short,
    /// Longer than 10 s.
    Long,
    /// Its prefix is wider than a /24 or /48.
    Prefix,
    /// The client is no client of the internet.
    Private,
    /// Whoever reports it may not speak for that region.
    Foreign,
    /// There is no room for it.
    Full,
}

impl Refusal {
    /// All of them, for metrics that show zeros.
    pub const ALL: [Self; 6] =
        [Self::Short, Self::Long, Self::Prefix, Self::Private, Self::Foreign, Self::Full];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
            Self::Prefix => "prefix",
            Self::Private => "private",
            Self::Foreign => "foreign",
            Self::Full => "full",
        }
    }
}
