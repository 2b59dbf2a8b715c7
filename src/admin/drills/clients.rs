//! The clients that a drill asks for where its file names none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{addresses, service};
use crate::admin::explain::{Asked, Question};
use crate::admin::flows::{SAMPLE, Sampled, parts};
use crate::name::Name;
use crate::place::{Country, gazetteer};
use crate::prefix::Prefix;
use crate::snapshot::{ServiceAnswers, Snapshot, State};
use crate::steering::Family;

/// Clients that are asked for, of each service.
const CLIENTS_MAX: usize = 12;
/// Sorts of clients that are looked at where no client of the sample is concerned.
const SORTS_MAX: usize = 256;
/// Runs of addresses that are looked at to find those.
const RUNS_MAX: usize = 500_000;
/// Leading bits of a client's address that resolvers tell, by family.
const BITS: (u8, u8) = (24, 56);

/// The weight of clients by country, and one of them.
type Countries = BTreeMap<Country, (f64, &'static Sampled)>;

/// A client for each continent and region that serves people there; of many first those who are
/// answered with what is to be lost.
pub(super) fn clients_of(name: &Name, snapshot: &Snapshot, lost: &BTreeSet<IpAddr>) -> Vec<Prefix> {
    let Some((answers, state)) = service(name, snapshot).zip(snapshot.state.as_deref()) else {
        return Vec::new();
    };
    let concerned = |prefix: &Prefix| {
        let families = [Family::V4, Family::V6].map(Asked::Addresses);
        families.into_iter().any(|asked| {
            let (name, client) = (name.clone(), prefix.address());
            let question = Question { name, asked, client, resolver: Some(client) };
            question.ask(snapshot).is_ok_and(|(message, _)| {
                addresses(&message.answers).iter().any(|address| lost.contains(address))
            })
        })
    };
    let typical = typical(answers, state);
    let (mut chosen, others): (Vec<Prefix>, Vec<Prefix>) = typical.into_iter().partition(concerned);
    if chosen.is_empty() {
        // What is lost may serve few, such as the clients of one operator's network.
        chosen = sorts(answers, state).into_iter().filter(concerned).collect();
    }
    chosen.truncate(CLIENTS_MAX * 2 / 3);
    chosen.extend(others.into_iter().take(CLIENTS_MAX - chosen.len()));
    chosen
}

/// Of the sample of the world's clients one for each continent and region that serves people there
/// now, from the country with most of them; the largest groups first.
fn typical(answers: &ServiceAnswers, state: &State) -> Vec<Prefix> {
    let mut homes: HashMap<u32, Option<usize>> = HashMap::new();
    let mut groups: BTreeMap<(&str, Option<usize>), Countries> = BTreeMap::new();
    // Resolvers of one family ask for addresses of both.
    for one in SAMPLE.iter().filter(|one| one.address.is_ipv4() && one.weight > 0.0) {
        let Some(country) = gazetteer::country(one.country) else { continue };
        let class = answers.locate(one.address).class;
        let home = *homes.entry(class).or_insert_with(|| home(class, answers, state));
        let group = groups.entry((country.continent.code(), home)).or_default();
        group.entry(one.country).or_insert((0.0, one)).0 += one.weight;
    }
    let most = |countries: Countries| {
        let all: f64 = countries.values().map(|(weight, _)| weight).sum();
        let (_, one) = countries.into_values().max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((all, one))
    };
    let mut chosen: Vec<(f64, &Sampled)> = groups.into_values().filter_map(most).collect();
    chosen.sort_by(|a, b| b.0.total_cmp(&a.0));
    chosen.into_iter().map(|(_, one)| Prefix::holding(one.address, BITS.0)).collect()
}

/// The region that most clients of a class are sent to, by its place in the contest; `None`: they
/// get no address.
fn home(class: u32, answers: &ServiceAnswers, state: &State) -> Option<usize> {
    let steering = answers.steering();
    let class = steering.class(class)?;
    let (view, regions) = (state.view(steering), steering.contest.regions().len());
    [Family::V4, Family::V6].into_iter().find_map(|family| {
        let parts = parts(&steering.contest.decide(class, family, &view), regions);
        let most = parts.iter().enumerate().filter(|(_, part)| **part > 0.0);
        most.max_by(|a, b| a.1.total_cmp(b.1)).map(|(region, _)| region)
    })
}

/// A prefix for each sort of clients that a service tells apart.
fn sorts(answers: &ServiceAnswers, state: &State) -> Vec<Prefix> {
    let mut sorts: BTreeMap<u32, Prefix> = BTreeMap::new();
    for (first, last, _) in state.loaded.ground.runs().take(RUNS_MAX) {
        if sorts.len() >= SORTS_MAX.min(answers.steering().classes.len()) {
            break;
        }
        let prefix = Prefix::holding(first, if first.is_ipv4() { BITS.0 } else { BITS.1 });
        // One whose ends lie in the run alone is of one sort.
        if prefix.address() >= first && prefix.last() <= last {
            sorts.entry(answers.locate(first).class).or_insert(prefix);
        }
    }
    sorts.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::health::HealthTable;
    use crate::snapshot::{Publisher, load};
    use crate::written::{NODE, write};

    const FLEET: &str = "version = 1\n[region.eu]\nlocation = \"DE\"\n\
        [region.us]\nlocation = \"US\"\n[region.lab]\nlocation = \"FR\"\n\
        [network.office]\nprefixes = [\"198.51.100.0/24\"]\nregions = [\"lab\"]\n\
        [pool.web]\nendpoints = [\n{ region = \"eu\", address = \"192.0.2.1\" },\n\
        { region = \"us\", address = \"192.0.2.2\" },\n\
        { region = \"lab\", address = \"192.0.2.3\" },\n]\n";

    /// Two services over three regions, one of which serves an office alone.
    fn snapshot() -> std::sync::Arc<Snapshot> {
        let folder = tempfile::tempdir().unwrap();
        let zone = "$TTL 60\n@ IN SOA ns1 root 1 1h 1h 1w 60\n@ NS ns1\nns1 A 192.0.2.9\n";
        let services = "version = 1\n[service.near]\npool = \"web\"\npolicy = [\"proximity\"]\n\
            [service.first]\npool = \"web\"\n\
            policy = [\"network\", { method = \"order\", regions = [\"eu\", \"us\"] }]\n";
        let zone = ("zones/x.test.zone", zone);
        let services = ("zones/x.test.toml", services);
        write(folder.path(), &[NODE, ("config/fleet.toml", FLEET), zone, services]);
        let loaded = load(&folder.path().join("config"), None).unwrap();
        let health = HealthTable::new(&loaded.model.fleet, clock::now());
        let mut publisher = Publisher::new(loaded, health);
        publisher.publish();
        publisher.shared().load_full()
    }

    #[test]
    fn clients_are_from_everywhere_and_those_concerned_are_among_them() {
        let snapshot = snapshot();
        let of = |name: &str, lost: &str| {
            let name = Name::parse(name, &Name::root()).unwrap();
            clients_of(&name, &snapshot, &[lost.parse().unwrap()].into())
        };
        let country = |prefix: &Prefix| {
            let known = SAMPLE.iter().find(|one| prefix.contains(one.address));
            known.map(|one| gazetteer::country(one.country).unwrap().continent.code())
        };
        let near = of("near.x.test.", "192.0.2.1");
        let places: BTreeSet<&str> = near.iter().filter_map(country).collect();
        assert!(
            ["AF", "AS", "EU", "NA", "SA"].iter().all(|code| places.contains(code)),
            "{near:?}"
        );
        assert!(near.len() <= CLIENTS_MAX, "{near:?}");
        assert_eq!(near, of("near.x.test.", "192.0.2.1"), "chance has no part in it");

        // Nobody of the sample sits in the office.
        let first = of("first.x.test.", "192.0.2.3");
        let office: Prefix = "198.51.100.0/24".parse().unwrap();
        assert!(first.contains(&office), "{first:?}");
        assert!(first.iter().filter_map(country).count() >= 5, "{first:?}");
        assert!(!of("first.x.test.", "192.0.2.1").contains(&office));
        assert_eq!(of("none.x.test.", "192.0.2.1"), []);
    }
}
