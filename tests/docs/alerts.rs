//! Alert rules and the dashboard in deploy/ name metrics that exist, and the rules hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::markdown::{Document, codes, top};

const RULES: &str = "deploy/prometheus/meridian.rules.yml";

/// The documented metrics, and with them the samples that they have; another test holds the
/// documents to the code.
fn samples() -> BTreeMap<String, BTreeSet<String>> {
    let rows = Document::read("docs/metrics.md").rows();
    let mut samples = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.table == "metric") {
        let name = codes(&row.cells[0])[0].to_owned();
        let mut labels: BTreeSet<String> =
            codes(&row.cells[2]).into_iter().map(str::to_owned).collect();
        if row.cells[1] == "histogram" {
            for part in ["_count", "_sum"] {
                samples.insert(format!("{name}{part}"), labels.clone());
            }
            labels.insert("le".to_owned());
            samples.insert(format!("{name}_bucket"), labels);
        } else {
            samples.insert(name, labels);
        }
    }
    samples
}

/// Checks the metrics in an expression, and the labels that it asks for.
fn check(expression: &str, samples: &BTreeMap<String, BTreeSet<String>>) -> usize {
    let metric = Regex::new(r"\b(meridian_[a-z_]+)(\{[^}]*\})?").unwrap();
    let asked = Regex::new(r"([a-z_]+)\s*[!=]~?").unwrap();
    let grouped = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let mut known: BTreeSet<&str> = ["instance", "job", "digest"].into();
    let mut found = 0;
    for metric in metric.captures_iter(expression) {
        let labels = samples.get(&metric[1]);
        let labels = labels.unwrap_or_else(|| panic!("no metric `{}`: {expression}", &metric[1]));
        for label in metric.get(2).iter().flat_map(|set| asked.captures_iter(set.as_str())) {
            assert!(labels.contains(&label[1]), "no label `{}`: {expression}", &label[1]);
        }
        known.extend(labels.iter().map(String::as_str));
        found += 1;
    }
    for group in grouped.captures_iter(expression) {
        for label in group[1].split(',').map(str::trim) {
            assert!(known.contains(label), "no label `{label}`: {expression}");
        }
    }
    found
}

#[test]
fn alerts_and_the_dashboard_name_metrics_that_exist() {
    let samples = samples();
    let rules = fs::read_to_string(top().join(RULES)).unwrap();
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut alerts = 0;
    for expression in expressions {
        let of_scrapes = expression.starts_with("up{");
        assert!(check(expression, &samples) > 0 || of_scrapes, "{expression}");
        alerts += 1;
    }
    assert!(alerts > 15, "{alerts}");
    let text = fs::read_to_string(top().join("deploy/grafana/meridian.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(check(expression, &samples) > 0, "{expression}");
        }
    }
    assert!(panels.len() > 15, "{}", panels.len());
}

#[test]
fn promtool_finds_no_fault_in_the_rules_and_their_cases_hold() {
    for arguments in
        [["check", "rules", RULES], ["test", "rules", "deploy/prometheus/meridian.test.yml"]]
    {
        let output = Command::new("promtool").args(arguments).current_dir(top()).output();
        let output = output.expect("promtool, which scripts/test installs");
        let told = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}{wrong}");
    }
}
