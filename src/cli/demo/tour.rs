//! `demo --tour`: a scene that plays by itself, and what came of it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::backends;
use super::crowd::{Crowd, Seen};
use super::nodes::Nodes;
use super::site::{Folder, REGIONS};
use super::{Format, Options};
use crate::cli::simulate::read_population;
use crate::cli::{Exit, Output};
use crate::clock;
use crate::name::Name;
use crate::snapshot::load;
use crate::tls;

/// The service that clients ask for.
const NAME: &str = "www.app.example.com";
/// The region that dies.
const VICTIM: &str = "eu";
/// How often it is told how things are.
const EVERY: Duration = Duration::from_secs(1);
/// How often something is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a state of things is shown.
const HOLD: Duration = Duration::from_secs(4);
/// What is waited for comes within this time, or the tour has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the drill takes the region out.
const DRILL: &str = "6s";

/// What came of the tour.
#[derive(Debug, Default, Serialize)]
struct Scene {
    /// Seconds from the death of the region until clients were served elsewhere, without errors.
    moved_seconds: f64,
    /// Requests that failed meanwhile.
    errors: u64,
    /// Seconds from its return until it served clients again.
    back_seconds: f64,
    /// Whether the drill passed.
    drill_passed: bool,
    /// Requests that clients made in all.
    requests: u64,
    /// The report of the drill.
    report: PathBuf,
}

/// Plays the scene.
pub(super) fn play(
    options: &Options,
    folder: &Folder,
    (nodes, stop): (Nodes, CancellationToken),
    output: &mut Output,
) -> Exit {
    let report = options.report.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("meridian-tour-{}.html", std::process::id()))
    });
    let scene = Stage::set(options, folder, (nodes, stop), output).and_then(|mut stage| {
        let played = stage.play(&report);
        played.inspect_err(|_| stage.log(folder))
    });
    let scene = match scene {
        Ok(scene) => scene,
        Err(error) => {
            output.trouble(format!("error: the tour broke off: {error}"));
            return Exit::Failed;
        }
    };
    match options.format {
        Format::Json => output.json(&scene),
        Format::Text => output.line(format!("\nthe report of the drill: {}", report.display())),
    }
    if options.open || is_desktop() {
        let opener = Command::new("xdg-open").arg(&report).stdin(Stdio::null()).spawn();
        if let Err(error) = opener {
            output.trouble(format!("warning: cannot open the report: xdg-open: {error}"));
        }
    }
    if scene.drill_passed { Exit::Fine } else { Exit::Failed }
}

/// Whether somebody sits at this machine.
fn is_desktop() -> bool {
    let shown = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && (shown("DISPLAY") || shown("WAYLAND_DISPLAY"))
}

/// All that takes part.
struct Stage<'a> {
    options: &'a Options,
    nodes: Nodes,
    stop: CancellationToken,
    crowd: Crowd,
    web: Web,
    begun: Instant,
    /// What clients had seen when it was last told, and when that was.
    told: (Seen, Instant),
    output: &'a mut Output,
}

impl<'a> Stage<'a> {
    /// Waits until the nodes serve, and lets the clients come.
    fn set(
        options: &'a Options,
        folder: &Folder,
        (mut nodes, stop): (Nodes, CancellationToken),
        output: &'a mut Output,
    ) -> Result<Self, String> {
        let begun = clock::stopwatch();
        let web = Web::new()?;
        let ready = format!("http://{}/readyz", options.admin);
        while web.get(&ready) != Some(StatusCode::OK) {
            if nodes.has_ended() || begun.elapsed() > PATIENCE {
                show_logs(folder, output);
                return Err("a node does not start".to_owned());
            }
            pause(&stop)?;
        }
        let loaded = load(&folder.path("config"), None).map_err(|wrong| wrong.to_string())?;
        let groups = read_population(None, &loaded.ground).map_err(|wrong| wrong.to_string())?;
        let name = Name::parse(NAME, &Name::root()).map_err(|error| error.to_string())?;
        let crowd = Crowd::start(&groups, name, options.dns, options.proxies);
        let crowd = crowd.map_err(|error| format!("no clients: {error}"))?;
        let told = (Seen::default(), clock::stopwatch());
        Ok(Self { options, nodes, stop, crowd, web, begun, told, output })
    }

