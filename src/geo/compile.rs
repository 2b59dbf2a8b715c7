//! The ground: what is known of every address, ready to be compiled for any policy.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use foldhash::{HashMap, HashMapExt};

use super::address::{Address, Kind, looked_up};
use super::database::{Database, Databases, Survey, completed, first_of};
use super::lists::Lists;
use super::ranges::Ranges;
use super::table::{PrefixTable, Run};
use crate::model::{Network, NetworkId};
use crate::place::{Continent, Country, Place};
use crate::prefix::Prefix;

/// Label of addresses that are located by the IPv4 address inside them.
const FOLDED: u32 = u32::MAX;

/// What a policy may know of a client's whereabouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Client<'a> {
    /// From the databases.
    pub place: &'a Place,
    /// From the operator's lists.
    pub network: Option<NetworkId>,
}

/// Databases and operator networks, laid over both address spaces.
///
/// It refers to neither, so the databases may be dropped once it is made. Memory: 8 octets for
/// each run of IPv4 addresses of which the same is known, 20 for IPv6, 48 for each distinct client.
#[derive(Debug)]
pub struct Ground {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    /// The distinct clients; the ranges' labels are indexes into them.
    clients: Vec<(Place, Option<NetworkId>)>,
    /// Made when it is first asked for.
    located: OnceLock<Arc<PrefixTable>>,
}

impl Ground {
    /// Lays out the databases and networks.
    pub fn new(databases: &Databases, networks: &[Network]) -> Self {
        let lists = Lists::new(networks);
        let mut places = Distinct::default();
        let v4 = lay(databases.all(), &mut places, |survey| &survey.v4);
        let v6 = lay(databases.all(), &mut places, |survey| &survey.v6);
        let mut clients = Distinct::default();
        let mut known = Pairs::default();
        let mut client = |place: u32, label: u32| {
            known.of(label, place, || {
                let place = completed(places.value(place));
                let network = lists.network(label, &place);
                clients.index((Key::of(&place), network), (place, network))
            })
        };
        let v4 = v4.overlay(&lists.v4, &mut client);
        let v6 = v6.overlay(&lists.v6, &mut client);
        let mut folded = Ranges::whole(0);
        for block in u128::blocks() {
            folded.push(block.first, u32::from(block.kind == Kind::Folded));
        }
        let v6 = v6.overlay(&folded, |label, folded| if folded == 1 { FOLDED } else { label });
        clients.all.shrink_to_fit();
        Self { v4, v6, clients: clients.all, located: OnceLock::new() }
    }

    /// What is known of a client.
    pub fn client(&self, client: IpAddr) -> Client<'_> {
        let label = match looked_up(client) {
            Some(IpAddr::V4(v4)) => self.v4.find(v4.into()),
            Some(IpAddr::V6(v6)) => self.v6.find(v6.into()),
            None => self.v6.find(0),
        };
        self.labelled(label)
    }

    /// All distinct clients.
    pub fn clients(&self) -> impl Iterator<Item = Client<'_>> {
        self.clients.iter().map(|(place, network)| Client { place, network: *network })
    }

    /// The first and last address of every run of addresses of which the same is known; those
    /// located by an IPv4 address inside them are left out.
    pub fn runs(&self) -> impl Iterator<Item = (IpAddr, IpAddr, Client<'_>)> {
        let v4 = self.v4.iter().map(|(first, last, label)| (first.ip(), last.ip(), label));
        let v6 = self.v6.iter().map(|(first, last, label)| (first.ip(), last.ip(), label));
        let native = v4.chain(v6).filter(|(.., label)| *label != FOLDED);
        native.map(|(first, last, label)| (first, last, self.labelled(label)))
    }

    /// Octets of memory in use.
    pub fn bytes(&self) -> usize {
        let clients = self.clients.capacity() * size_of::<(Place, Option<NetworkId>)>();
        self.v4.bytes() + self.v6.bytes() + clients
    }

    /// Compiles the table of one policy. `classify` is called once for each distinct client and
    /// gives its class, a number below [`PrefixTable::CLASSES_MAX`].
    pub fn compile(&self, mut classify: impl FnMut(&Client<'_>) -> u32) -> PrefixTable {
        let classes: Vec<u32> = self.clients().map(|client| classify(&client)).collect();
        debug_assert!(classes.iter().all(|class| *class < PrefixTable::CLASSES_MAX));
        let class = |label: u32| classes.get(label as usize).copied();
        let v4 =
            self.v4.iter().map(|(first, last, label)| Run { first, last, class: class(label) });
        let v6 =
            self.v6.iter().map(|(first, last, label)| Run { first, last, class: class(label) });
        PrefixTable::new(v4, v6)
    }

    /// Compiles the table of a policy that knows more of the clients of some prefixes, which come
    /// in ascending order within a family and do not overlap. `classify` is called first for each
    /// distinct client, and then for each part of those prefixes with its index among them.
    pub fn compile_with(
        &self,
        known: &[Prefix],
        mut classify: impl FnMut(&Client<'_>, Option<usize>) -> u32,
    ) -> PrefixTable {
        let classes: Vec<u32> = self.clients().map(|client| classify(&client, None)).collect();
        let mut class = |label: u32, known: u32| match known.checked_sub(1) {
            _ if label == FOLDED => FOLDED,
            None => classes.get(label as usize).copied().unwrap_or(0),
            Some(known) => classify(&self.labelled(label), Some(known as usize)),
        };
        let v4 = self.v4.overlay(&Ranges::of(known), &mut class);
        let v6 = self.v6.overlay(&Ranges::of(known), &mut class);
        let class = |class: u32| (class != FOLDED).then_some(class);
        let v4 = v4.iter().map(|(first, last, label)| Run { first, last, class: class(label) });
        let v6 = v6.iter().map(|(first, last, label)| Run { first, last, class: class(label) });
        PrefixTable::new(v4, v6)
    }

    /// The table that has the clients whom the databases locate in class 1, the others in class 0.
    pub fn located(&self) -> Arc<PrefixTable> {
        let table = || self.compile(|client| u32::from(client.place.is_located())).into();
        self.located.get_or_init(table).clone()
    }

    /// The client of a label.
    fn labelled(&self, label: u32) -> Client<'_> {
        const UNKNOWN: (Place, Option<NetworkId>) =
            (Place { country: None, continent: None, point: None, asn: None }, None);
        let (place, network) = self.clients.get(label as usize).unwrap_or(&UNKNOWN);
        Client { place, network: *network }
    }
}

