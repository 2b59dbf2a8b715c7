//! tokens.toml: who may use the admin listener.

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::config::sheet::Sheet;
use crate::config::spec::TokensFile;
use crate::config::value::{Fault, name, word};
use crate::model::{Role, Token};

/// What a hash starts with: how it was made.
const KIND: &str = "sha256:";

/// Resolves the file.
pub(in crate::config) fn resolve(spec: &TokensFile, sheet: &mut Sheet) -> Vec<Token> {
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    let mut tokens: Vec<Token> = Vec::new();
    for (text, table) in &spec.token {
        if let Err(fault) = name(text.get_ref()) {
            top.error(text.span(), fault);
        }
        let mut section = top.named("token", text.get_ref(), table.span());
        let table = &table.get_ref().0;
        let words = [("read", Role::Read), ("operate", Role::Operate)];
        let role = section.required("role", table.role.as_ref(), word("role", &words));
        // What stands in the place of a hash may be a token, so its line is not shown.
        let at = table.hash.as_ref().map(|hash| (hash.span(), digest(hash.get_ref())));
        let digest = if let Some((span, read)) = at {
            let span = if read.is_ok() { span } else { text.span() };
            section.read("hash", span, read)
        } else {
            section.missing("hash");
            None
        };
        let (Some(role), Some(digest)) = (role, digest) else { continue };
        if let Some(other) = tokens.iter().find(|other| other.digest == digest) {
            let what = format!("token `{}` is the same as `{}`", text.get_ref(), other.name);
            let fault = Fault::new(what).hint("make another one with `meridian admin token`");
            top.error(text.span(), fault);
        }
        tokens.push(Token { name: text.get_ref().clone(), role, digest });
    }
    tokens
}

fn digest(text: &str) -> Result<[u8; 32], Fault> {
    let octets = text.strip_prefix(KIND).and_then(|hex| {
        let octets = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        octets.try_into().ok()
    });
    octets.ok_or_else(|| {
        let hint = "write what `meridian admin token` prints, `sha256:` and 64 hex digits";
        Fault::new("this is not the hash of a token").hint(hint)
    })
}
