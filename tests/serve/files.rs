//! Files that change under a running node, in all the ways that editors and deployments know.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::meridian::Meridian;
use crate::support::site::{Site, zone};
use crate::support::wait_for;
use crate::support::wire::Ask;
use crate::{A, POOL, SERVICES, site};

/// The zone with a number that answers show.
fn numbered(number: u8) -> String {
    zone("serve.test.", u32::from(number), &format!("turn IN A 192.0.2.{number}"))
}

/// Waits until answers show this number.
fn wait_for_number(meridian: &Meridian, number: u8, how: &str) {
    let expected: IpAddr = [192, 0, 2, number].into();
    wait_for(how, || {
        let reply = meridian.client().ask(&Ask::new("turn.serve.test", A));
        (reply.addresses() == [expected]).then_some(())
    });
}

fn reloads(meridian: &Meridian, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    meridian.metric("meridian_reloads_total", &[&label])
}

#[test]
fn changes_are_noticed_however_they_are_made() {
    let site = site(POOL);
    site.write("zones/serve.test.zone", &numbered(1));
    let meridian = site.serve();
    let path = site.path("zones/serve.test.zone");
    wait_for_number(&meridian, 1, "the start");

    fs::write(&path, numbered(2)).unwrap();
    wait_for_number(&meridian, 2, "a file written in its place");

    // As editors do: a backup, a draft, a rename.
    fs::rename(&path, site.path("zones/serve.test.zone~")).unwrap();
    fs::write(site.path("zones/.serve.test.zone.swp"), "draft").unwrap();
    fs::write(site.path("zones/4913"), numbered(3)).unwrap();
    fs::rename(site.path("zones/4913"), &path).unwrap();
    wait_for_number(&meridian, 3, "an editor's rename");

    let before = reloads(&meridian, "ok");
    for number in 4..=103 {
        fs::write(&path, numbered(number)).unwrap();
    }
    wait_for_number(&meridian, 103, "the last of a burst");
    let burst = reloads(&meridian, "ok") - before;
    assert!(burst <= 20.0, "{burst} reloads for a burst of a hundred writes");

    fs::remove_file(&path).unwrap();
    wait_for("a refusal", || (reloads(&meridian, "refused") > 0.0).then_some(()));
    wait_for_number(&meridian, 103, "the last good data");
    fs::write(&path, numbered(104)).unwrap();
    wait_for_number(&meridian, 104, "a file that is back");

    // What is wrong is mended in a file that no reload has read yet.
    let network = format!(
        "{POOL}[network.office]\nfile = \"lists/office.txt\"\n\
        regions = [\"us\"]\n"
    );
    let before = reloads(&meridian, "refused");
    fs::create_dir(site.path("config/lists")).unwrap();
    site.write("config/fleet.toml", &format!("{}{network}", crate::REGIONS));
    wait_for("a refusal", || (reloads(&meridian, "refused") > before).then_some(()));
    let before = reloads(&meridian, "ok");
    fs::write(site.path("config/lists/office.txt"), "203.0.113.0/24\n").unwrap();
    wait_for("the mended list", || (reloads(&meridian, "ok") > before).then_some(()));
}

/// A folder with the configuration and the zone at this number.
fn release(site: &Site, folder: &str, number: u8) {
    let write = |path: &str, text: &str| site.write(&format!("{folder}/{path}"), text);
    write("config/node.toml", &site.node("eu").replace("../state", "../../state"));
    write("config/fleet.toml", &format!("{}{POOL}", crate::REGIONS));
    write("zones/serve.test.zone", &numbered(number));
    write("zones/serve.test.toml", SERVICES);
}

/// Lets a link lead elsewhere in one step.
fn swap(link: &Path, target: &str) {
    let draft = link.with_extension("draft");
    symlink(target, &draft).unwrap();
    fs::rename(&draft, link).unwrap();
}

#[test]
fn links_that_lead_elsewhere_are_followed() {
    let site = Site::new("eu");
    for number in [1, 2] {
        release(&site, &format!("release-{number}"), number);
    }
    let current = site.path("current");
    symlink("release-1", &current).unwrap();
    let config = current.join("config");
    let mut meridian = Meridian::start(&config, &site.path(""), site.dns, site.admin);
    meridian.wait_ready();
    wait_for_number(&meridian, 1, "the start");
    swap(&current, "release-2");
    wait_for_number(&meridian, 2, "a link to the whole configuration");
    site.write("release-2/zones/serve.test.zone", &numbered(3));
    wait_for_number(&meridian, 3, "a change behind the new link");
    assert_eq!(reloads(&meridian, "ok"), 2.0, "one reload each");

    // A folder that is replaced, and then a change in the new one.
    release(&site, "release-4", 4);
    fs::rename(site.path("release-2/zones"), site.path("old")).unwrap();
    fs::rename(site.path("release-4/zones"), site.path("release-2/zones")).unwrap();
    wait_for_number(&meridian, 4, "another folder");
    site.write("release-2/zones/serve.test.zone", &numbered(5));
    wait_for_number(&meridian, 5, "a change in it");
}

#[test]
fn mounted_configuration_maps_are_followed() {
    let site = site(POOL);
    let zones = site.path("zones");
    // NAME -> ..data/NAME, ..data -> ..NUMBER: the way Kubernetes mounts them.
    let version = |number: u8| {
        let folder = format!("zones/..{number}");
        site.write(&format!("{folder}/serve.test.zone"), &numbered(number));
        site.write(&format!("{folder}/serve.test.toml"), SERVICES);
    };
    version(1);
    symlink("..1", zones.join("..data")).unwrap();
    for name in ["serve.test.zone", "serve.test.toml"] {
        fs::remove_file(zones.join(name)).unwrap();
        symlink(format!("..data/{name}"), zones.join(name)).unwrap();
    }
    let meridian = site.serve();
    wait_for_number(&meridian, 1, "the start");
    for number in 2..5 {
        version(number);
        symlink(format!("..{number}"), zones.join("..data_tmp")).unwrap();
        fs::rename(zones.join("..data_tmp"), zones.join("..data")).unwrap();
        fs::remove_dir_all(zones.join(format!("..{}", number - 1))).unwrap();
        wait_for_number(&meridian, number, "the next version");
    }
    assert_eq!(reloads(&meridian, "refused") + reloads(&meridian, "partial"), 0.0);
}
