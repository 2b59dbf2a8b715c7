//! Numbers for metric labels, which stay the same over reloads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Gives names small numbers that never change while the process runs, so that counters survive
/// a reload that renumbers everything else.
///
/// The lock is held for one map look-up and taken by the publisher, by scrapes and by
/// the thread of the query log alone.
#[derive(Debug)]
pub struct Labels {
    limit: u32,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// The name of number 0, which stands for all names that came after the limit.
pub const OTHER: &str = "other";

impl Labels {
    /// Numbers below `limit`, which bounds memory and the labels of a metric alike.
    pub fn new(limit: u32) -> Self {
        let known = Known { names: vec![OTHER.to_owned()], numbers: HashMap::new() };
        Self { limit, known: Mutex::new(known) }
    }

    /// All numbers are below this.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The number of a name, a new one for a new name; 0 when all are taken.
    pub fn number(&self, name: &str) -> u32 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(name) {
            return *number;
        }
        let number = known.names.len() as u32;
        if number >= self.limit {
            return 0;
        }
        known.names.push(name.to_owned());
        known.numbers.insert(name.to_owned(), number);
        number
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.get(number as usize).cloned()
    }

    /// The names in the order of their numbers.
    pub fn names(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).names.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_the_surplus_is_other() {
        let labels = Labels::new(3);
        let numbers: Vec<_> = ["a", "b", "a", "c", "b"].map(|name| labels.number(name)).to_vec();
        assert_eq!(numbers, [1, 2, 1, 0, 2]);
        assert_eq!(labels.names(), ["other", "a", "b"]);
    }
}
