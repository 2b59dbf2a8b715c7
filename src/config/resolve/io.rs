//! How UDP queries come in: `dns.io` and `[dns.xdp]`.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{DnsTable, XdpTable};
use crate::config::value::{Fault, word};
use crate::model::Io;

/// Longest name of an interface (`IFNAMSIZ`, less the zero octet at its end).
const INTERFACE_MAX: usize = 15;

/// Resolves the keys; `dns` is the section of `table`.
pub(super) fn resolve(dns: &mut Section<'_>, table: &DnsTable) -> Io {
    let xdp = Io::Xdp { interface: String::new() };
    let words = [("mmsg", Io::Mmsg), ("single", Io::Single), ("xdp", xdp)];
    let read = word("io", &words);
    let io = dns.value("io", &table.io, d::IO, |text| match read(text)? {
        Io::Xdp { .. } if !cfg!(feature = "xdp") => {
            let fault = Fault::new("this program was built without `xdp`");
            Err(fault.hint("build it with `cargo build --release --features xdp`"))
        }
        io => Ok(io),
    });
    let header = table.xdp.as_ref().map(Spanned::span);
    let asked = table.io.as_ref().is_some_and(|io| io.get_ref() == "xdp");
    if let Some(header) = header.clone().filter(|_| !asked) {
        let fault = Fault::new("`[dns.xdp]` has no effect with this `io`");
        dns.error(header, fault.hint("write `io = \"xdp\"` in [dns]"));
    }
    let empty = XdpTable::default();
    let xdp = table.xdp.as_ref().map_or(&empty, |table| &table.get_ref().0);
    let header = header.unwrap_or_else(|| dns.header());
    let mut section = dns.inside("xdp", header);
    if !matches!(io, Io::Xdp { .. }) {
        section.optional("interface", xdp.interface.as_ref(), |text| interface(text));
        return io;
    }
    let name = section.required("interface", xdp.interface.as_ref(), |text| interface(text));
    Io::Xdp { interface: name.unwrap_or_default() }
}

/// What the kernel takes as the name of an interface.
fn interface(text: &str) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_graphic() && c != '/';
    let known = !matches!(text, "" | "." | "..");
    if known && text.len() <= INTERFACE_MAX && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("`{}` is no name of an interface", text.escape_debug()));
    Err(fault.hint(format!("at most {INTERFACE_MAX} characters, as `ip link` shows them")))
}
