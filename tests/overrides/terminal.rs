//! What commands do on a terminal: colours, unless somebody wants none, and screens drawn anew.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::meridian::command;
use crate::support::process::Process;
use crate::support::wait_for;
use crate::{run, site};

/// What a terminal is told to begin a screen with.
const TOP: &str = "\u{1b}[H\u{1b}[2J";
const GREEN: &str = "\u{1b}[32m";

/// A command on a terminal, which `script` makes.
fn on_terminal(arguments: &str) -> Command {
    let own = command();
    let program = own.get_program().to_string_lossy().into_owned();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &format!("{program} {arguments}")]);
    script.arg("/dev/null").env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    script
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let site = site();
    let _meridian = site.serve();
    let asked = format!("status --node http://{}", site.admin);
    let shown = |script: &mut Command| {
        let output = script.output().expect("script, of Debian's bsdutils");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let coloured = shown(&mut on_terminal(&asked));
    assert!(coloured.contains(&format!("{GREEN}ready")), "{coloured}");
    let plain = shown(on_terminal(&asked).env("NO_COLOR", "1"));
    assert!(plain.contains(": ready,") && !plain.contains('\u{1b}'), "{plain}");
    let arguments: Vec<&str> = asked.split(' ').collect();
    let (piped, _) = run(&arguments, 0);
    assert!(piped.contains(": ready,") && !piped.contains('\u{1b}'), "{piped}");
}

#[test]
fn a_watched_status_is_drawn_anew_and_goes_on_while_the_node_is_away() {
    let site = site();
    let mut meridian = site.serve();
    let asked = format!("status --watch --node http://{}", site.admin);
    let arguments: Vec<&str> = asked.split(' ').collect();
    let mut own = command();
    let mut child =
        own.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut screen = || lines.any(|line| line.starts_with("test-1 in eu"));
    assert!(screen() && screen(), "a screen, and another one");
    meridian.process.stop();
    let _meridian = site.serve();
    assert!(screen() && screen(), "it finds the node again");
    child.kill().unwrap();
    child.wait().unwrap();

    let mut watched = Process::start("watch", &mut on_terminal(&asked), &site.path(""));
    wait_for("two screens", || (watched.log().matches(TOP).count() >= 2).then_some(()));
    watched.stop();
}
