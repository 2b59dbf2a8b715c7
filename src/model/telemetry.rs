//! Traces of proxied requests (OpenTelemetry).

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// URL of a collector that takes OTLP over HTTP, without the path of a signal.
    pub otlp: String,
    /// Share of the requests without a trace of their own that begin a recorded one, from 0 to 1.
    pub sample: f64,
}
