//! `meridian cluster check` as operators run it.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::support::meridian::command;
use crate::support::nats::NatsServer;

/// A configuration with this table.
fn config(cluster: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let node = "version = 1\n[node]\nname = \"a\"\nregion = \"eu\"\n[probe]\n";
    fs::write(folder.path().join("node.toml"), format!("{node}{cluster}")).unwrap();
    let fleet = "version = 1\n[region.eu]\nlocation = \"DE\"\n";
    fs::write(folder.path().join("fleet.toml"), fleet).unwrap();
    folder
}

fn check(config: &TempDir, more: &[&str]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["cluster", "check", "--config"]).arg(config.path()).args(more);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn the_check_says_what_is_wrong_and_makes_what_is_missing() {
    let mut server = NatsServer::open();
    let servers = format!("servers = [\"nats://{}\"]", server.address);
    let config = config(&format!("[cluster]\nengine = \"nats\"\n[cluster.nats]\n{servers}\n"));
    let (code, text) = check(&config, &[]);
    assert_eq!(code, Some(1), "{text}");
    for part in ["server   fine     nats-server 2.", "view     warning  ", "control  wrong    "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("`meridian cluster check --create` makes it"), "{text}");
    assert!(text.contains("so that it can speak for others"), "{text}");
    let (code, text) = check(&config, &["--create"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check(&config, &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, report["fine"].as_bool()), (Some(0), Some(true)), "{text}");
    let graded = report["examined"].as_array().unwrap().iter();
    let found: Vec<_> = graded.map(|found| (&found["what"], &found["grade"])).collect();
    assert!(found.contains(&(&"control".into(), &"fine".into())), "{text}");
    server.process.kill();
    let (code, text) = check(&config, &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("cannot reach the bus"), "{text}");
}

#[test]
fn the_check_needs_a_valid_configuration_and_no_bus_for_a_node_alone() {
    let (code, text) = check(&config(""), &[]);
    assert_eq!((code, text.as_str()), (Some(0), "the engine is embedded: this node is alone\n"));
    let (code, text) = check(&config("[cluster]\nengine = \"nats\"\n"), &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("`[cluster.nats]` is missing"), "{text}");
}
