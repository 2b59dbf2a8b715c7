//! A running node, asked over its API.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Method, StatusCode, Url};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::Exit;
use crate::config;
use crate::model::AdminListen;
use crate::outbound;
use crate::tls::{self, Certificate};

/// Where a node is asked when nothing else is said.
const DEFAULT: &str = "http://127.0.0.1:8053";
/// Longest wait for a reply; a node that takes longer is in trouble.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where a token may stand, so that it is in no list of processes.
const TOKEN_VARIABLE: &str = "MERIDIAN_TOKEN";
/// Characters of an unexpected reply that are shown.
const SHOWN_MAX: usize = 200;

/// Which node, and how to show who asks.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Remote {
    /// Admin listener of the node, `https://NAME:PORT` or `unix:PATH`; without it what `--config`
    /// says, else `http://127.0.0.1:8053`
    #[arg(long, value_name = "URL", global = true)]
    node: Option<String>,
    /// Folder of a node.toml whose `[admin]` says where the listener is
    #[arg(long, value_name = "DIR", conflicts_with = "node", global = true)]
    config: Option<PathBuf>,
    /// File of the token; without it the variable `MERIDIAN_TOKEN` counts
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// PEM file of the authorities that the node's certificate must be of
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// PEM file of the certificate and key to show
    #[arg(long, value_name = "FILE", global = true)]
    identity: Option<PathBuf>,
}

/// A node that can be asked.
pub(super) struct Node {
    runtime: Runtime,
    client: Client,
    base: Url,
    token: Option<String>,
}

/// Why there is no reply that can be used.
#[derive(Debug)]
pub(super) struct Failure {
    /// How the command ends.
    pub(super) exit: Exit,
    /// What happened.
    pub(super) what: String,
    /// The reply as a program reads it, if the node gave one.
    pub(super) problem: Option<Value>,
}

impl Failure {
    fn usage(what: String) -> Self {
        Self { exit: Exit::Usage, what, problem: None }
    }
}

impl Remote {
    /// A node at this place; without one the default.
    pub(super) fn new(
        node: Option<String>,
        token_file: Option<PathBuf>,
        (ca, identity): (Option<PathBuf>, Option<PathBuf>),
    ) -> Self {
        Self { node, config: None, token_file, ca, identity }
    }

    /// Gets ready to ask.
    pub(super) fn open(&self) -> Result<Node, Failure> {
        let (base, socket) = self.place()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::usage(error.to_string()))?;
        // Without TLS nothing of it is used, but the client has no other way to be made.
        let mut client = outbound::builder(self.tls()?, PATIENCE).no_proxy();
        if let Some(socket) = socket {
            client = client.unix_socket(socket);
        }
        let client = client.build().map_err(|error| Failure::usage(error.to_string()))?;
        let token = match &self.token_file {
            Some(path) => Some(String::from_utf8_lossy(&read(path)?).trim().to_owned()),
            None => std::env::var(TOKEN_VARIABLE).ok().map(|token| token.trim().to_owned()),
        };
        Ok(Node { runtime, client, base, token: token.filter(|token| !token.is_empty()) })
    }

    /// How TLS is spoken.
    fn tls(&self) -> Result<ClientConfig, Failure> {
        let unusable = |path: &Path, why: &dyn Display| {
            Failure::usage(format!("error: `{}` {why}", path.display()))
        };
        let authorities = match &self.ca {
            Some(path) => tls::authorities(&read(path)?).map_err(|why| unusable(path, &why))?,
            None => tls::system_authorities(),
        };
        let identity = match &self.identity {
            Some(path) => {
                let pem = read(path)?;
                let identity = Certificate::from_pem(&pem, &pem);
                Some(identity.map_err(|error| unusable(path, &error))?)
            }
            None => None,
        };
        tls::client_config(&authorities, identity.as_ref())
            .map_err(|error| Failure::usage(format!("error: {error}")))
    }

    /// The address of the node, and its socket file where it has one.
    fn place(&self) -> Result<(Url, Option<PathBuf>), Failure> {
        let written = match (&self.node, &self.config) {
            (Some(node), _) => node.clone(),
            (None, Some(folder)) => configured(folder)?,
            (None, None) => DEFAULT.to_owned(),
        };
        let url = |text: &str| {
            let url = Url::parse(text).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            url.ok_or_else(|| {
                let hint = "http://ADDRESS:PORT, https://NAME:PORT or unix:PATH";
                Failure::usage(format!("error: `{text}` is not a node, expected {hint}"))
            })
        };
        match written.strip_prefix("unix:") {
            Some(path) => Ok((url("http://localhost")?, Some(PathBuf::from(path)))),
            None => Ok((url(&written)?, None)),
        }
    }
}

/// The admin listener of a configuration.
fn configured(folder: &Path) -> Result<String, Failure> {
    let loaded = config::load(folder);
    let model = loaded.model.ok_or_else(|| {
        Failure::usage(format!("{}not asked: correct the configuration", loaded.diagnostics))
    })?;
    let admin = model.node.admin.ok_or_else(|| {
        Failure::usage("error: this node has no admin listener (add [admin])".to_owned())
    })?;
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    Ok(match admin.listen {
        AdminListen::Unix(path) => format!("unix:{}", path.display()),
        AdminListen::Tcp(address) => match admin.hosts.first().filter(|_| admin.tls.is_some()) {
            // A certificate is for a name.
            Some(host) => format!("{scheme}://{host}:{}", address.port()),
            None if address.ip().is_unspecified() => {
                format!("{scheme}://localhost:{}", address.port())
            }
            None => format!("{scheme}://{address}"),
        },
    })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        let why = crate::diagnostic::reason(&error);
        Failure::usage(format!("error: `{}` cannot be read: {why}", path.display()))
    })
}

impl Node {
    /// The reply to a question or an order at this path, such as `overrides` or, with what follows
    /// as one segment, `overrides/region:eu`.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        self.send(method, self.url(path), body)
    }

    /// The reply to a question with a query string.
    pub(super) fn query<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.send(Method::GET, url, None::<&()>)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            let text = serde_json::to_string(body).unwrap_or_default();
            request = request.header("content-type", "application/json").body(text);
        }
        let sent = self.runtime.block_on(async {
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        });
        let (status, text) = sent.map_err(|error| self.unreached(&error))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()));
        }
        Err(self.refused(status, &text))
    }

    fn unreached(&self, error: &reqwest::Error) -> Failure {
        // The last cause says what the kernel or TLS said.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let what = format!("error: cannot reach the node at {}: {cause}", self.base);
        Failure { exit: Exit::Unreachable, what, problem: None }
    }

    fn strange(&self, why: &str) -> Failure {
        let what = format!("error: {} does not reply as a node: {why}", self.base);
        Failure { exit: Exit::Unreachable, what, problem: None }
    }

    fn refused(&self, status: StatusCode, text: &str) -> Failure {
        let problem = serde_json::from_str::<Value>(text).ok();
        let member = |name: &str| problem.as_ref()?.get(name)?.as_str();
        let Some(error) = member("error") else {
            let shown: String = text.chars().take(SHOWN_MAX).collect();
            return self.strange(&format!("{status} {}", shown.trim()));
        };
        let hint = member("hint").map_or_else(String::new, |hint| format!(" ({hint})"));
        let what = format!("error: {error}{hint}");
        // What is wrong in itself is wrong usage; else it is this node, now, that refuses.
        let exit = if status == StatusCode::BAD_REQUEST { Exit::Usage } else { Exit::Failed };
        Failure { exit, what, problem }
    }
}
