//! The shelves of all routes, for all threads of this node together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Shelf;
use crate::metrics::ProxyMetrics;

/// Shelves by the names of their routes, over reloads.
#[derive(Debug, Default)]
pub struct Shelves {
    /// Locked when a thread follows a new snapshot or somebody purges, never for a request.
    all: Mutex<HashMap<String, Arc<Shelf>>>,
}

impl Shelves {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Shelf>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shelf of a route. One of another size begins empty.
    pub(in crate::proxy) fn of(
        &self,
        route: &str,
        size: u64,
        metrics: &ProxyMetrics,
    ) -> Arc<Shelf> {
        let mut all = self.all();
        if let Some(shelf) = all.get(route).filter(|shelf| shelf.size == size) {
            return shelf.clone();
        }
        let shelf = Arc::new(Shelf::new(size));
        all.insert(route.to_owned(), shelf.clone());
        show(route, &shelf, metrics);
        shelf
    }

    /// Forgets the keys that `doomed` holds for, of one route or of all; how many there were.
    /// `None`: there is no such route with a cache.
    pub fn purge(&self, route: Option<&str>, doomed: impl Fn(&str) -> bool) -> Option<usize> {
        let shelves: Vec<Arc<Shelf>> = {
            let all = self.all();
            match route {
                Some(route) => vec![all.get(route)?.clone()],
                None => all.values().cloned().collect(),
            }
        };
        // Going through a large shelf takes a while, in which threads must not wait.
        Some(shelves.iter().map(|shelf| shelf.purge(&doomed)).sum())
    }

    /// Forgets the shelves that no thread holds, and says how large the others are.
    pub(in crate::proxy) fn sweep(&self, metrics: &ProxyMetrics) {
        self.all().retain(|route, shelf| {
            let held = Arc::strong_count(shelf) > 1;
            if held {
                show(route, shelf, metrics);
            } else {
                // The error is that it is gone already.
                let _ = metrics.cache.entries.remove_label_values(&[route]);
                let _ = metrics.cache.octets.remove_label_values(&[route]);
            }
            held
        });
    }
}

fn show(route: &str, shelf: &Shelf, metrics: &ProxyMetrics) {
    let (keys, octets) = shelf.extent();
    metrics.cache.entries.with_label_values(&[route]).set(keys.cast_signed());
    metrics.cache.octets.with_label_values(&[route]).set(octets.cast_signed());
}
