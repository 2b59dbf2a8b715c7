//! A network namespace without a name: it ends with whoever holds it, a killed test included.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::gettid;

use crate::support::process::Process;

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace, and a thread inside it that lives as long. Processes are started by that
/// thread, since the kernel ends them with the thread that started them.
pub(crate) struct Namespace {
    work: mpsc::Sender<Work>,
    file: Arc<File>,
    path: String,
}

impl Namespace {
    /// Makes one whose loopback interface is up.
    pub(crate) fn new() -> Self {
        let (work, works) = mpsc::channel::<Work>();
        let (opened, open) = mpsc::channel();
        thread::spawn(move || {
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid());
            let made = unshare(CloneFlags::CLONE_NEWNET);
            let file = made.map(|()| (File::open(&path).unwrap(), path));
            if opened.send(file).is_ok() {
                for work in works {
                    work();
                }
            }
        });
        let (file, path) = open.recv().unwrap().unwrap_or_else(|error| {
            panic!(
                "no network namespace: {error}; this test takes root: run scripts/test, or this \
                 file alone with `cargo test --test e2e_namespaces \
                 --config 'target.\"cfg(unix)\".runner = \"sudo -n\"' -- --ignored`"
            )
        });
        let namespace = Self { work, file: Arc::new(file), path };
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

    /// Starts a thread inside.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let file = self.file.clone();
        thread::spawn(move || {
            setns(&*file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
    }

    /// Starts a process inside that writes `NAME.log` in `folder`; the kernel kills it when this
    /// namespace is dropped or the test dies.
    pub(crate) fn start(&self, name: &str, command: &Command, folder: &Path) -> Process {
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]);
        bound.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            bound.env(key, value.unwrap_or_default());
        }
        let (name, folder) = (name.to_owned(), folder.to_owned());
        self.run(move || Process::start(&name, &mut bound, &folder))
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

    /// Makes a pair of interfaces: `inner` here, `outer` in the other namespace.
    pub(crate) fn connect(&self, inner: &str, other: &Self, outer: &str) {
        let peer = &other.path;
        self.ip(&format!("link add {inner} type veth peer name {outer} netns {peer}"));
    }

    /// Lets it pass packets on.
    pub(crate) fn forward(&self) {
        self.run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    }
}
