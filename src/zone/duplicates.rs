//! Equal records: a zone holds each once (RFC 2181 section 5).

use std::ops::Range;

use super::files::Files;
use super::findings::{Finding, Findings};
use super::rdata::{TypeName, canonical};
use super::records::{Record, Records};
use crate::diagnostic::Severity;
use crate::name;

/// Drops every record of the sorted `records` that says the same as another of equal TTL, the one
/// on the later line; gives a warning for each. Those of unequal TTL are left to the check of
/// TTLs, which cannot know the right one either.
pub(super) fn remove(records: &mut Records, files: &Files) -> Findings {
    let mut findings = Findings::default();
    let mut surplus: Vec<usize> = Vec::new();
    let mut start = 0;
    while let Some(first) = records.get(start) {
        let same = |record: &Record<'_>| (record.owner, record.rtype) == (first.owner, first.rtype);
        let more = records.iter_from(start + 1).take_while(same).count();
        if more > 0 {
            set(records, start..start + 1 + more, files, &mut surplus, &mut findings);
        }
        start += 1 + more;
    }
    surplus.sort_unstable();
    records.remove(&surplus);
    findings
}

/// Finds the duplicates in one RRset.
fn set(
    records: &Records,
    range: Range<usize>,
    files: &Files,
    surplus: &mut Vec<usize>,
    findings: &mut Findings,
) {
    let indexed = range.clone().zip(records.iter_from(range.start));
    let mut all: Vec<(Vec<u8>, u32, usize, Record<'_>)> = indexed
        .map(|(index, record)| (canonical(record.rtype, record.rdata), record.ttl, index, record))
        .collect();
    all.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
    for equal in all.chunk_by(|a, b| (&a.0, a.1) == (&b.0, b.1)) {
        let Some(((_, _, _, kept), others)) = equal.split_first() else { continue };
        for (_, _, index, record) in others {
            surplus.push(*index);
            findings.push(record.file, Severity::Warning, || Finding {
                severity: Severity::Warning,
                file: record.file,
                line: record.line,
                what: format!(
                    "the `{}` record of `{}` is there already, on {}",
                    TypeName(record.rtype),
                    name::decode(record.owner),
                    files.line(kept, record)
                ),
                hint: Some("it is used once".to_owned()),
            });
        }
    }
}
