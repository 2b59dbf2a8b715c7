//! `[telemetry]`: where traces of proxied requests go.

use toml::Spanned;

use crate::config::defaults::telemetry as d;
use crate::config::sheet::Section;
use crate::config::spec::{Table, TelemetryTable};
use crate::config::value::{Fault, http_url, share};
use crate::model::Telemetry;

/// Resolves the table; `proxies` says whether the node has a proxy, whose requests are traced.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: Option<&Spanned<Table<TelemetryTable>>>,
    proxies: bool,
) -> Option<Telemetry> {
    let field = table?;
    let mut section = top.inside("telemetry", field.span());
    if !cfg!(feature = "otlp") {
        let fault = Fault::new("this program was built without `otlp`");
        let hint = "build it with `cargo build --release --features otlp`";
        section.error(field.span(), fault.hint(hint));
        return None;
    }
    if !proxies {
        let fault = Fault::new("`[telemetry]` has no effect without a proxy");
        section.error(field.span(), fault.hint("traces are those of proxied requests"));
    }
    let table = &field.get_ref().0;
    let otlp = section.required("otlp", table.otlp.as_ref(), |text| collector(text));
    let sample = section.value("sample", &table.sample, d::SAMPLE, share("sample"));
    Some(Telemetry { otlp: otlp?, sample })
}

/// A URL to which the path of a signal can be added.
fn collector(text: &str) -> Result<String, Fault> {
    let usual = "such as `http://127.0.0.1:4318`";
    let wrong = Fault::new(format!("`{text}` is not the URL of a collector")).hint(usual);
    let password = Fault::new("`otlp` holds a password").hint("it would end up in logs");
    let read = http_url(text, wrong, password)?;
    if read.query().is_some() {
        return Err(Fault::new("`otlp` holds a query").hint(usual));
    }
    let path = read.path().trim_end_matches('/');
    if path.ends_with("/v1/traces") {
        let fault = Fault::new(format!("`{text}` names the path of traces"));
        return Err(fault.hint("leave out `/v1/traces`, which is added"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
