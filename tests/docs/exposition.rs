//! Prometheus text form 0.0.4: a reader, and the rules that a page of metrics must keep.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// The metrics of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The families of a page by name, or every rule that is broken.
pub(crate) fn read(page: &str) -> Result<BTreeMap<String, Family>, Vec<String>> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut current = String::new();
    let mut finished = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in page.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        if let Some((word @ ("HELP" | "TYPE"), rest)) = comment {
            let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
            if name != current {
                finished.insert(std::mem::replace(&mut current, name.to_owned()));
            }
            let family = families.entry(name.to_owned()).or_default();
            let slot = if word == "HELP" { &mut family.help } else { &mut family.kind };
            if !slot.is_empty() || finished.contains(name) || !family.samples.is_empty() {
                wrong.push(format!("{name}: {word} is there twice or comes late"));
            }
            text.clone_into(slot);
        } else if line.starts_with('#') || line.is_empty() {
            wrong.push(format!("`{line}` says nothing"));
        } else {
            match sample(line) {
                Err(why) => wrong.push(format!("`{line}`: {why}")),
                Ok(sample) => {
                    if !series.insert((sample.name.clone(), format!("{:?}", sample.labels))) {
                        wrong.push(format!("`{line}`: the series is there twice"));
                    }
                    match families.get_mut(&current) {
                        Some(family) if belongs(&sample.name, &current, &family.kind) => {
                            family.samples.push(sample);
                        }
                        _ => wrong.push(format!("`{line}` is of no family that is open")),
                    }
                }
            }
        }
    }
    if !page.ends_with('\n') {
        wrong.push("the last line does not end".to_owned());
    }
    wrong.extend(families.iter().flat_map(|(name, family)| lint(name, family)));
    if wrong.is_empty() { Ok(families) } else { Err(wrong) }
}

/// Whether a sample of this name can be of the family.
fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    let suffixes: &[&str] =
        if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    sample.strip_prefix(family).is_some_and(|suffix| suffixes.contains(&suffix))
}

/// Reads `NAME{LABEL="VALUE",…} NUMBER`.
fn sample(line: &str) -> Result<Sample, String> {
    let metric = Regex::new(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$").unwrap();
    let label = Regex::new(r#"^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)"#).unwrap();
    let found = metric.captures(line).ok_or("not of the form of a sample")?;
    let value = found[3].parse::<f64>().map_err(|_| "its value is no number")?;
    let mut labels = BTreeMap::new();
    let mut rest = found.get(2).map_or("", |labels| labels.as_str());
    while !rest.is_empty() {
        let found = label.captures(rest).ok_or_else(|| format!("labels are wrong at `{rest}`"))?;
        if found[1].starts_with("__") {
            return Err(format!("label `{}` is reserved", &found[1]));
        }
        if labels.insert(found[1].to_owned(), found[2].to_owned()).is_some() {
            return Err(format!("label `{}` is there twice", &found[1]));
        }
        rest = &rest[found[0].len()..];
    }
    Ok(Sample { name: found[1].to_owned(), labels, value })
}

/// What is wrong with a family, by the conventions that `promtool check metrics` holds.
fn lint(name: &str, family: &Family) -> Vec<String> {
    let Family { help, kind, samples } = family;
    let mut wrong = Vec::new();
    let mut rule = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{name}: {what}"));
        }
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    rule(name.starts_with("meridian_") && name.chars().all(plain), "not a name of ours");
    rule(help.ends_with('.') && help.len() > 5, "no help in a sentence");
    rule(["counter", "gauge", "histogram"].contains(&kind.as_str()), "no known type");
    rule(!samples.is_empty(), "no samples");
    rule(name.ends_with("_total") == (kind == "counter"), "`_total` ends counters, and they alone");
    for suffix in ["_count", "_sum", "_bucket", "_info"] {
        rule(!name.ends_with(suffix), "a suffix that means something else");
    }
    for part in name.split('_') {
        let unit = ["ms", "milliseconds", "minutes", "hours", "days", "kilobytes", "percent"];
        rule(!unit.contains(&part), "not in base units");
        rule(!["counter", "gauge", "histogram"].contains(&part), "the type is in the name");
    }
    let sound = |sample: &Sample| sample.value.is_finite() && sample.value >= 0.0;
    rule(samples.iter().all(sound), "a value that cannot be");
    let names: BTreeSet<Vec<&String>> = samples
        .iter()
        .map(|sample| sample.labels.keys().filter(|l| *l != "le").collect())
        .collect();
    rule(names.len() <= 1, "samples with different labels");
    let le = samples.iter().any(|sample| sample.labels.contains_key("le"));
    rule(le == (kind == "histogram"), "the label `le` is for the buckets of histograms");
    if kind == "histogram" {
        rule(buckets_add_up(name, samples), "buckets that do not add up to the count");
    }
    wrong
}

/// Whether each histogram's buckets grow up to `+Inf`, which is the count, and it has a sum.
fn buckets_add_up(name: &str, samples: &[Sample]) -> bool {
    let mut groups: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let labels = sample.labels.iter().filter(|(label, _)| *label != "le");
        groups.entry(format!("{:?}", labels.collect::<Vec<_>>())).or_default().push(sample);
    }
    groups.values().all(|group| {
        let of = |suffix: &str| {
            let name = format!("{name}{suffix}");
            group.iter().filter(|s| s.name == name).copied().collect::<Vec<&Sample>>()
        };
        let buckets = of("_bucket");
        let bound = |sample: &Sample| sample.labels["le"].parse::<f64>().unwrap_or(f64::NAN);
        let grows = buckets
            .windows(2)
            .all(|pair| bound(pair[0]) < bound(pair[1]) && pair[0].value <= pair[1].value);
        let (count, last) = (of("_count"), buckets.last().copied());
        let whole = last.is_some_and(|last| {
            last.labels["le"] == "+Inf"
                && count.len() == 1
                && count[0].value as u64 == last.value as u64
        });
        grows && whole && of("_sum").len() == 1
    })
}

