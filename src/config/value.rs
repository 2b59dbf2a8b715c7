//! Single values: from what is written to what is meant, or what is wrong with it.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::spec::{DurationText, RateText};
use super::wording::choice;
use crate::model::{Address, ProbeAddress};
use crate::name::Name;
use crate::prefix::{Prefix, PrefixError};

/// What is wrong with a value, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Units of a duration, in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// How a duration is written.
const DURATION_FORM: &str = "a whole number and one unit of ms, s, m, h, d, such as `\"5s\"`";

/// A duration: a whole number and a unit.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let (number, unit) = text.split_at(text.len() - digits.len());
    let fault = || {
        let fault = Fault::new(format!("`{text}` is not a duration"));
        match (number, unit) {
            (number, "") if !number.is_empty() => {
                fault.hint(format!("write `\"{number}s\"` if seconds are meant"))
            }
            _ => fault.hint(DURATION_FORM),
        }
    };
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
    milliseconds.map(Duration::from_millis).ok_or_else(fault)
}

/// A duration as an operator would write it.
pub(super) fn written(duration: Duration) -> String {
    let milliseconds = duration.as_millis() as u64;
    let (unit, scale) = UNITS
        .into_iter()
        .find(|(_, scale)| milliseconds > 0 && milliseconds.is_multiple_of(*scale))
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", milliseconds / scale)
}

/// Reads a duration in `range`.
pub(super) fn duration_in(
    key: &str,
    range: &RangeInclusive<Duration>,
) -> impl Fn(&DurationText) -> Result<Duration, Fault> {
    move |DurationText(text)| {
        let read = duration(text)?;
        if range.contains(&read) {
            return Ok(read);
        }
        let (least, most) = (written(*range.start()), written(*range.end()));
        Err(Fault::new(format!("`{key}` must be from {least} to {most}, found `{text}`")))
    }
}

/// Reads a rate in `range` of things a second; `"off"` is no bound.
pub(super) fn rate_in(
    key: &str,
    range: &RangeInclusive<u32>,
) -> impl Fn(&RateText) -> Result<Option<NonZeroU32>, Fault> {
    move |RateText(text)| {
        if text == "off" {
            return Ok(None);
        }
        let number = text.strip_suffix("/s").unwrap_or(text);
        let digits = !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit());
        if !digits || number.len() == text.len() {
            let fault = Fault::new(format!("`{text}` is not a rate"));
            return Err(if digits {
                fault.hint(format!("write `\"{number}/s\"`"))
            } else {
                fault.hint("a whole number a second, such as `\"100/s\"`, or `\"off\"`")
            });
        }
        let read = number.parse::<u32>().ok().filter(|rate| range.contains(rate));
        read.and_then(NonZeroU32::new).map(Some).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let fault = format!("`{key}` must be from {least}/s to {most}/s, found `{text}`");
            Fault::new(fault).hint("write `\"off\"` for no bound")
        })
    }
}

/// Units of a size, in octets, the longest name first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a size in `range`: a whole number and a unit.
pub(super) fn size_in(
    key: &str,
    range: &RangeInclusive<u64>,
) -> impl Fn(&String) -> Result<u64, Fault> {
    move |text| {
        let unit = SIZES.iter().find(|(name, _)| text.ends_with(name));
        let read = unit.and_then(|(name, scale)| {
            let digits = text.strip_suffix(name)?;
            let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(*scale)
        });
        let fault = Fault::new(format!("`{text}` is not a size"));
        let read = read.ok_or_else(|| {
            fault.hint("a whole number and one unit of B, KiB, MiB, GiB, such as `\"16KiB\"`")
        })?;
        if range.contains(&read) {
            return Ok(read);
        }
        let (least, most) = (size(*range.start()), size(*range.end()));
        Err(Fault::new(format!("`{key}` must be from {least} to {most}, found `{text}`")))
    }
}

/// A size as an operator would write it.
pub(super) fn size(octets: u64) -> String {
    let unit = SIZES.into_iter().find(|(_, scale)| octets.is_multiple_of(*scale));
    let (name, scale) = unit.unwrap_or(("B", 1));
    format!("{}{name}", octets / scale)
}

/// Reads a whole number in `range`.
pub(super) fn whole_in<T>(key: &str, range: &RangeInclusive<T>) -> impl Fn(&i64) -> Result<T, Fault>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |number| {
        T::try_from(*number).ok().filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            Fault::new(format!("`{key}` must be from {least} to {most}, found `{number}`"))
        })
    }
}

/// Reads a share.
pub(super) fn share(key: &str) -> impl Fn(&f64) -> Result<f64, Fault> {
    move |number| {
        if (0.0..=1.0).contains(number) {
            return Ok(*number);
        }
        let fault = Fault::new(format!("`{key}` must be from 0 to 1, found `{number}`"));
        let percent = (10.0..=100.0).contains(number);
        Err(if percent { fault.hint(format!("write `{}`", number / 100.0)) } else { fault })
    }
}

