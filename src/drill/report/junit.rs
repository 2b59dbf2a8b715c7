//! The report as systems of continuous integration read it.

use std::fmt::Write as _;

use super::{Checked, Outcome, Report};

/// One suite, one case for each expectation and one for the run itself.
pub fn junit(report: &Report) -> String {
    let aborted = report.outcome == Outcome::Aborted;
    let failures = report.checks.iter().filter(|check| !check.held).count();
    let name = escaped(&report.name);
    let seconds = report.lasted_ms as f64 / 1_000.0;
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n<testsuite name=\"drill {name}\" tests=\"{}\" failures=\"{failures}\" \
         errors=\"{}\" time=\"{seconds:.3}\">\n",
        report.checks.len() + 1,
        usize::from(aborted),
    );
    // Writing to a text cannot fail.
    let _ = write!(text, "<testcase classname=\"{name}\" name=\"run\" time=\"{seconds:.3}\">");
    if let Some(reason) = report.reason.as_ref().filter(|_| aborted) {
        let _ = write!(text, "<error message=\"{}\"/>", escaped(reason));
    }
    text.push_str("</testcase>\n");
    for Checked { name: check, expected, found, held } in &report.checks {
        let _ = write!(text, "<testcase classname=\"{name}\" name=\"{}\">", escaped(check));
        if !held {
            let message = escaped(&format!("expected {expected}, found {found}"));
            let _ = write!(text, "<failure message=\"{message}\"/>");
        }
        text.push_str("</testcase>\n");
    }
    let told = escaped(&report.to_string());
    let _ = write!(text, "<system-out>{told}</system-out>\n</testsuite>\n</testsuites>\n");
    text
}

/// Text that is no markup, in XML and in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // No other control characters may stand in XML 1.0.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push(char::REPLACEMENT_CHARACTER),
            c => safe.push(c),
        }
    }
    safe
}
