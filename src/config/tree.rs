//! The parsed but untyped file: walking it, and cutting out what cannot be used.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// One step from a table or list to something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of this key.
    Key(String),
    /// An item of a list, from 0.
    Item(usize),
}

/// Something that was cut out, so that nobody reports it as missing as well.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The way to it from the top.
    pub path: Vec<Step>,
    /// Where the table or list around it starts.
    pub parent: usize,
}

/// A key with its value, or an item of a list, as a walk meets it.
pub(super) struct Entry<'a, 'text> {
    /// The way to it from the top.
    pub path: &'a [Step],
    /// Where the key stands; `None` for items of lists.
    pub key: Option<Range<usize>>,
    /// What it holds.
    pub value: &'a Spanned<DeValue<'text>>,
}

/// Asked of every entry from the outside in: whether it must go.
pub(super) type Doomed<'f> = &'f mut dyn FnMut(&Entry<'_, '_>) -> bool;

/// Cuts every entry that `doomed` names out of the file; what is inside one is not asked for.
pub(super) fn cut(table: &mut Spanned<DeTable<'_>>, doomed: Doomed<'_>, cuts: &mut Vec<Cut>) {
    let start = table.span().start;
    Walk { path: Vec::new(), doomed, cuts }.table(table.get_mut(), start);
}

struct Walk<'w> {
    path: Vec<Step>,
    doomed: Doomed<'w>,
    cuts: &'w mut Vec<Cut>,
}

impl Walk<'_> {
    fn table<'text>(&mut self, table: &mut DeTable<'text>, parent: usize) {
        let entries = std::mem::take(table).into_iter();
        let kept = entries.filter_map(|(key, mut value)| {
            self.path.push(Step::Key(key.get_ref().clone().into_owned()));
            let kept = self.keeps(Some(key.span()), &mut value, parent);
            self.path.pop();
            kept.then_some((key, value))
        });
        *table = kept.collect::<DeTable<'text>>();
    }

    /// Whether the entry stays, after its inside was walked.
    fn keeps<'text>(
        &mut self,
        key: Option<Range<usize>>,
        value: &mut Spanned<DeValue<'text>>,
        parent: usize,
    ) -> bool {
        if (self.doomed)(&Entry { path: &self.path, key, value }) {
            self.cuts.push(Cut { path: self.path.clone(), parent });
            return false;
        }
        let start = value.span().start;
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, start),
            DeValue::Array(array) => {
                let items = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
                let kept = items.filter_map(|(index, mut item)| {
                    self.path.push(Step::Item(index));
                    let kept = self.keeps(None, &mut item, start);
                    self.path.pop();
                    kept.then_some(item)
                });
                *array = kept.collect::<DeArray<'text>>();
            }
            _ => {}
        }
        true
    }
}
