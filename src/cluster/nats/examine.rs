//! Looks over a bus from where this node stands: server, rights, streams.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, External, Info, Source, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Event};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::view::{bucket_name, view_name};
use super::{CONNECT, in_full, options};
use crate::cluster::version;
use crate::cluster::{Channel, Subjects};
use crate::health::Prober;
use crate::model::Nats;

/// A mirror not heard of for longer than this is behind by an unknown amount.
const MIRROR_AGE_MAX: Duration = Duration::from_secs(30);
/// Pages and beats of writers that are gone are kept for this long: those of round trips go out
/// every quarter of an hour.
const VIEW_AGE: Duration = Duration::from_secs(20 * 60);
/// Earlier values kept of each override, for those who ask what happened.
const HISTORY: i64 = 16;
/// Time for a refusal to come back.
const REFUSAL: Duration = Duration::from_millis(300);
/// Time for an answer about a stream.
const PATIENCE: Duration = Duration::from_secs(5);

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Fine,
    /// It works, though not as well as it could.
    Warning,
    /// It does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// What it is.
    pub what: &'static str,
    /// How good it is.
    pub grade: Grade,
    /// What was found, and what to do about it.
    pub detail: String,
}

/// What to make that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create<'a> {
    /// Nothing.
    Nothing,
    /// Both streams.
    Streams,
    /// Both, the bucket as a copy of that in this domain.
    Mirror(&'a str),
}

/// Looks over the bus as the node `me`, which probes or not; what is missing is made first, if
/// that is asked for.
///
/// # Errors
/// When the bus cannot be reached: why.
pub async fn examine(
    nats: &Nats,
    me: &Prober,
    probes: bool,
    create: Create<'_>,
) -> Result<Vec<Examined>, String> {
    let (events, mut refusals) = mpsc::channel(64);
    let on_event = move |event| {
        let events = events.clone();
        async move {
            if let Event::ServerError(error) = event {
                let _ = events.try_send(error.to_string());
            }
        }
    };
    let connecting = options(nats, &me.node)?.event_callback(on_event);
    let connecting = connecting.connect(&nats.servers[..]);
    let client = match timeout(2 * CONNECT, connecting).await {
        Ok(connected) => connected.map_err(|error| in_full(&error))?,
        Err(_) => return Err(format!("no answer within {} s", 2 * CONNECT.as_secs())),
    };
    let mut found = vec![server(&client)];
    found.extend(rights(&client, &mut refusals, nats, me, probes).await?);
    let context = jetstream::new(client.clone());
    found.extend(create_missing(&context, &nats.prefix, create).await);
    found.push(view(&context, &nats.prefix).await);
    found.extend(bucket(&context, &nats.prefix).await);
    Ok(found)
}

fn examined(what: &'static str, grade: Grade, detail: impl Into<String>) -> Examined {
    Examined { what, grade, detail: detail.into() }
}

fn server(client: &Client) -> Examined {
    let info = client.server_info();
    match version::check(&info.version) {
        Ok(()) => {
            let detail = format!("nats-server {} `{}`", info.version, info.server_name);
            examined("server", Grade::Fine, detail)
        }
        Err(why) => examined("server", Grade::Wrong, why),
    }
}