    /// All acts.
    fn play(&mut self, report: &Path) -> Result<Scene, String> {
        let mut scene = Scene { report: report.to_owned(), ..Scene::default() };
        self.say("Clients everywhere ask for www.app.example.com, and go to the nearest region.");
        self.until("every region serves", |seen| {
            REGIONS.iter().all(|(region, ..)| seen.of(region) > 0) && seen.errors == 0
        })?;
        self.hold(HOLD)?;

        self.say("Both backends of eu die. Probes find it, answers and clients move.");
        let (died, before) = (clock::stopwatch(), self.crowd.seen());
        self.order("fail")?;
        self.until("the clients of eu are served elsewhere", |seen| {
            seen.of(VICTIM) == 0 && seen.errors == 0 && seen.requests() > 0
        })?;
        scene.moved_seconds = died.elapsed().as_secs_f64();
        scene.errors = self.crowd.seen().since(&before).errors;
        self.hold(HOLD)?;

        self.say("The backends of eu return.");
        let returned = clock::stopwatch();
        self.order("recover")?;
        self.until("eu serves again", |seen| seen.of(VICTIM) > 0 && seen.errors == 0)?;
        scene.back_seconds = returned.elapsed().as_secs_f64();
        self.hold(HOLD)?;

        self.say("A drill: the same on purpose, watched, and taken back by itself.");
        scene.drill_passed = self.drill(report)?;
        scene.requests = self.crowd.seen().requests();
        Ok(scene)
    }

    /// A line of the story.
    fn say(&mut self, words: &str) {
        if self.options.format == Format::Text {
            let at = self.begun.elapsed().as_secs_f64();
            self.output.line(format!("\n{at:6.1} s  {words}"));
        }
    }

    /// Tells how things are, when that is due; gives what was seen since it was last told.
    fn tell(&mut self) -> Option<Seen> {
        let (before, at) = &self.told;
        if at.elapsed() < EVERY {
            return None;
        }
        let now = self.crowd.seen();
        let seen = now.since(before);
        self.told = (now, clock::stopwatch());
        if self.options.format == Format::Text {
            let all = seen.requests().max(1) as f64;
            let bars = REGIONS.iter().map(|(region, ..)| {
                let share = seen.of(region) as f64 / all;
                let bar = "#".repeat((share * 20.0).round() as usize);
                format!("{region} {bar:<20} {:>3.0} %", share * 100.0)
            });
            let bars: Vec<String> = bars.collect();
            let (at, errors) = (self.begun.elapsed().as_secs_f64(), seen.errors);
            self.output.line(format!("{at:6.1} s    {}   errors {errors}", bars.join("   ")));
        }
        Some(seen)
    }