/// Reads one of a few words.
pub(super) fn word<T: Clone>(
    key: &str,
    words: &[(&str, T)],
) -> impl Fn(&String) -> Result<T, Fault> {
    move |text| match words.iter().find(|(word, _)| word == text) {
        Some((_, meaning)) => Ok(meaning.clone()),
        None => {
            Err(unknown_word(key, text, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
        }
    }
}

/// A word that is none of `known`.
pub(super) fn unknown_word(key: &str, text: &str, known: &[&str]) -> Fault {
    Fault::new(format!("unknown {key} `{text}`")).hint(choice("expected one of", text, known))
}

/// Longest name of a region, monitor, pool or network: that of a DNS label, as names end up in
/// metrics labels and dashboards.
const NAME_MAX: usize = 63;

/// The name of a region, monitor, pool, network, group or node.
pub(super) fn name(text: &str) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if (1..=NAME_MAX).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("`{text}` is not a valid name"))
        .hint(format!("1 to {NAME_MAX} characters of a-z, 0-9, `-` and `_`")))
}

/// A prefix or a single address.
pub(super) fn prefix(text: &str) -> Result<Prefix, Fault> {
    let words = || text.split([',', ';', ' ', '\t']).filter(|word| word.contains(['.', ':']));
    if words().count() > 1 {
        return Err(
            Fault::new(format!("`{text}` is more than one prefix")).hint("write each by itself")
        );
    }
    if text.contains([' ', '\t']) {
        return Err(Fault::new(format!("`{text}` is not a prefix"))
            .hint(format!("write `{}`", text.replace([' ', '\t'], ""))));
    }
    text.parse::<Prefix>().map_err(|error| match error {
        PrefixError::HostBits(meant) => {
            Fault::new(format!("`{text}` has bits set after its prefix length"))
                .hint(format!("did you mean `{meant}`?"))
        }
        PrefixError::Length(length) => {
            let most = if text.contains(':') { 128 } else { 32 };
            Fault::new(format!("`{length}` is not a prefix length, expected 0 to {most}"))
        }
        PrefixError::Address(_) => Fault::new(format!("`{text}` is not a prefix"))
            .hint("such as `203.0.113.0/24` or `2001:db8::/32`"),
    })
}

/// Address and port of a listener; `port` is the usual one, for the hint.
pub(super) fn listener(text: &str, port: u16) -> Result<SocketAddr, Fault> {
    let fault = || Fault::new(format!("`{text}` is not an address with a port"));
    let read = text.parse::<SocketAddr>().map_err(|_| match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => fault().hint(format!("such as `{v4}:{port}`")),
        Ok(IpAddr::V6(v6)) => match v6_with_port(text) {
            Some(meant) => fault().hint(format!("write `{meant}` or `[{v6}]:{port}`")),
            None => fault().hint(format!("such as `[{v6}]:{port}`")),
        },
        Err(_) => fault().hint(format!("such as `192.0.2.1:{port}` or `[2001:db8::1]:{port}`")),
    })?;
    if read.port() == 0 {
        return Err(Fault::new(format!("`{text}` has port 0, expected 1 to 65535")));
    }
    Ok(read)
}

/// What `::1:53` may have meant: an IPv6 address and a port without the brackets around the first.
fn v6_with_port(text: &str) -> Option<SocketAddr> {
    // A single digit is hardly a port.
    let (address, port) = text.rsplit_once(':').filter(|(_, port)| port.len() > 1)?;
    let address =
        address.strip_suffix(':').map_or(address.to_owned(), |start| format!("{start}::"));
    Some(SocketAddr::new(IpAddr::V6(address.parse().ok()?), port.parse().ok()?))
}

/// An IP address that can be answered to clients.
pub(super) fn ip(text: &str) -> Result<IpAddr, Fault> {
    let read = text.parse::<IpAddr>();
    let read = read.map_err(|_| Fault::new(format!("`{text}` is not an IP address")))?;
    let unusable =
        |why: &str| Fault::new(format!("`{text}` is {why}, expected the address of a server"));
    match read {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let v4 = v6.to_ipv4_mapped().map(|v4| v4.to_string()).unwrap_or_default();
            Err(unusable("an IPv4 address in IPv6 form").hint(format!("write `{v4}`")))
        }
        read if read.is_unspecified() => Err(unusable("the unspecified address")),
        read if read.is_multicast() => Err(unusable("a multicast address")),
        IpAddr::V4(v4) if v4.is_broadcast() => Err(unusable("the broadcast address")),
        read => Ok(read),
    }
}

/// An absolute hostname (RFC 952 and RFC 1123 section 2.1, and underscores as service names have).
pub(super) fn hostname(text: &str) -> Result<Name, Fault> {
    let fault = |why: &str| Fault::new(format!("`{text}` is not a hostname: {why}"));
    if text.is_empty() {
        return Err(Fault::new("the hostname is empty"));
    }
    let read = Name::parse(text, &Name::root()).map_err(|error| fault(&error.to_string()))?;
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-' || *octet == b'_';
    if !text.is_ascii() {
        let hint = "write international names in their `xn--` form";
        return Err(fault("it holds characters that are not ASCII").hint(hint));
    }
    if read.is_root() || !read.labels().all(|label| label.iter().all(plain)) {
        return Err(fault("expected letters, digits, `-` and dots"));
    }
    let hyphen = |label: &[u8]| label.starts_with(b"-") || label.ends_with(b"-");
    if read.labels().any(hyphen) {
        return Err(fault("a label starts or ends with `-`"));
    }
    // RFC 1123 section 2.1: the last label is alphabetic, which tells names from addresses.
    if read.labels().last().is_some_and(|label| label.iter().all(u8::is_ascii_digit)) {
        return Err(Fault::new(format!("`{text}` is neither an IP address nor a hostname")));
    }
    Ok(read)
}