/// Whether this node may do what it must, and nothing in the name of another.
async fn rights(
    client: &Client,
    refusals: &mut mpsc::Receiver<String>,
    nats: &Nats,
    me: &Prober,
    probes: bool,
) -> Result<Vec<Examined>, String> {
    let subjects = Subjects::new(&nats.prefix);
    let mut found = Vec::new();
    for subject in subjects.listened(me).into_iter().chain([subjects.presences()]) {
        let subscriber = client.subscribe(subject.clone()).await;
        let mut subscriber = subscriber.map_err(|error| error.to_string())?;
        let refused = refusal(client, refusals).await?;
        let _ = subscriber.unsubscribe().await;
        if refused {
            let detail = format!("this node may not subscribe to `{subject}`");
            found.push(examined("rights", Grade::Wrong, detail));
        }
    }
    let other = Prober { region: me.region.clone(), node: format!("{}-not", me.node) };
    // Nodes pass over empty messages.
    let last_page = |writer: &Prober| Channel::Health { writer: writer.clone(), page: 4_095 };
    let latency = |writer: &Prober| Channel::Latency { writer: writer.clone(), page: 4_095 };
    let beat = |writer: &Prober| Channel::Beat { writer: writer.clone() };
    let presence = |writer: &Prober| Channel::Presence { writer: writer.clone() };
    let all = |writer: &Prober| [last_page(writer), beat(writer), latency(writer)];
    let mut wanted = vec![
        (Channel::Need { writer: other.clone() }, true),
        (presence(me), true),
        (presence(&other), false),
    ];
    wanted.extend(all(me).into_iter().filter(|_| probes).map(|channel| (channel, true)));
    wanted.extend(all(&other).map(|channel| (channel, false)));
    for (channel, needed) in wanted {
        let subject = subjects.subject(&channel);
        let sent = client.publish(subject.clone(), bytes::Bytes::new()).await;
        sent.map_err(|error| error.to_string())?;
        let refused = refusal(client, refusals).await?;
        if refused && needed {
            let detail = format!("this node may not publish to `{subject}`");
            found.push(examined("rights", Grade::Wrong, detail));
        } else if !refused && !needed {
            let detail =
                format!("this node may publish to `{subject}`, so that it can speak for others");
            found.push(examined("rights", Grade::Warning, detail));
        }
    }
    if found.is_empty() {
        found.push(examined("rights", Grade::Fine, "what this node needs, and no more"));
    }
    Ok(found)
}

/// Whether the server has refused something since the last time.
async fn refusal(client: &Client, refusals: &mut mpsc::Receiver<String>) -> Result<bool, String> {
    client.flush().await.map_err(|error| in_full(&error))?;
    let refused = timeout(REFUSAL, refusals.recv()).await.is_ok_and(|refusal| refusal.is_some());
    while refusals.try_recv().is_ok() {}
    Ok(refused)
}

/// The stream that keeps the last pages and beat of each writer.
fn view_config(prefix: &str) -> Config {
    let kinds = ["health", "beat", "latency"];
    Config {
        name: view_name(prefix),
        subjects: kinds.map(|kind| format!("{prefix}.v1.{kind}.>")).to_vec(),
        storage: StorageType::Memory,
        max_messages_per_subject: 1,
        max_age: VIEW_AGE,
        discard: DiscardPolicy::Old,
        no_ack: true,
        num_replicas: 1,
        ..Config::default()
    }
}

async fn create_missing(context: &Context, prefix: &str, create: Create<'_>) -> Vec<Examined> {
    let domain = match create {
        Create::Nothing => return Vec::new(),
        Create::Streams => None,
        Create::Mirror(domain) => Some(domain),
    };
    let mut trouble = Vec::new();
    if let Err(error) = make_view(context, prefix).await {
        trouble.push(examined("view", Grade::Wrong, format!("not made: {error}")));
    }
    let bucket = bucket_name(prefix);
    if context.get_stream(format!("KV_{bucket}")).await.is_ok() {
        return trouble;
    }
    let clustered = context.client().server_info().cluster.is_some();
    let mirror = domain.map(|domain| {
        let external = External { api_prefix: format!("$JS.{domain}.API"), delivery_prefix: None };
        Source { name: bucket.clone(), external: Some(external), ..Source::default() }
    });
    let config = jetstream::kv::Config {
        bucket,
        mirror,
        history: HISTORY,
        max_value_size: 64 << 10,
        storage: StorageType::File,
        num_replicas: if clustered { 3 } else { 1 },
        ..jetstream::kv::Config::default()
    };
    let mut made = context.create_key_value(config.clone()).await;
    if made.is_err() && clustered {
        // A server with leaves names a cluster even where it is alone.
        let config = jetstream::kv::Config { num_replicas: 1, ..config };
        made = context.create_key_value(config).await;
    }
    if let Err(error) = made {
        trouble.push(examined("control", Grade::Wrong, format!("not made: {}", in_full(&error))));
    }
    trouble
}

