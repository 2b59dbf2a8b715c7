//! The API as its own description has it, tried by schemathesis: no fault of the server, no status
//! or body that it does not have.

use std::path::Path;
use std::process::Command;

use crate::site;

/// Where scripts/test puts the program.
const PROGRAM: &str = "target/schemathesis/bin/st";

#[test]
fn the_server_answers_as_its_description_says() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    assert!(program.exists(), "scripts/test --tools installs {PROGRAM}");
    let site = site();
    let meridian = site.serve();
    let url = format!("http://{}", site.admin);
    let mut tried = Command::new(program);
    tried.arg("run").arg(format!("{url}/api/v1/openapi.json")).args(["--url", &url]);
    // The stream of events does not end by itself.
    tried.args(["--exclude-path", "/api/v1/events", "--phases", "coverage,fuzzing"]);
    tried.args(["--max-examples", "10", "--seed", "7", "--checks"]);
    tried.arg(
        "not_a_server_error,status_code_conformance,content_type_conformance,\
         response_schema_conformance",
    );
    let output = tried.current_dir(site.path("")).output().expect("a run");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", meridian.process.log());
}
