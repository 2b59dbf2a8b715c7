//! Reads what the tests need of a document: headings, tables, code blocks, links.

use std::fs;
use std::path::{Path, PathBuf};

/// One document.
pub(crate) struct Document {
    /// Its path from the top of the project.
    pub(crate) path: String,
    text: String,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The heading it is under.
    pub(crate) heading: String,
    /// The first cell of the table's head.
    pub(crate) table: String,
    /// The cells.
    pub(crate) cells: Vec<String>,
}

/// A block of code.
pub(crate) struct Block {
    /// The language it is marked with.
    pub(crate) language: String,
    /// The text between the block before and this one.
    pub(crate) before: String,
    /// What is in it.
    pub(crate) code: String,
}

/// The top of the project.
pub(crate) fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Document {
    /// Reads a document of the project.
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        Self { path: path.to_owned(), text }
    }

    /// Every line outside blocks of code, with its heading.
    fn prose(&self) -> Vec<(&str, &str)> {
        let (mut heading, mut inside) = ("", false);
        let mut lines = Vec::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                if line.starts_with('#') {
                    heading = line.trim_start_matches('#').trim();
                }
                lines.push((heading, line));
            }
        }
        lines
    }

    /// All headings.
    pub(crate) fn headings(&self) -> Vec<String> {
        let lines = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        lines.map(|(heading, _)| heading.to_owned()).collect()
    }

    /// The rows of all tables, without their heads.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut table: Option<String> = None;
        let mut rows = Vec::new();
        for (heading, line) in self.prose() {
            let Some(inner) = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) else {
                table = None;
                continue;
            };
            let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
            match &table {
                None => table = Some(cells[0].clone()),
                Some(_) if cells[0].starts_with("---") => {}
                Some(table) => {
                    rows.push(Row { heading: heading.to_owned(), table: table.clone(), cells });
                }
            }
        }
        rows
    }

    /// All blocks of code.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut before = String::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (&mut open, line.trim().strip_prefix("```")) {
                (None, Some(language)) => {
                    let (language, before) = (language.to_owned(), std::mem::take(&mut before));
                    open = Some(Block { language, before, code: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.code.extend([line, "\n"]),
                (None, None) => before.extend([line, "\n"]),
            }
        }
        blocks
    }

    /// The targets of all links.
    pub(crate) fn links(&self) -> Vec<String> {
        let lines = self.prose().into_iter().map(|(_, line)| line);
        let links = lines.flat_map(|line| line.split("](").skip(1));
        links.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
    }

    /// A path that is meant from the folder of this document.
    pub(crate) fn beside(&self, target: &str) -> PathBuf {
        Path::new(&self.path).parent().unwrap_or(Path::new("")).join(target)
    }
}

/// What stands between backquotes.
pub(crate) fn codes(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
