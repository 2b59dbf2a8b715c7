//! Edits of fields that the configuration asks for, with placeholders.

use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// What a placeholder in braces stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The region of the node.
    Region,
    /// The name of the node.
    Node,
    /// The name of the route.
    Route,
    /// The pool that serves.
    Pool,
    /// The address of the endpoint that serves.
    Endpoint,
    /// The address of the client.
    ClientIp,
    /// The host that was asked for.
    Host,
    /// `http` or `https`, as the client sees it.
    Scheme,
    /// The trace of the request.
    TraceId,
}

impl Placeholder {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Region,
        Self::Node,
        Self::Route,
        Self::Pool,
        Self::Endpoint,
        Self::ClientIp,
        Self::Host,
        Self::Scheme,
        Self::TraceId,
    ];

    /// The name between the braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Node => "node",
            Self::Route => "route",
            Self::Pool => "pool",
            Self::Endpoint => "endpoint",
            Self::ClientIp => "client_ip",
            Self::Host => "host",
            Self::Scheme => "scheme",
            Self::TraceId => "trace_id",
        }
    }
}

/// A value with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Nothing to fill in.
    Plain(HeaderValue),
    Pieces(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Of(Placeholder),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace that opens or closes nothing.
    Brace,
    /// A placeholder that there is none of.
    Unknown(String),
    /// A character that no value can hold.
    Value,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace => f.write_str("a brace has no partner, expected `{{` or `}}` for itself"),
            Self::Unknown(name) => {
                write!(f, "`{{{name}}}` stands for nothing, expected one of")?;
                Placeholder::ALL.iter().try_for_each(|known| write!(f, " {{{}}}", known.name()))
            }
            Self::Value => f.write_str("a control character cannot be sent in a field"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a value in which `{name}` is a placeholder, and `{{` and `}}` are braces.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at_checked(at).ok_or(TemplateError::Brace)?;
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.extend(brace.chars().take(1));
                rest = after;
                continue;
            }
            let inside = brace.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(TemplateError::Brace)?;
            let known = Placeholder::ALL.into_iter().find(|known| known.name() == name);
            let known = known.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Of(known));
            rest = after;
        }
        plain.push_str(rest);
        let whole = HeaderValue::from_str(&plain).map_err(|_| TemplateError::Value)?;
        if pieces.is_empty() {
            return Ok(Self(Kind::Plain(whole)));
        }
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        let sound = |piece: &Piece| match piece {
            Piece::Text(text) => HeaderValue::from_str(text).is_ok(),
            Piece::Of(_) => true,
        };
        if !pieces.iter().all(sound) {
            return Err(TemplateError::Value);
        }
        Ok(Self(Kind::Pieces(pieces)))
    }

    /// The value for a request, where `write` adds what a placeholder stands for; `None`: what was
    /// filled in cannot be sent in a field.
    pub fn fill(&self, write: impl Fn(Placeholder, &mut String)) -> Option<HeaderValue> {
        let pieces = match &self.0 {
            Kind::Plain(value) => return Some(value.clone()),
            Kind::Pieces(pieces) => pieces,
        };
        let mut text = String::with_capacity(64);
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Of(placeholder) => write(*placeholder, &mut text),
            }
        }
        HeaderValue::try_from(text).ok()
    }
}

/// Fields to take out, then fields to set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Taken out wherever they come from.
    pub remove: Vec<HeaderName>,
    /// Set in place of what was there.
    pub set: Vec<(HeaderName, Template)>,
}

impl Edits {
    /// Carries them out, where `write` adds what a placeholder stands for. What cannot be filled in
    /// is taken out, so that nobody mistakes a client's field for ours.
    pub fn apply(&self, headers: &mut HeaderMap, write: impl Fn(Placeholder, &mut String)) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, template) in &self.set {
            match template.fill(&write) {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
    }
}

/// Whether a field says where a message ends or what the connection does: those are no operator's
/// to edit.
pub fn is_framing(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, TRAILER].contains(name)
}
