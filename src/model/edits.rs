//! Edits of header fields that the configuration asks for, with placeholders.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

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
    /// The host that was asked for, without its port.
    Host,
    /// `http` or `https`, as the client sees it.
    Scheme,
    /// The path that was asked for, in canonical form.
    Path,
    /// The query that was asked for, behind a question mark; empty without one.
    Query,
    /// The trace of the request.
    TraceId,
}

impl Placeholder {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Region,
        Self::Node,
        Self::Route,
        Self::Pool,
        Self::Endpoint,
        Self::ClientIp,
        Self::Host,
        Self::Scheme,
        Self::Path,
        Self::Query,
        Self::TraceId,
    ];
    /// Those of a URL that a client is sent to.
    pub const URL: [Self; 4] = [Self::Host, Self::Scheme, Self::Path, Self::Query];

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
            Self::Path => "path",
            Self::Query => "query",
            Self::TraceId => "trace_id",
        }
    }
}

/// A value with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing to fill in.
    Plain(HeaderValue),
    Pieces(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Of(Placeholder),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace that opens or closes nothing.
    Brace,
    /// A placeholder that there is none of here; behind it those that there are.
    Unknown(String, Vec<Placeholder>),
    /// A character that no value can hold.
    Value,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace => f.write_str("a brace has no partner, expected `{{` or `}}` for itself"),
            Self::Unknown(name, known) => {
                write!(f, "`{{{name}}}` stands for nothing here, expected one of")?;
                known.iter().try_for_each(|known| write!(f, " {{{}}}", known.name()))
            }
            Self::Value => f.write_str("a control character cannot be sent in a field"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a value in which `{name}` is one of the placeholders `known`, and `{{` and `}}` are
    /// braces.
    ///
    /// # Errors
    /// Why it is no template.
    pub fn parse(text: &str, known: &[Placeholder]) -> Result<Self, TemplateError> {
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
            let found = known.iter().copied().find(|known| known.name() == name);
            let found =
                found.ok_or_else(|| TemplateError::Unknown(name.to_owned(), known.to_vec()))?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Of(found));
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

    /// Whether it holds this placeholder.
    pub fn holds(&self, placeholder: Placeholder) -> bool {
        match &self.0 {
            Kind::Plain(_) => false,
            Kind::Pieces(pieces) => pieces.contains(&Piece::Of(placeholder)),
        }
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

/// Fields to take out, then fields to set, then fields to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Taken out wherever they come from.
    pub remove: Vec<HeaderName>,
    /// Set in place of what was there.
    pub set: Vec<(HeaderName, Template)>,
    /// Put beside what was there.
    pub add: Vec<(HeaderName, Template)>,
}

impl Edits {
    /// Whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

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
        for (name, template) in &self.add {
            if let Some(value) = template.fill(&write) {
                headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text, &Placeholder::ALL).unwrap()
    }

    #[test]
    fn edits_take_out_set_and_add_with_placeholders() {
        let name = HeaderName::from_static;
        let edits = Edits {
            remove: vec![name("x-debug")],
            set: vec![
                (name("x-region"), template("{region}")),
                (name("x-plain"), template("as {{it}} is")),
                (name("x-all"), template("{client_ip} by {node}/{route}!")),
                (name("x-bad"), template("{host}")),
            ],
            add: vec![(name("x-region"), template("{pool}")), (name("x-new"), template("{host}"))],
        };
        let values = |placeholder: Placeholder, to: &mut String| match placeholder {
            Placeholder::Host => to.push('\n'),
            other => to.push_str(other.name()),
        };
        let mut headers = HeaderMap::new();
        for (field, value) in [("x-debug", "1"), ("x-region", "client"), ("x-bad", "client")] {
            headers.insert(field, HeaderValue::from_static(value));
        }
        edits.apply(&mut headers, values);
        let mut listed: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        listed.sort();
        assert_eq!(
            listed,
            [
                "x-all: client_ip by node/route!",
                "x-plain: as {it} is",
                "x-region: pool",
                "x-region: region"
            ]
        );
        assert!(!edits.is_empty() && Edits::default().is_empty());
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        let unknown =
            |name: &str| TemplateError::Unknown(name.to_owned(), Placeholder::URL.to_vec());
        for (text, expected) in [
            ("{", TemplateError::Brace),
            ("a}b", TemplateError::Brace),
            ("{regoin}", unknown("regoin")),
            ("{endpoint}", unknown("endpoint")),
            ("{}", unknown("")),
            ("a\nb", TemplateError::Value),
            ("a\n{path}b", TemplateError::Value),
        ] {
            assert_eq!(Template::parse(text, &Placeholder::URL), Err(expected), "{text:?}");
        }
        assert!(template("{host}{path}").holds(Placeholder::Path));
        assert!(!template("{{path}}").holds(Placeholder::Path));
    }
}
