//! `[webhook.NAME]`: who is told of what happens.

use super::keys::{Form, secret_of};
use crate::config::defaults::webhook as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{Named, WebhookTable};
use crate::config::value::{Fault, duration_in, http_url, name, unknown_word};
use crate::model::{EVENT_KINDS, Webhook};

/// Resolves the tables; `folder` is where node.toml is.
pub(super) fn resolve(
    top: &mut Section<'_>,
    tables: &Named<WebhookTable>,
    folder: &Place,
    files: &mut Files,
) -> Vec<Webhook> {
    let mut all = Vec::new();
    for (text, table) in tables {
        if let Err(fault) = name(text.get_ref()) {
            top.error(text.span(), fault);
        }
        let mut section = top.named("webhook", text.get_ref(), table.span());
        let table = &table.get_ref().0;
        let url = section.required("url", table.url.as_ref(), |text| url(text));
        let fields = (table.secret_file.as_ref(), table.secret.as_ref());
        let secret = secret_of(&mut section, fields, Form::Base64, (folder, files));
        let events = section.list("events", &table.events, |text| kind(text).map(Some));
        let fault = Fault::new("`events` is empty").hint("leave it out for all kinds");
        section.not_empty(&table.events, fault);
        if table.events.is_none() {
            section.default("events", d::EVENTS);
        }
        let mut events: Vec<&'static str> = events.concat();
        if events.is_empty() {
            events.extend(EVENT_KINDS);
        }
        let read = duration_in("group", &d::GROUP_RANGE);
        let group = section.value("group", &table.group, d::GROUP, read);
        if let Some((url, secret)) = url.zip(secret) {
            all.push(Webhook { name: text.get_ref().clone(), url, secret, events, group });
        }
    }
    all
}

/// Where messages go.
fn url(text: &str) -> Result<String, Fault> {
    let wrong = Fault::new(format!("`{text}` is not a URL of HTTP"))
        .hint("such as `https://hooks.example.net/meridian`");
    let password = Fault::new("`url` holds a password").hint("messages are signed with the secret");
    http_url(text, wrong, password).map(|_| text.to_owned())
}

/// The kinds that a word means: itself, or with `.*` all that begin with what is before it.
fn kind(text: &str) -> Result<Vec<&'static str>, Fault> {
    let meant = |kind: &&str| match text.strip_suffix(".*") {
        Some(start) => kind.split_once('.').is_some_and(|(family, _)| family == start),
        None => *kind == text,
    };
    let meant: Vec<&'static str> = EVENT_KINDS.into_iter().filter(meant).collect();
    if meant.is_empty() { Err(unknown_word("event", text, &EVENT_KINDS)) } else { Ok(meant) }
}