/// An absolute URL of HTTP, or else what is `wrong`; without a password, since it ends up in logs.
pub(super) fn http_url(text: &str, wrong: Fault, password: Fault) -> Result<Uri, Fault> {
    let read = text.parse::<Uri>().ok();
    let known = read.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    match known.as_ref().and_then(Uri::authority) {
        Some(authority) if authority.as_str().contains('@') => Err(password),
        Some(_) => known.ok_or(wrong),
        None => Err(wrong),
    }
}

/// An address or hostname without a port.
pub(super) fn address(text: &str) -> Result<Address, Fault> {
    if text.parse::<IpAddr>().is_ok() {
        return ip(text).map(Address::Ip);
    }
    let fault = Fault::new(format!("`{text}` is neither an IP address nor a hostname"));
    if text.contains("://") {
        return Err(fault.hint("write the host alone; scheme, port and path belong in a monitor"));
    }
    if text.parse::<Prefix>().is_ok() || text.contains('/') {
        return Err(fault.hint("write the host alone, one endpoint for each address"));
    }
    if text.starts_with('[') || text.matches(':').count() == 1 {
        return Err(fault.hint("write the host alone; the port belongs in the monitor or `probe`"));
    }
    if text.contains(':') {
        return Err(fault);
    }
    hostname(text).map(Address::Host)
}

/// Where an endpoint is probed: a host with or without a port.
pub(super) fn probe(text: &str) -> Result<ProbeAddress, Fault> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
        None if text.matches(':').count() == 1 => {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        }
        None => (text, None),
    };
    let port = match port {
        Some(port) => {
            Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
                Fault::new(format!("`{port}` is not a port, expected 1 to 65535"))
            })?)
        }
        None => None,
    };
    Ok(ProbeAddress { address: address(host)?, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit_and_written_back_alike() {
        for (text, milliseconds) in
            [("0s", 0), ("250ms", 250), ("5s", 5_000), ("10m", 600_000), ("7d", 604_800_000)]
        {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(written(read), text);
        }
        assert_eq!(written(duration("60s").unwrap()), "1m");
        for text in ["", "5", "s", "5 s", "-5s", "1h30m", "5S", "5w", "1.5s", "99999999999999999d"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        let read = |text: &str| size_in("body", &(1..=1 << 30))(&text.to_owned());
        for (text, octets) in [("1B", 1), ("16KiB", 16 << 10), ("2MiB", 2 << 20), ("1GiB", 1 << 30)]
        {
            assert_eq!(read(text), Ok(octets), "{text}");
            assert_eq!(size(octets), text);
        }
        for text in ["", "B", "1", "1 KiB", "+1B", "1KB", "0B", "2GiB", "99999999999999999GiB"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_a_number_a_second_or_off() {
        let read = |text: &str| rate_in("error", &(1..=1_000))(&RateText(text.to_owned()));
        assert_eq!(read("off").unwrap(), None);
        for (text, number) in [("1/s", 1), ("100/s", 100), ("1000/s", 1_000)] {
            assert_eq!(read(text).unwrap().map(NonZeroU32::get), Some(number), "{text}");
        }
        for text in
            ["", "/s", "100", "0/s", "1001/s", "1/m", "-1/s", "+1/s", "1.5/s", "Off", "1 /s"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_addresses_or_hostnames_without_a_port() {
        for text in ["192.0.2.1", "2001:db8::1", "lb.example.net", "lb.example.net.", "a_b.example"]
        {
            assert!(address(text).is_ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "192.0.2.300",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "https://a.example",
            "a b",
            "-a.example",
            "a..b",
            "192.0.2.0/24",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "::ffff:192.0.2.1",
            "2001:db8::x",
            "255.255.255.255",
            "*.example",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn probe_addresses_take_a_port_in_the_usual_forms() {
        for (text, host, port) in [
            ("10.1.0.10:8080", "10.1.0.10", Some(8080)),
            ("10.1.0.10", "10.1.0.10", None),
            ("lb.example.net:81", "lb.example.net.", Some(81)),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("2001:db8::1", "2001:db8::1", None),
        ] {
            let read = probe(text).unwrap();
            let shown = match read.address {
                Address::Ip(ip) => ip.to_string(),
                Address::Host(name) => name.to_string(),
            };
            assert_eq!((shown.as_str(), read.port), (host, port), "{text}");
        }
        for text in ["a.example:", "a.example:0", "a.example:65536", "[::1]x", ":80", "[::1"] {
            assert!(probe(text).is_err(), "{text}");
        }
    }
}
