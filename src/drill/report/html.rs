//! The report as one page that needs nothing from outside.

use std::fmt::Write as _;

use super::junit::escaped;
use super::{Checked, ErrorSeen, NodeReport, Report, Slot, time};
use crate::clock;

/// Colours of answers: with what was taken out, without, errors, none.
const COLOURS: [(&str, &str); 4] = [
    ("with", "answers with what was taken out"),
    ("without", "answers without"),
    ("errors", "errors or empty answers"),
    ("silent", "no answer"),
];
/// Width of the picture, without the names of nodes.
const WIDTH: u64 = 960;
/// Room for the names of nodes.
const NAMES: u64 = 160;
/// Height of a node's line.
const LINE: u64 = 26;
/// Room for the marks above the lines.
const TOP: u64 = 44;

const STYLE: &str = ":root{color-scheme:light dark;--with:#c2410c;--without:#15803d;\
    --errors:#7e22ce;--silent:#9ca3af;--line:#6b7280}\
    body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\
    table{border-collapse:collapse;margin:1rem 0}th,td{text-align:left;padding:.2rem 1rem .2rem 0;\
    border-bottom:1px solid var(--line)}svg{max-width:100%;height:auto}text{fill:currentColor;\
    font:12px system-ui,sans-serif}.with{fill:var(--with)}.without{fill:var(--without)}\
    .errors{fill:var(--errors)}.silent{fill:var(--silent)}.mark{stroke:currentColor;\
    stroke-dasharray:4 3}.key{display:inline-block;margin-right:1.5rem}\
    .key svg{vertical-align:middle;margin-right:.4rem}.held{color:var(--without)}\
    .broken{color:var(--with);font-weight:bold}@media(prefers-color-scheme:dark){\
    :root{--with:#fb923c;--without:#4ade80;--errors:#c084fc}}";

/// The page.
pub fn html(report: &Report) -> String {
    let name = escaped(&report.name);
    let outcome = report.outcome.as_str();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Drill {name}: {outcome}</title><style>{STYLE}</style></head><body>\n\
         <h1>Drill {name}: {outcome}</h1>\n"
    );
    if let Some(reason) = &report.reason {
        // Writing to a text cannot fail.
        let _ = writeln!(page, "<p class=\"broken\">Aborted: {}</p>", escaped(reason));
    }
    facts(report, &mut page);
    page.push_str("<h2>Answers over time</h2>\n");
    for (class, words) in COLOURS {
        let _ = write!(
            page,
            "<span class=\"key\"><svg width=\"14\" height=\"14\" aria-hidden=\"true\">\
             <rect class=\"{class}\" width=\"14\" height=\"14\"/></svg>{words}</span>"
        );
    }
    picture(report, &mut page);
    nodes(report, &mut page);
    checks(report, &mut page);
    page.push_str("</body></html>\n");
    page
}

/// What was done, and the times that came of it.
fn facts(report: &Report, page: &mut String) {
    page.push_str("<table>\n");
    let taken = format!("{} by {}", report.fail.join(", "), report.how);
    let rows = [
        ("begun", clock::utc(report.started)),
        ("taken out", taken),
        ("lasted", time(Some(report.lasted_ms))),
        ("services", report.services.join(", ")),
    ];
    for (what, found) in rows.into_iter().chain(report.times()).chain(report.traces()) {
        let _ = writeln!(page, "<tr><th>{what}</th><td>{}</td></tr>", escaped(&found));
    }
    page.push_str("</table>\n");
}

