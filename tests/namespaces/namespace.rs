//! A network namespace without a name: it ends with whoever holds it, a killed test included.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace, and a thread inside it that lives as long. Processes are started by that
/// thread, since the kernel ends them with the thread that started them.
pub(crate) struct Namespace {
    work: mpsc::Sender<Work>,
}

impl Namespace {
    /// Makes one whose loopback interface is up.
    pub(crate) fn new() -> Self {
        let (work, works) = mpsc::channel::<Work>();
        let (opened, open) = mpsc::channel();
        thread::spawn(move || {
            if opened.send(unshare(CloneFlags::CLONE_NEWNET)).is_ok() {
                for work in works {
                    work();
                }
            }
        });
        open.recv().unwrap().unwrap_or_else(|error| {
            panic!(
                "no network namespace: {error}; this test takes root: run scripts/test, or this \
                 file alone with `cargo test --test e2e_namespaces \
                 --config 'target.\"cfg(unix)\".runner = \"sudo -n\"' -- --ignored`"
            )
        });
        let namespace = Self { work };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs something inside, on the thread that lives as long as the namespace.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let work = move || {
            // Whoever asked is told of a panic; the thread goes on.
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = done.send(caught);
        };
        self.work.send(Box::new(work)).unwrap();
        result.recv().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Does what these lines tell `ip` to do, one order a line.
    pub(crate) fn ip(&self, orders: &str) {
        let orders = orders.to_owned();
        self.run(move || {
            let mut command = Command::new("ip");
            command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("the program `ip`: run scripts/test");
            child.stdin.take().unwrap().write_all(orders.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ip: {said}\n{orders}");
        });
    }
}
