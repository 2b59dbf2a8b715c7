//! The keys of kind `grpc`.

use super::http::{host, scheme_and_port};
use super::tls;
use crate::config::sheet::Section;
use crate::config::spec::MonitorTable;
use crate::config::value::Fault;
use crate::model::GrpcCheck;

/// Longest name of a service, in octets.
const SERVICE_MAX: usize = 255;

/// Resolves the keys of the kind.
pub(super) fn resolve(section: &mut Section<'_>, table: &MonitorTable) -> GrpcCheck {
    let (scheme, port) = scheme_and_port(section, table);
    let host = section.optional("host", table.host.as_ref(), |text| host(text));
    let service = section.optional("service", table.service.as_ref(), |text| service(text));
    let (verify_certificate, expires_within) = tls::certificate(section, table, scheme);
    let service = service.unwrap_or_default();
    GrpcCheck { scheme, port, host, service, verify_certificate, expires_within }
}

/// The name of a service, such as `shop.v1.Cart`.
fn service(text: &str) -> Result<String, Fault> {
    if (1..=SERVICE_MAX).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(format!("`{}` is not the name of a service", text.escape_debug()));
    Err(fault.hint("such as \"shop.v1.Cart\"; left out, the server as a whole is asked after"))
}
