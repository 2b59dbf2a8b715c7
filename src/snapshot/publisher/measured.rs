//! Contests compiled anew by what was measured, while everything else stays.

use std::sync::Arc;

use super::Publisher;
use crate::snapshot::{Loaded, Replacement};

impl Publisher {
    /// Takes over contests with newer classes.
    pub(super) fn take_measured(&mut self, replacements: Vec<Replacement>) {
        let mut loaded = Loaded::clone(&self.loaded);
        for at in loaded.plan.replace(replacements) {
            self.dirty.get_mut(at).into_iter().for_each(|dirty| *dirty = true);
            self.behind = true;
        }
        self.loaded = Arc::new(loaded);
    }
}
