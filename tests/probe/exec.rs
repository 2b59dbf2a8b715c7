//! The `exec` check, with real commands.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use meridian::model::{Address, Check, ExecCheck};

use crate::{Lab, words};

/// A script, read by a shell that is named.
fn script(text: &str) -> Check {
    command(&["/bin/sh", "-c", text])
}

fn command(words: &[&str]) -> Check {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    Check::Exec(ExecCheck { command, port: None, expect_status: vec![0..=0, 3..=4] })
}

async fn found(lab: &Lab, check: Check) -> String {
    lab.found(check, SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), 8080)).await
}

#[tokio::test]
async fn the_exit_status_decides_and_the_first_line_says_why() {
    let lab = Lab::plain();
    let many = "i=0; while [ $i -lt 30000 ]; do echo 0123456789; i=$((i+1)); done; exit 1";
    for (case, check, expected) in [
        ("success", script("exit 0"), "ok"),
        ("another success", script("exit 4"), "ok"),
        ("failure", script("exit 2"), "status: exit status 2, expected 0, 3-4"),
        (
            "with words",
            script("echo; echo disk is full; echo more; exit 1"),
            "status: exit status 1, expected 0, 3-4: disk is full",
        ),
        (
            "with complaints",
            script("echo no such disk >&2; exit 1"),
            "status: exit status 1, expected 0, 3-4: no such disk",
        ),
        (
            "more output than is kept",
            script(many),
            "status: exit status 1, expected 0, 3-4: 0123456789",
        ),
        ("a signal", script("kill -9 $$"), "status: ended by signal 9, expected 0, 3-4"),
        (
            "no such program",
            command(&["/no/such"]),
            "missed: cannot run `/no/such`: entity not found",
        ),
        ("no program", command(&["/"]), "missed: cannot run `/`: permission denied"),
        ("arguments as they are", command(&["test", "$HOME", "=", "$HOME"]), "ok"),
        ("standard input is empty", script("read line; test $? = 1"), "ok"),
        ("children that stay behind", script("sleep 60 & exit 0"), "ok"),
        ("children elsewhere that hold the output", script("setsid sleep 2 & exit 0"), "ok"),
    ] {
        assert_eq!(found(&lab, check).await, expected, "{case}");
    }
}

#[tokio::test]
async fn the_environment_is_clean_and_says_what_to_look_at() {
    let print = "env | grep -vE '^(PATH|PWD|SHLVL|_|OLDPWD)=' | sort | tr '\\n' ' '";
    let mut lab = Lab::plain();
    assert_eq!(
        found(&lab, script(&format!("{print}; exit 1"))).await,
        "status: exit status 1, expected 0, 3-4: MERIDIAN_ADDRESS=127.0.0.1 \
         MERIDIAN_ENDPOINT=192.0.2.1 MERID…"
    );
    let wanted = "test \"$MERIDIAN_PORT $MERIDIAN_POOL $MERIDIAN_REGION $MERIDIAN_MONITOR \
                  $MERIDIAN_TIMEOUT_MS\" = '8080 web north ready 3000'";
    assert_eq!(found(&lab, script(wanted)).await, "ok");
    assert_eq!(found(&lab, script("test -n \"$PATH\" && test -z \"$HOME\"")).await, "ok");
    lab.rules.deny = vec!["127.0.0.0/8".parse().unwrap()];
    let denied = "denied: address `127.0.0.1` is denied by `127.0.0.0/8`";
    assert_eq!(found(&lab, script("exit 0")).await, denied);
}

#[tokio::test]
async fn a_late_command_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pids");
    let text = format!(
        "echo $$ >{0}; sh -c 'echo $$ >>{0}; sleep 60' & sleep 60 & echo $! >>{0}; wait",
        path.display()
    );
    let lab = Lab { timeout: Duration::from_millis(500), ..Lab::plain() };
    assert_eq!(found(&lab, script(&text)).await, "timeout: timed out after 500ms");
    let pids = fs::read_to_string(&path).unwrap();
    assert_eq!(pids.lines().count(), 3, "{pids}");
    let gone = crate::support::poll(Duration::from_secs(10), Duration::from_millis(10), || {
        pids.lines().all(is_gone).then_some(())
    });
    assert!(gone.is_some(), "{pids}");
}

/// Whether no such process runs; one that nobody has waited for has ended, too.
fn is_gone(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z') || rest.starts_with('X'))
}

#[tokio::test]
async fn a_hostname_is_passed_on_as_the_address_that_may_be_probed() {
    let mut lab = Lab::plain();
    lab.rules.deny = vec!["10.0.0.0/8".parse().unwrap()];
    lab.resolves("lb.example.", &["10.0.0.1".parse().unwrap(), "192.0.2.9".parse().unwrap()]);
    let check = script("test \"$MERIDIAN_ADDRESS\" = 192.0.2.9");
    let outcome = lab.probe(check, Address::Host(crate::host("lb.example.")), 80).await;
    assert_eq!(words(&outcome), "ok");
}