/// Makes the stream of pages; one that an earlier version has made learns what it lacks.
async fn make_view(context: &Context, prefix: &str) -> Result<(), String> {
    let wanted = view_config(prefix);
    let found = context.get_or_create_stream(wanted.clone()).await;
    let mut found = found.map_err(|error| in_full(&error))?.cached_info().config.clone();
    if wanted.subjects.iter().all(|subject| found.subjects.contains(subject)) {
        return Ok(());
    }
    found.subjects = wanted.subjects;
    context.update_stream(found).await.map(|_| ()).map_err(|error| in_full(&error))
}

/// A stream as it is; the error says what is wrong.
async fn stream(context: &Context, name: &str) -> Result<Info, String> {
    let found = timeout(PATIENCE, context.get_stream(name)).await.map_err(|_| {
        format!("`{name}`: no answer; JetStream is off, or this node may not ask about it")
    })?;
    let found = found.map_err(|error| {
        format!("`{name}`: {}; `meridian cluster check --create` makes it", in_full(&error))
    })?;
    Ok(found.cached_info().clone())
}

/// Without it a node that starts learns of the others' votes within a minute, and of their round
/// trips within a quarter of an hour.
async fn view(context: &Context, prefix: &str) -> Examined {
    let info = match stream(context, &view_name(prefix)).await {
        Ok(info) => info,
        Err(why) => return examined("view", Grade::Warning, why),
    };
    let (found, wanted) = (&info.config, view_config(prefix));
    let missing = wanted.subjects.iter().find(|subject| !found.subjects.contains(subject));
    let detail = if let Some(subject) = missing {
        let hint = "`meridian cluster check --create` sees to it";
        format!("`{}` does not keep `{subject}`; {hint}", found.name)
    } else if found.max_messages_per_subject != 1 {
        format!("`{}` keeps more than the last message of a subject", found.name)
    } else if found.storage != StorageType::Memory {
        format!("`{}` is on disk, expected in memory", found.name)
    } else {
        let detail = format!("`{}` holds {} messages", found.name, info.state.messages);
        return examined("view", Grade::Fine, detail);
    };
    examined("view", Grade::Warning, detail)
}

/// Without it there are no overrides for all nodes.
async fn bucket(context: &Context, prefix: &str) -> Vec<Examined> {
    let name = format!("KV_{}", bucket_name(prefix));
    let info = match stream(context, &name).await {
        Ok(info) => info,
        Err(why) => return vec![examined("control", Grade::Wrong, why)],
    };
    let mut found = vec![match &info.config {
        config if config.storage != StorageType::File => {
            examined("control", Grade::Wrong, format!("`{name}` is in memory, expected on disk"))
        }
        config
            if info.cluster.as_ref().is_some_and(|cluster| cluster.name.is_some())
                && config.num_replicas < 3
                && config.mirror.is_none() =>
        {
            let replicas = config.num_replicas;
            let detail = format!("`{name}` has {replicas} replica, expected 3 in a cluster");
            examined("control", Grade::Warning, detail)
        }
        _ => {
            let detail = format!("`{name}` holds {} messages", info.state.messages);
            examined("control", Grade::Fine, detail)
        }
    }];
    if info.config.mirror.is_some() {
        found.push(mirror(&name, &info));
    }
    found
}

fn mirror(name: &str, info: &Info) -> Examined {
    let Some(mirror) = &info.mirror else {
        return examined("mirror", Grade::Wrong, format!("`{name}` does not say how it stands"));
    };
    match mirror.active {
        Some(age) if age > MIRROR_AGE_MAX => {
            let detail = format!("the origin of `{name}` was last heard {} s ago", age.as_secs());
            examined("mirror", Grade::Wrong, detail)
        }
        None => {
            let detail = format!("the origin of `{name}` was never heard");
            examined("mirror", Grade::Wrong, detail)
        }
        Some(_) if mirror.lag > 0 => {
            let detail = format!("`{name}` is {} changes behind", mirror.lag);
            examined("mirror", Grade::Warning, detail)
        }
        Some(age) => {
            let detail = format!("`{name}` is up to date, heard {} ms ago", age.as_millis());
            examined("mirror", Grade::Fine, detail)
        }
    }
}
