//! Metric families made from values counted elsewhere.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts};

/// One sample: label values in the order of the labels, and the value.
pub(super) type Sample<V> = (Vec<String>, V);

/// A counter family of these samples.
pub(super) fn counters(
    name: &str,
    help: &str,
    labels: &[&str],
    samples: impl IntoIterator<Item = Sample<u64>>,
) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    for (values, value) in samples {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        family.get_metric_with_label_values(&values)?.inc_by(value);
    }
    Ok(family.collect())
}

/// A gauge family of these samples.
pub(super) fn gauges(
    name: &str,
    help: &str,
    labels: &[&str],
    samples: impl IntoIterator<Item = Sample<f64>>,
) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let family = GaugeVec::new(Opts::new(name, help), labels)?;
    for (values, value) in samples {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        family.get_metric_with_label_values(&values)?.set(value);
    }
    Ok(family.collect())
}
