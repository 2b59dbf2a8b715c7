//! Whether the geo databases locate the clients of a service, for their match rate.

use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::{Ground, PrefixTable};

/// What is known of the clients of each class.
///
/// Classes are made of clients who are answered alike. To split them by this as well would narrow
/// the scopes of their answers, so a class may hold clients of both kinds.
#[derive(Debug, Default)]
pub(super) struct Matches {
    classes: Vec<Clients>,
    /// Tells the clients of mixed classes apart; `None`: there are no mixed classes.
    table: Option<Arc<PrefixTable>>,
}

/// Whether the clients of a class are located.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    /// All are.
    Located,
    /// None is.
    Unlocated,
    /// Some are.
    Mixed,
}

impl Matches {
    /// Notes a client of a class. Classes are first noted in the order of their numbers.
    pub(super) fn note(&mut self, class: u32, located: bool) {
        let clients = if located { Clients::Located } else { Clients::Unlocated };
        match self.classes.get_mut(class as usize) {
            Some(known) if *known != clients => *known = Clients::Mixed,
            Some(_) => {}
            None => self.classes.push(clients),
        }
    }

    /// Ends the notes: what is needed to tell the clients of mixed classes apart is made now.
    pub(super) fn tell_apart(&mut self, ground: &Ground) {
        self.table = self.classes.contains(&Clients::Mixed).then(|| ground.located());
    }

    /// Whether a client of this class is located.
    #[inline]
    pub(super) fn is_located(&self, class: u32, client: IpAddr) -> bool {
        match self.classes.get(class as usize) {
            Some(Clients::Located) => true,
            Some(Clients::Unlocated) | None => false,
            Some(Clients::Mixed) => {
                self.table.as_ref().is_some_and(|table| table.lookup(client).0 == 1)
            }
        }
    }
}
