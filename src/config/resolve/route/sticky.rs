//! `sticky` of a route: the cookie, and the secrets that sign it.

use data_encoding::HEXLOWER_PERMISSIVE;
use toml::Spanned;

use crate::config::files::{Files, Place, sha256};
use crate::config::resolve::node::content;
use crate::config::resolve::secrets::secrets;
use crate::config::sheet::Section;
use crate::config::spec::{StickyTable, Table};
use crate::config::value::Fault;
use crate::model::StickyCookie;

/// How a secret looks.
const SECRET: &str = "64 hexadecimal digits, such as `openssl rand -hex 32` prints";

/// Resolves the table of the route to this pool; `folder` is where fleet.toml is.
pub(super) fn sticky(
    route: &mut Section<'_>,
    field: Option<&Spanned<Table<StickyTable>>>,
    pool: &str,
    folder: &Place,
    files: &mut Files,
) -> Option<StickyCookie> {
    let field = field?;
    let mut section = route.inside("sticky", field.span());
    let table = &field.get_ref().0;
    let name = section.required("cookie", table.cookie.as_ref(), |text| name(text));
    let fault = Fault::new("a sticky cookie keeps clients at one endpoint");
    section.warn(
        field.span(),
        fault.hint(
            "load spreads unevenly, and what an endpoint keeps in memory is lost with it; better \
             share the state and leave this out",
        ),
    );
    let mut secrets = section.optional("secret_file", table.secret_file.as_ref(), |text| {
        let (source, place) = content(text, folder, files)?;
        secrets(source.text(), &place.shown, SECRET, |word| {
            HEXLOWER_PERMISSIVE.decode(word.as_bytes()).ok()?.try_into().ok()
        })
    });
    if table.secret_file.is_none() {
        section.default("secret_file", "(made of the pool's name)");
        let fault = Fault::new("whoever knows the pool's name can forge the sticky cookie");
        section.warn(field.span(), fault.hint("add `secret_file`, the same on all nodes"));
        secrets = Some(vec![sha256(format!("sticky {pool}").as_bytes())]);
    }
    Some(StickyCookie { name: name?, secrets: secrets? })
}

/// A cookie's name (RFC 6265 section 4.1.1).
fn name(text: &str) -> Result<String, Fault> {
    let sound = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    if (1..=64).contains(&text.len()) && text.bytes().all(sound) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("`{text}` is not the name of a cookie"));
    Err(fault.hint("1 to 64 letters, digits, `-` and `_`"))
}
