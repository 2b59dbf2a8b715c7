//! Webhooks are told of what happens, signed, together, and again when they were not there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use data_encoding::{BASE64, HEXLOWER};
use ring::hmac;
use serde_json::Value;

use crate::support::wait_for;
use crate::{run, site};

/// Takes in one message and replies with this status; gives signature and body.
fn receive(listener: &TcpListener, status: u16) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut signature) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some(("content-length", text)) => length = text.parse().unwrap(),
            Some(("meridian-signature", text)) => text.clone_into(&mut signature),
            _ if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes()).unwrap();
    (signature, String::from_utf8(body).unwrap())
}

#[test]
fn a_webhook_is_told_until_it_says_that_it_was() {
    let site = site();
    let listener = TcpListener::bind((site.address(7), 0)).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let secret = [7; 32];
    site.write("config/hook.secret", &BASE64.encode(&secret));
    let hook = format!(
        "[webhook.ops]\nurl = \"{url}\"\nsecret_file = \"hook.secret\"\ngroup = \"100ms\"\n\
         events = [\"region\", \"override.*\"]\n"
    );
    site.write("config/node.toml", &(site.node("eu") + &hook));
    let meridian = site.serve();
    let node = format!("http://{}", site.admin);
    run(&["force", "down", "region:eu", "--for", "1h", "--reason", "work", "--node", &node], 0);
    // What comes back with an error comes again, the same but for its time.
    let (_, first) = receive(&listener, 503);
    let (signature, body) = receive(&listener, 204);
    assert_eq!(first, body);
    let (time, tag) = signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let tag = HEXLOWER.decode(tag.as_bytes()).unwrap();
    hmac::verify(&key, format!("{time}.{body}").as_bytes(), &tag).expect("our signature");
    let message: Value = serde_json::from_str(&body).unwrap();
    let events = message["events"].as_array().unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["region", "override.set"], "those that it asked for: {body}");
    assert_eq!(events[1]["override"]["reason"], "work");
    assert_eq!(
        (message["suppressed"].as_u64(), events[0]["node"].as_str()),
        (Some(0), Some("test-1"))
    );
    let messages = |outcome: &str| {
        meridian.metric("meridian_webhook_messages_total", &[&format!("outcome=\"{outcome}\"")])
    };
    wait_for("the count", || (messages("sent") == 1.0 && messages("retried") == 1.0).then_some(()));
    assert!(!meridian.process.log().contains("hook.secret"));
}

#[test]
fn mistakes_of_a_webhook_are_told_without_its_secret() {
    let site = site();
    site.write("config/hook.secret", "bm90IGEgc2VjcmV0");
    let config = site.path("config").display().to_string();
    for (hook, told) in [
        ("url = \"ftp://x\"\nsecret_file = \"hook.secret\"", "`ftp://x` is not a URL of HTTP"),
        ("url = \"http://a:b@x/\"\nsecret_file = \"hook.secret\"", "`url` holds a password"),
        ("url = \"http://x/\"", "`secret_file` is missing"),
        ("url = \"http://x/\"\nsecret = \"s3cret\"", "a secret stands in the file"),
        (
            "url = \"http://x/\"\nsecret_file = \"hook.secret\"\nevents = [\"flips\"]",
            "unknown event `flips` (did you mean `flip`?)",
        ),
    ] {
        site.write("config/node.toml", &format!("{}[webhook.ops]\n{hook}\n", site.node("eu")));
        let (_, err) = run(&["check", "--config", &config], 2);
        assert!(err.contains(told), "{hook}: {err}");
        assert!(!err.contains("bm90"), "{err}");
    }
}