/// One line a node, one column a slot, and a dashed line for each thing that was done.
fn picture(report: &Report, page: &mut String) {
    let slots = report.timeline.slots.iter().map(|slot| slot.slot + 1).max().unwrap_or(1);
    let height = TOP + LINE * report.nodes.len() as u64 + 24;
    let all = NAMES + WIDTH;
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 {all} {height}\" role=\"img\" \
         aria-label=\"Share of the answers of each node over time\">"
    );
    for (at, node) in (0..).zip(&report.nodes) {
        let y = TOP + LINE * at + 16;
        let _ = writeln!(page, "<text x=\"0\" y=\"{y}\">{}</text>", escaped(&node.node));
    }
    let width = WIDTH as f64 / slots as f64;
    for slot in &report.timeline.slots {
        column(slot, width, page);
    }
    let total_ms = (slots * report.timeline.width_ms) as f64;
    for (number, mark) in (0..).zip(&report.marks) {
        let x = NAMES as f64 + WIDTH as f64 * (mark.at_ms as f64 / total_ms).min(1.0);
        let (y, bottom) = (14 + 13 * (number % 3), height - 20);
        let what = escaped(&mark.what);
        let _ = writeln!(
            page,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{bottom}\"/>\
             <text x=\"{:.1}\" y=\"{y}\">{what}</text>",
            x + 4.0
        );
    }
    let end = total_ms / 1_000.0;
    let _ = writeln!(
        page,
        "<text x=\"{NAMES}\" y=\"{height}\" dy=\"-4\">0 s</text>\
         <text x=\"{all}\" y=\"{height}\" dy=\"-4\" text-anchor=\"end\">{end:.1} s</text></svg>"
    );
}

/// A slot of a node: its answers by share, from the top.
fn column(slot: &Slot, width: f64, page: &mut String) {
    let counts = [slot.with_lost, slot.without, slot.errors, slot.silent];
    let all: u32 = counts.iter().sum();
    let x = NAMES as f64 + width * slot.slot as f64;
    let mut y = (TOP + LINE * slot.node as u64) as f64;
    let whole = (LINE - 4) as f64;
    for (count, (class, _)) in counts.into_iter().zip(COLOURS).filter(|(count, _)| *count > 0) {
        let height = whole * f64::from(count) / f64::from(all);
        let _ = writeln!(
            page,
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" \
             height=\"{height:.2}\"/>"
        );
        y += height;
    }
}

fn nodes(report: &Report, page: &mut String) {
    page.push_str(
        "<h2>Nodes</h2>\n<table><tr><th>node</th><th>moved</th><th>back</th><th>answers</th>\
         <th>with what was taken out</th><th>errors</th><th>missing</th></tr>\n",
    );
    for node in &report.nodes {
        let NodeReport { node: name, answers, with_lost, errors, silent, .. } = node;
        let (name, moved, back) = (escaped(name), time(node.moved_ms), time(node.back_ms));
        let _ = writeln!(
            page,
            "<tr><td>{name}</td><td>{moved}</td><td>{back}</td><td>{answers}</td>\
             <td>{with_lost}</td><td>{errors}</td><td>{silent}</td></tr>"
        );
    }
    page.push_str("</table>\n");
    if report.errors.is_empty() {
        return;
    }
    page.push_str("<h2>Errors</h2>\n<ul>\n");
    for ErrorSeen { at_ms, node, question, what } in &report.errors {
        let told = format!("{}: {node} on {question}: {what}", time(Some(*at_ms)));
        let _ = writeln!(page, "<li>{}</li>", escaped(&told));
    }
    page.push_str("</ul>\n");
}

fn checks(report: &Report, page: &mut String) {
    page.push_str(
        "<h2>Expectations</h2>\n<table><tr><th>what</th><th>expected</th><th>found</th>\
         <th>held</th></tr>\n",
    );
    for Checked { name, expected, found, held } in &report.checks {
        let (class, word) = if *held { ("held", "yes") } else { ("broken", "no") };
        let [name, expected, found] = [name, expected, found].map(|text| escaped(text));
        let _ = writeln!(
            page,
            "<tr><td>{name}</td><td>{expected}</td><td>{found}</td>\
             <td class=\"{class}\">{word}</td></tr>"
        );
    }
    page.push_str("</table>\n");
}