#[test]
fn every_rule_of_the_text_form_can_fail() {
    let good = "# HELP meridian_a_total Some help.\n# TYPE meridian_a_total counter\n\
                meridian_a_total{x=\"1\"} 2\nmeridian_a_total{x=\"a\\\"b\\\\\"} 3\n\
                # HELP meridian_b_seconds Some help.\n# TYPE meridian_b_seconds histogram\n\
                meridian_b_seconds_bucket{le=\"1\"} 1\nmeridian_b_seconds_bucket{le=\"+Inf\"} 2\n\
                meridian_b_seconds_sum 3\nmeridian_b_seconds_count 2\n";
    let families = read(good).unwrap();
    assert_eq!(families["meridian_a_total"].samples[1].labels["x"], "a\\\"b\\\\");
    for (what, from, to) in [
        ("help twice", "# TYPE meridian_a", "# HELP meridian_a_total B.\n# TYPE meridian_a"),
        ("no help", "# HELP meridian_a_total Some help.\n", ""),
        ("no type", "# TYPE meridian_a_total counter\n", ""),
        (
            "a family in two parts",
            "meridian_b_seconds_sum",
            "meridian_a_total 1\nmeridian_b_seconds_sum",
        ),
        ("a series twice", "{x=\"a\\\"b\\\\\"} 3", "{x=\"1\"} 3"),
        ("a counter by another name", "_a_total", "_a"),
        ("a gauge by the name of a counter", "total counter", "total gauge"),
        ("a label twice", "{x=\"1\"}", "{x=\"1\",x=\"2\"}"),
        ("a reserved label", "{x=\"1\"}", "{__x=\"1\"}"),
        ("different labels", "{x=\"1\"}", "{y=\"1\"}"),
        ("an open label", "{x=\"1\"}", "{x=\"1}"),
        ("no number", "} 2\n", "} two\n"),
        ("a negative counter", "{x=\"1\"} 2", "{x=\"1\"} -2"),
        ("another unit", "b_seconds", "b_ms"),
        ("buckets that shrink", "{le=\"1\"} 1", "{le=\"1\"} 9"),
        ("no last bucket", "+Inf", "7"),
        ("no sum", "meridian_b_seconds_sum 3\n", ""),
        ("another count", "_count 2", "_count 3"),
        ("an empty line", "meridian_b_seconds_sum", "\nmeridian_b_seconds_sum"),
        ("a line without end", "_count 2\n", "_count 2"),
    ] {
        let page = good.replace(from, to);
        assert_ne!(page, good, "{what}");
        assert!(read(&page).is_err(), "{what}:\n{page}");
    }
}