/// Lays the places of all databases over each other: each part from the first that has it.
fn lay<A: Address>(
    databases: &[Database],
    places: &mut Distinct<Key, Place>,
    ranges: impl Fn(&Survey) -> &Ranges<A>,
) -> Ranges<A> {
    let unknown = Place::default();
    let mut laid = Ranges::whole(places.index(Key::of(&unknown), unknown));
    for survey in databases.iter().map(Database::survey) {
        let mut known = Pairs::default();
        laid = laid.overlay(ranges(survey), |upper, lower| {
            known.of(upper, lower, || {
                let lower = survey.places.get(lower as usize).copied().unwrap_or_default();
                let place = first_of(places.value(upper), lower);
                places.index(Key::of(&place), place)
            })
        });
    }
    laid
}

/// Remembers a number for pairs of labels.
#[derive(Default)]
struct Pairs {
    /// For pairs whose first is 0, by the second: nearly all, where the first are prefix lists.
    plain: Vec<Option<u32>>,
    rest: HashMap<(u32, u32), u32>,
}

impl Pairs {
    /// The number of a pair, made when it is asked for first.
    fn of(&mut self, first: u32, second: u32, make: impl FnOnce() -> u32) -> u32 {
        if first != 0 {
            return *self.rest.entry((first, second)).or_insert_with(make);
        }
        let at = second as usize;
        if self.plain.len() <= at {
            self.plain.resize(at + 1, None);
        }
        self.plain.get_mut(at).map_or(0, |number| *number.get_or_insert_with(make))
    }
}

/// A place by its bits, so that it can be hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    rest: (Option<Country>, Option<Continent>, Option<u32>),
    point: Option<(u64, u64)>,
}

impl Key {
    fn of(place: &Place) -> Self {
        let Place { country, continent, point, asn } = *place;
        let point = point.map(|point| (point.latitude.to_bits(), point.longitude.to_bits()));
        Self { rest: (country, continent, asn), point }
    }
}

/// Distinct values, numbered in the order in which they are first seen.
struct Distinct<K, V> {
    indexes: HashMap<K, u32>,
    all: Vec<V>,
}

impl<K, V> Default for Distinct<K, V> {
    fn default() -> Self {
        Self { indexes: HashMap::new(), all: Vec::new() }
    }
}

impl<K: Eq + Hash, V: Copy + Default> Distinct<K, V> {
    /// The number of a value.
    fn index(&mut self, key: K, value: V) -> u32 {
        let all = &mut self.all;
        *self.indexes.entry(key).or_insert_with(|| {
            all.push(value);
            all.len() as u32 - 1
        })
    }

    /// The value of a number.
    fn value(&self, index: u32) -> V {
        self.all.get(index as usize).copied().unwrap_or_default()
    }
}
