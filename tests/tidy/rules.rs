//! The rules of style that a text scan can hold.

use crate::source::{File, is_word};

/// Lines a file may have, tests included.
const FILE_LINES: usize = 500;
/// Lines a function may have, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;
/// Characters a line may have.
const COLUMNS: usize = 100;

/// The modules below `src/`, lowest layer first: imports point to lower layers only.
pub(crate) const LAYERS: &[&[&str]] = &[
    &[
        "clock",
        "diagnostic",
        "durable",
        "handed",
        "http3",
        "listening",
        "metrics",
        "name",
        "prefix",
        "proxy_header",
        "tls",
        "written",
    ],
    &["outbound", "place", "rows", "spool"],
    &["model"],
    &["config", "zone", "geo"],
    &["acme", "health", "latency", "load"],
    &["steering"],
    &["snapshot"],
    &["cluster", "dns", "drill", "probe", "proxy"],
    &["admin"],
    &["cli"],
];

/// What talks to the kernel directly: sockets, and the memory and programs of `AF_XDP`.
const UNSAFE_FILES: [&str; 4] = [
    "src/dns/socket.rs",
    "src/dns/xdp/kernel.rs",
    "src/dns/xdp/memory.rs",
    "src/proxy/tcp_info.rs",
];

/// A counting allocator, by which a test shows that answers allocate nothing, and the device of the
/// link emulator.
const UNSAFE_TESTS: [&str; 2] = ["tests/dns_alloc.rs", "tests/namespaces/tun.rs"];

/// A finding: line and what is wrong there.
pub(crate) type Finding = (usize, String);

/// A rule: its name and what it finds in a file.
pub(crate) type Rule = (&'static str, fn(&File) -> Vec<Finding>);

/// The rules for Rust files.
pub(crate) const RULES: &[Rule] = &[
    ("file length", file_length),
    ("function length", function_length),
    ("columns", columns),
    ("module doc", module_doc),
    ("imports", imports),
    ("panics", panics),
    ("clock", clock),
    ("unsafe", unsafe_code),
    ("reasons", reasons),
    ("left over", left_over),
];

fn file_length(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let long =
        (lines > FILE_LINES).then(|| (lines, format!("{lines} lines, {FILE_LINES} allowed")));
    long.into_iter().collect()
}

fn function_length(file: &File) -> Vec<Finding> {
    let long = file.functions().into_iter().filter_map(|(name, range)| {
        let (first, last) = (file.line(range.start), file.line(range.end));
        let lines = last - first + 1;
        (lines > FUNCTION_LINES)
            .then(|| (first, format!("`{name}` has {lines} lines, {FUNCTION_LINES} allowed")))
    });
    long.collect()
}

fn columns(file: &File) -> Vec<Finding> {
    let long = file.text.lines().zip(1..).filter_map(|(line, number)| {
        let width = line.chars().count();
        (width > COLUMNS).then(|| (number, format!("{width} columns, {COLUMNS} allowed")))
    });
    long.collect()
}

fn module_doc(file: &File) -> Vec<Finding> {
    if file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![(1, "the first line must be a `//!` sentence that says what the file owns".to_owned())]
}

fn panics(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for word in ["unwrap", "expect", "unwrap_err", "expect_err"] {
        found.extend(file.words(word).into_iter().filter(|at| {
            file.code[..*at].ends_with('.') && file.code[at + word.len()..].starts_with('(')
        }));
    }
    for word in ["panic", "todo", "unimplemented"] {
        let is_macro = |at: &usize| file.code[at + word.len()..].starts_with("!(");
        found.extend(file.words(word).into_iter().filter(is_macro));
    }
    found.retain(|at| !file.in_tests(*at));
    found.into_iter().map(|at| (file.line(at), "may panic outside tests".to_owned())).collect()
}

fn clock(file: &File) -> Vec<Finding> {
    if !file.path.starts_with("src/") || file.path == "src/clock.rs" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for call in ["Instant::now", "SystemTime::now"] {
        // The runtime's clock stands still in tests on request, so its timers may be set by it.
        let paused = |at: &usize| file.code[..*at].ends_with("tokio::time::");
        found.extend(file.words(call).into_iter().filter(|at| !paused(at)));
    }
    let what = "only src/clock.rs reads the system clock";
    found.into_iter().map(|at| (file.line(at), what.to_owned())).collect()
}

fn unsafe_code(file: &File) -> Vec<Finding> {
    let path = file.path.as_str();
    if UNSAFE_FILES.contains(&path) || UNSAFE_TESTS.contains(&path) || path.starts_with("benches/")
    {
        return Vec::new();
    }
    let what = format!("`unsafe` outside {}", UNSAFE_FILES.join(", "));
    file.words("unsafe").into_iter().map(|at| (file.line(at), what.clone())).collect()
}

fn reasons(file: &File) -> Vec<Finding> {
    let mut found = Vec::new();
    for start in file.code.match_indices('#').map(|(at, _)| at) {
        let rest = file.code[start + 1..].trim_start_matches('!');
        let Some(inside) = rest.strip_prefix('[') else { continue };
        let end = start + file.code[start..].find(']').unwrap_or(0);
        if inside.starts_with("ignore") && !inside["ignore".len()..].starts_with(" = \"") {
            found.push((file.line(start), "`#[ignore]` without a reason".to_owned()));
        }
        let silences = ["allow(", "expect("].iter().any(|word| inside.starts_with(word));
        if silences && !file.code[start..end].contains("reason = ") && !explained(file, start, end)
        {
            found.push((file.line(start), "a lint is silenced without a reason".to_owned()));
        }
    }
    found
}

/// Whether a comment stands on the attribute's last line, or on the line before it.
fn explained(file: &File, start: usize, end: usize) -> bool {
    let line = |number: usize| {
        file.comments.lines().nth(number - 1).unwrap_or_default().trim_start().to_owned()
    };
    let before = file.line(start).saturating_sub(1).max(1);
    let is_remark = |text: &str| text.starts_with("// ");
    is_remark(&line(file.line(end))) || is_remark(&line(before))
}

/// What must not be left in any text of the project: marks of unfinished work, and paths of the
/// machine it was written on.
fn left_over(file: &File) -> Vec<Finding> {
    left_over_in(&file.text)
}

/// [`left_over`] for files of any kind.
pub(crate) fn left_over_in(text: &str) -> Vec<Finding> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for mark in marks {
            let whole = line.match_indices(mark).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + mark.len()..].chars().next();
                !before.is_some_and(is_word) && !after.is_some_and(is_word)
            });
            if whole {
                found.push((number, format!("`{mark}` is left over")));
            }
        }
        for path in paths.iter().filter(|path| line.contains(**path)) {
            found.push((number, format!("`{path}` is a path of one machine")));
        }
    }
    found
}

