//! `rewrite` of a route: the path that endpoints are asked for.

use regex::Regex;
use toml::Spanned;

use crate::config::sheet::Section;
use crate::config::spec::{RewriteTable, Table};
use crate::config::value::Fault;
use crate::model::{PathPattern, Rewrite};

/// Resolves the table; `pattern` is the route's `path`.
pub(super) fn rewrite(
    route: &mut Section<'_>,
    field: Option<&Spanned<Table<RewriteTable>>>,
    pattern: &PathPattern,
) -> Option<Rewrite> {
    let field = field?;
    let mut section = route.inside("rewrite", field.span());
    let table = &field.get_ref().0;
    match (&table.prefix, &table.path) {
        (Some(_), Some(both)) => {
            let fault = Fault::new("`prefix` and `path` are both there");
            section.error(both.span(), fault.hint("keep one of them"));
        }
        (None, None) => {
            let fault = Fault::new("`rewrite` is empty");
            section.lacks("prefix", fault.hint("give it `prefix` or `path`"));
        }
        _ => {}
    }
    let prefix = section.optional("prefix", table.prefix.as_ref(), |text| match pattern {
        PathPattern::Prefix(from) => {
            let with = if text.is_empty() { "/" } else { plain(text)? };
            Ok(Rewrite::Prefix(from.clone(), with.to_owned()))
        }
        PathPattern::Exact(_) | PathPattern::Regex(_) => {
            let fault = Fault::new("the route's `path` is no prefix that can be replaced");
            Err(fault.hint("write `path`, which replaces all of it"))
        }
    });
    let path = section.optional("path", table.path.as_ref(), |text| match pattern {
        PathPattern::Regex(regex) => {
            plain(text)?;
            groups(text, regex)?;
            Ok(Rewrite::Groups(regex.clone(), text.clone()))
        }
        PathPattern::Exact(_) | PathPattern::Prefix(_) => {
            Ok(Rewrite::Path(plain(text)?.to_owned()))
        }
    });
    prefix.or(path)
}

/// A path without a query.
fn plain(text: &str) -> Result<&str, Fault> {
    let fault = || Fault::new(format!("`{text}` is not a path"));
    if !text.starts_with('/') {
        return Err(fault().hint(format!("write `/{}`", text.trim_start())));
    }
    let dots = |segment: &str| matches!(segment, "." | "..");
    let sound = |octet: u8| octet.is_ascii_graphic() && !b"?#\\\"<>`".contains(&octet);
    if !text.bytes().all(sound) || text.contains("//") || text.split('/').any(dots) {
        let hint = "a path without query, dot segments and empty ones; other characters as %XX";
        return Err(fault().hint(hint));
    }
    Ok(text)
}

/// That all groups which are named exist: the library takes those that do not for empty ones.
fn groups(text: &str, regex: &Regex) -> Result<(), Fault> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').map(|(name, _)| name),
            None => rest.split(|c| !is_word(c)).next().filter(|name| !name.is_empty()),
        };
        let fault =
            |what: String| Fault::new(what).hint("`$1`, `${1}x` or `${name}`; `$$` for `$`");
        let name = name.ok_or_else(|| fault("a `$` names no group".to_owned()))?;
        let known = match name.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            return Err(fault(format!("the route's `path` has no group `{name}`")));
        }
    }
    Ok(())
}
