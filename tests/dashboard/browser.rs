//! A real Chromium, driven by a script of Node.js.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, poll};

/// Where scripts/test puts the packages that the script needs.
const PACKAGES: &str = "target/browser";
/// Where pictures of the pages are left.
const PICTURES: &str = "target/dashboard";
/// Between two looks at a page.
const STEP: Duration = Duration::from_millis(10);

/// The width and height of a window, and whether its owner likes the dark.
pub(crate) type Window = (u32, u32, bool);

pub(crate) const DESK: Window = (1440, 900, false);
pub(crate) const DARK: Window = (1440, 900, true);
pub(crate) const PHONE: Window = (390, 844, false);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let packages = top().join(PACKAGES);
        let there = packages.join("node_modules/playwright-core").is_dir();
        assert!(there, "{PACKAGES} is missing: scripts/test --tools installs it");
        let mut command = Command::new("node");
        command.arg(top().join("tests/dashboard/driver.mjs")).arg(packages).arg(chromium());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node, which scripts/test --tools installs");
        let orders = child.stdin.take();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, replies }
    }

    /// Opens a page in a window.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str, (width, height, dark): Window) {
        self.order(&json!({
            "order": "open", "url": url, "width": width, "height": height, "dark": dark,
        }));
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        self.order(&json!({ "order": "evaluate", "expression": expression }))
    }

    /// The text of an element; empty where there is none.
    #[track_caller]
    pub(crate) fn text(&mut self, at: &str) -> String {
        let found = self.value(&format!("document.querySelector({at:?})?.textContent ?? ''"));
        found.as_str().unwrap().to_owned()
    }

    /// Waits until an expression holds in the page, and says how long that took.
    #[track_caller]
    pub(crate) fn wait(&mut self, expression: &str) -> Duration {
        self.wait_within(PATIENCE, expression)
    }

    #[track_caller]
    fn wait_within(&mut self, patience: Duration, expression: &str) -> Duration {
        let begun = Instant::now();
        let held = poll(patience, STEP, || (self.value(expression) == true).then_some(()));
        if held.is_none() {
            self.picture("failed");
            panic!("waited in vain for {expression}\n{}", self.text("main"));
        }
        begun.elapsed()
    }

    /// Waits until an element has a text.
    #[track_caller]
    pub(crate) fn wait_text(&mut self, at: &str, text: &str) {
        let found =
            format!("(document.querySelector({at:?})?.textContent ?? '').includes({text:?})");
        self.wait(&found);
    }

    /// [`Self::wait_text`] for what nodes wait with before they say it.
    #[track_caller]
    pub(crate) fn wait_long(&mut self, at: &str, text: &str) {
        let found =
            format!("(document.querySelector({at:?})?.textContent ?? '').includes({text:?})");
        self.wait_within(4 * PATIENCE, &found);
    }

    #[track_caller]
    pub(crate) fn click(&mut self, at: &str) {
        self.order(&json!({ "order": "click", "at": at }));
    }

    #[track_caller]
    pub(crate) fn fill(&mut self, at: &str, text: &str) {
        self.order(&json!({ "order": "fill", "at": at, "text": text }));
    }

    #[track_caller]
    pub(crate) fn choose(&mut self, at: &str, text: &str) {
        self.order(&json!({ "order": "choose", "at": at, "text": text }));
    }

    #[track_caller]
    pub(crate) fn press(&mut self, key: &str) {
        self.order(&json!({ "order": "press", "key": key }));
    }

    #[track_caller]
    pub(crate) fn reload(&mut self) {
        self.order(&json!({ "order": "reload" }));
    }

    /// Leaves a picture of the page for people to look at.
    #[track_caller]
    pub(crate) fn picture(&mut self, name: &str) {
        let path = top().join(PICTURES).join(format!("{name}.png"));
        self.order(&json!({ "order": "shot", "path": path }));
    }

    /// Fails when axe finds a serious fault of the page as it is.
    #[track_caller]
    pub(crate) fn assert_accessible(&mut self, what: &str) {
        let faults = self.order(&json!({ "order": "faults" }));
        assert_eq!(faults, json!([]), "{what}: {faults:#}");
    }

    /// Fails when the page has written errors or warnings, or asked somebody else; those that hold
    /// one of the `expected` words are passed over.
    #[track_caller]
    pub(crate) fn assert_silent(&mut self, expected: &[&str]) {
        let complaints = self.order(&json!({ "order": "complaints" }));
        let all = complaints.as_array().unwrap().iter().map(|one| one.as_str().unwrap());
        let left: Vec<&str> =
            all.filter(|one| !expected.iter().any(|word| one.contains(word))).collect();
        assert!(left.is_empty(), "{left:#?}");
    }

    #[track_caller]
    fn order(&mut self, order: &Value) -> Value {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").expect("a browser that takes orders");
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the browser has ended, see above: {order}"));
        assert!(reply["error"].is_null(), "{order}: {}", reply["error"]);
        reply["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // At the end of its orders it ends, and its browser with it.
        self.orders = None;
        if poll(PATIENCE, STEP, || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Debian's Chromium.
fn chromium() -> PathBuf {
    let path = PathBuf::from("/usr/bin/chromium");
    assert!(path.exists(), "chromium is missing: scripts/test --tools installs it");
    path
}