fn imports(file: &File) -> Vec<Finding> {
    let Some(inside) = file.path.strip_prefix("src/") else { return Vec::new() };
    let path = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let Some(own) = path.split('/').next().filter(|own| !matches!(*own, "lib" | "main")) else {
        return Vec::new();
    };
    let Some(layer) = layer_of(own) else {
        return vec![(1, format!("`{own}` has no layer: give it one in tests/tidy/rules.rs"))];
    };
    let mut found = Vec::new();
    for (at, target) in imported(file, path.split('/').count()) {
        let line = file.line(at);
        match layer_of(&target) {
            _ if target == own => {}
            Some(below) if below < layer => {}
            Some(beside) if beside == layer => {
                found.push((line, format!("`{own}` imports its sibling `{target}`")));
            }
            Some(_) => found.push((line, format!("`{own}` imports `{target}` from above"))),
            None => found.push((line, format!("`{target}` has no layer"))),
        }
    }
    found
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level modules a file names, with the offset: after `crate::`, after as many `super::`
/// as lead to the root from a module `depth` levels below it, and after the library's own name.
fn imported(file: &File, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate", "meridian"] {
        for at in file.words(root) {
            if let Some(rest) = file.code[at + root.len()..].strip_prefix("::") {
                found.extend(heads(rest).into_iter().map(|head| (at, head)));
            }
        }
    }
    let modules = file.inline_modules();
    for at in file.words("super") {
        if file.code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &file.code[at..];
        let mut ups = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, ups) = (after, ups + 1);
        }
        let levels = depth + modules.iter().filter(|body| body.contains(&at)).count();
        if ups == levels {
            found.extend(heads(rest).into_iter().map(|head| (at, head)));
        }
    }
    found
}

/// The first path segments after `crate::`: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String { text.chars().take_while(|c| is_word(*c)).collect() };
    let Some(group) = rest.strip_prefix('{') else {
        let head = word(rest);
        return vec![if head.is_empty() { "*".to_owned() } else { head }];
    };
    let (mut depth, mut start, mut heads) = (0i32, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && !c.is_whitespace() => {
                heads.push(word(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}