    /// Waits until what clients saw in the last second is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Result<(), String> {
        let begun = clock::stopwatch();
        // What was seen before is no part of it.
        self.told = (self.crowd.seen(), clock::stopwatch());
        while begun.elapsed() < PATIENCE {
            if self.nodes.has_ended() {
                return Err("a node has ended".to_owned());
            }
            if self.tell().is_some_and(|seen| wanted(&seen)) {
                return Ok(());
            }
            pause(&self.stop)?;
        }
        Err(format!("waited {} s in vain: {what}", PATIENCE.as_secs()))
    }

    /// Lets things be seen for a while.
    fn hold(&mut self, time: Duration) -> Result<(), String> {
        let begun = clock::stopwatch();
        while begun.elapsed() < time {
            self.tell();
            pause(&self.stop)?;
        }
        Ok(())
    }

    /// Has the backends of the region die or return.
    fn order(&mut self, what: &str) -> Result<(), String> {
        for address in backends::of(VICTIM, self.options.backends) {
            if self.web.post(address, what) != Some(StatusCode::OK) {
                return Err(format!("the backend at {address} does not obey"));
            }
        }
        Ok(())
    }

    /// Runs a drill by the command that operators have; gives whether it passed.
    fn drill(&mut self, report: &Path) -> Result<bool, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let command = |act: &str| {
            let mut command = Command::new(&own);
            command.args(["drill", act, "--region", VICTIM, "--service", NAME, "--for", DRILL]);
            command.arg("--dns").arg(self.options.dns.to_string());
            command.arg("--node").arg(format!("http://{}", self.options.admin));
            command.stdin(Stdio::null());
            command
        };
        // The fleet is well when its last endpoint is up again.
        let begun = clock::stopwatch();
        let mut plan = command("plan");
        plan.stdout(Stdio::null()).stderr(Stdio::null());
        while !plan.status().is_ok_and(|status| status.success()) {
            if begun.elapsed() > PATIENCE {
                let refused = command("plan").output().map_err(|error| error.to_string())?;
                let why = String::from_utf8_lossy(&refused.stderr).into_owned();
                return Err(format!("the drill is refused:\n{why}"));
            }
            self.tell();
            pause(&self.stop)?;
        }
        let mut run = command("run");
        run.arg("--report").arg(report).args(["--author", "the tour"]);
        run.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().map_err(|error| format!("no drill: {error}"))?;
        while let Ok(None) = child.try_wait() {
            self.tell();
            thread::sleep(LOOK_EVERY);
        }
        let done = child.wait_with_output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&done.stdout);
        if self.options.format == Format::Text {
            self.output.line(format!("\n{}", text.trim_end()));
        }
        if !report.is_file() {
            let why = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(format!("the drill has no report: {text}{why}"));
        }
        Ok(done.status.success())
    }

    /// Shows what the nodes said, after something went wrong.
    fn log(&mut self, folder: &Folder) {
        if !self.stop.is_cancelled() {
            show_logs(folder, self.output);
        }
    }
}

/// Waits a moment, unless somebody wants the tour to end.
fn pause(stop: &CancellationToken) -> Result<(), String> {
    thread::sleep(LOOK_EVERY);
    if stop.is_cancelled() { Err("interrupted".to_owned()) } else { Ok(()) }
}

/// The last lines of the nodes' logs.
fn show_logs(folder: &Folder, output: &mut Output) {
    const LINES_MAX: usize = 20;
    for (_, _, config) in REGIONS {
        let text = std::fs::read_to_string(folder.path(&format!("{config}.log")));
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LINES_MAX);
        let last = lines.get(from..).unwrap_or_default().join("\n");
        output.trouble(format!("--- the log of {config} ---\n{last}"));
    }
}

/// Plain requests over HTTP.
struct Web {
    client: Client,
    runtime: Runtime,
}

impl Web {
    fn new() -> Result<Self, String> {
        // Without TLS nothing of it is used, but the client has no other way to be made.
        let config = tls::client_config(&[], None).map_err(|error| error.to_string())?;
        let client = Client::builder().no_proxy().timeout(EVERY * 2).pool_max_idle_per_host(0);
        let client = client.tls_backend_preconfigured(config).build();
        let client = client.map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Self { client, runtime })
    }

    /// The status of a reply; `None`: there is none.
    fn get(&self, url: &str) -> Option<StatusCode> {
        let sent = self.runtime.block_on(async { self.client.get(url).send().await });
        sent.ok().map(|reply| reply.status())
    }

    fn post(&self, at: SocketAddr, what: &str) -> Option<StatusCode> {
        let url = format!("http://{at}/{what}");
        let sent = self.runtime.block_on(async { self.client.post(url).send().await });
        sent.ok().map(|reply| reply.status())
    }
}
