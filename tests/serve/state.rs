//! What survives a restart, and what happens when it cannot be kept.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, free_address, poll, wait_for};
use crate::{POOL, answer, german, site};

#[test]
fn a_killed_node_starts_again_from_the_health_last_known() {
    let site = site("");
    let near = free_address(site.address(9).into());
    let port = near.port();
    // Nobody listens at the near endpoint; the far one is probed at the admin listener.
    let fleet = format!(
        "{}[monitor.open]\nkind = \"tcp\"\nport = {port}\ninterval = \"8s\"\ntimeout = \"500ms\"\n\
         rise = 2\n[pool.web]\nmonitors = [\"open\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"{}\" }},\n\
         {{ region = \"us\", address = \"192.0.2.2\", probe = \"{}\" }},\n]\n",
        crate::REGIONS,
        near.ip(),
        site.admin,
    );
    site.write("config/fleet.toml", &fleet);
    let far: IpAddr = "192.0.2.2".parse().unwrap();
    let mut meridian = site.serve();
    assert_eq!(answer(&meridian), far);
    // The state folder is written soon after a change, not at the end only.
    let saved = site.path("state/health.json");
    wait_for("the saved health", || {
        fs::read_to_string(&saved).ok().filter(|text| text.contains("\"down\""))
    });
    let killed = Instant::now();
    meridian.process.kill();

    // It is back now, and one probe alone would bring it up from unknown.
    let _listener = TcpListener::bind(near).unwrap();
    let started = Instant::now();
    let meridian = site.start();
    let mut client = meridian.client();
    client.set_timeout(Duration::from_millis(50));
    let first = poll(PATIENCE, Duration::from_millis(5), || client.try_ask(&german()).ok());
    let first = first.expect("an answer after the restart");
    println!("first answer {:?} after the restart", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    assert_eq!(first.addresses(), [far], "down until `rise` probes say otherwise");
    let endpoint = format!("endpoint=\"{}\"", near.ip());
    let age = meridian.metric("meridian_endpoint_state_seconds", &[&endpoint]);
    assert!(age >= killed.elapsed().as_secs_f64() - 1.0, "down for {age} s");
    wait_for("the second success", || (answer(&meridian) == near.ip()).then_some(()));
}

#[test]
fn a_state_that_cannot_be_used_is_told_and_left_behind() {
    for (case, content, told) in [
        ("cut off", "{\"version\":1,\"saved_at\":1,\"verd", "is damaged"),
        ("of another program", "[1, 2]", "is damaged"),
        ("of another version", "{\"version\":9,\"saved_at\":1,\"verdicts\":[]}", "`9`"),
        ("old", "{\"version\":1,\"saved_at\":1,\"verdicts\":[]}", "minutes old"),
    ] {
        let site = site(POOL);
        site.write("state/health.json", content);
        let meridian = site.serve();
        answer(&meridian);
        let log = meridian.process.log();
        assert!(log.contains("probes judge anew") && log.contains(told), "{case}: {log}");
        let saved = site.path("state/health.json");
        wait_for("a new state", || {
            fs::read_to_string(&saved).ok().filter(|now| now != content).map(drop)
        });
    }
}

#[test]
fn a_full_disk_is_one_warning_and_a_count_until_there_is_room() {
    let site = site(POOL);
    fs::create_dir(site.path("state")).unwrap();
    // Writes to it fail for want of room; the failed draft is removed, which makes room.
    symlink("/dev/full", site.path("state/health.json.new")).unwrap();
    let meridian = site.serve();
    wait_for("room again", || {
        answer(&meridian);
        meridian.process.log().contains("can be written again").then_some(())
    });
    let log = meridian.process.log();
    assert_eq!(log.matches("cannot save health").count(), 1, "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert_eq!(meridian.metric("meridian_state_write_failures_total", &[]), 1.0);
    assert!(site.path("state/health.json").is_file());
}

#[test]
fn an_unwritable_state_folder_stops_nothing() {
    let site = site(POOL);
    // A file in its place cannot be written into by anyone, root included.
    site.write("state", "not a folder");
    let mut meridian = site.serve();
    let failures = || meridian.metric("meridian_state_write_failures_total", &[]);
    wait_for("a second failure", || {
        answer(&meridian);
        (failures() >= 2.0).then_some(())
    });
    meridian.process.signal("TERM");
    let status = meridian.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0));
    let log = meridian.process.log();
    assert_eq!(log.matches("cannot save health in the state folder").count(), 1, "{log}");
    assert!(log.contains("/state/health.json"), "it names the file\n{log}");
}
