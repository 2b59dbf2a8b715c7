//! The keys of kind `exec`.

use super::http::statuses;
use crate::config::defaults as d;
use crate::config::files::Place;
use crate::config::sheet::Section;
use crate::config::spec::MonitorTable;
use crate::config::value::{Fault, whole_in};
use crate::model::ExecCheck;

/// Most words of a command.
const WORDS_MAX: usize = 64;

/// Resolves the keys of the kind; `folder` is where the file is.
pub(super) fn resolve(
    section: &mut Section<'_>,
    table: &MonitorTable,
    folder: &Place,
) -> Option<ExecCheck> {
    let read = |words: &Vec<String>| command(words, folder);
    let command = section.required("command", table.command.as_ref(), read);
    let port = section.optional("port", table.port.as_ref(), whole_in("port", &d::PORT_RANGE));
    let none = Fault::new("`expect_status` is empty, so no exit is a success");
    let none = none.hint("such as [\"0\"]");
    let expect_status = statuses(section, table, (d::EXPECT_EXIT, d::EXIT_RANGE), none);
    Some(ExecCheck { command: command?, port, expect_status })
}

/// Program and arguments. A program with a slash is a path relative to the file; one without is
/// looked for in `PATH`.
fn command(words: &[String], folder: &Place) -> Result<Vec<String>, Fault> {
    let Some((program, arguments)) = words.split_first().filter(|(first, _)| !first.is_empty())
    else {
        let fault = Fault::new("`command` names no program");
        return Err(fault.hint("such as [\"/usr/lib/checks/disk\", \"--quick\"]"));
    };
    if words.len() > WORDS_MAX {
        let found = words.len();
        let fault = format!("`command` has {found} words, expected at most {WORDS_MAX}");
        return Err(Fault::new(fault));
    }
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Fault::new("a word of `command` holds a zero octet"));
    }
    if arguments.is_empty() && program.contains(' ') {
        let list: Vec<String> = program.split(' ').map(|word| format!("\"{word}\"")).collect();
        let fault = Fault::new("`command` is one word with spaces, and no shell reads it");
        return Err(fault.hint(format!("write [{}]", list.join(", "))));
    }
    let program = if program.contains('/') {
        folder.join(program).real.to_string_lossy().into_owned()
    } else {
        program.clone()
    };
    Ok(std::iter::once(program).chain(arguments.iter().cloned()).collect())
}
