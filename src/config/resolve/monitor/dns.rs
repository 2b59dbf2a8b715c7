//! The keys of kind `dns`.

use hickory_proto::rr::{RData, RecordType};

use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{MonitorTable, TextOrList};
use crate::config::value::{Fault, whole_in, word};
use crate::model::{DnsCheck, DnsTransport, ExpectedRecord};
use crate::name::Name;

/// The response codes by name (RFC 1035 section 4.1.1).
const RCODES: [(&str, u16); 6] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
];

/// Most records that are expected; no answer over UDP holds more.
const RECORDS_MAX: usize = 64;

/// Resolves the keys of the kind.
pub(super) fn resolve(section: &mut Section<'_>, table: &MonitorTable) -> Option<DnsCheck> {
    let port = section.value("port", &table.port, d::DNS_PORT, whole_in("port", &d::PORT_RANGE));
    let name = section.required("name", table.name.as_ref(), |text| name(text));
    let rtype = section.value("type", &table.r#type, d::DNS_TYPE, |text| rtype(text));
    let words = [("udp", DnsTransport::Udp), ("tcp", DnsTransport::Tcp)];
    let read = word("transport", &words);
    let transport = section.value("transport", &table.transport, d::DNS_TRANSPORT, read);
    let read = |flag: &bool| Ok(*flag);
    let recursion = section.value("recursion", &table.recursion, d::RECURSION, read);
    let read = word("expect_rcode", &RCODES);
    let expect_rcode = section.value("expect_rcode", &table.expect_rcode, d::EXPECT_RCODE, read);
    let read = |written: &TextOrList| records(written, rtype);
    let expect = section.optional("expect", table.expect.as_ref(), read).unwrap_or_default();
    if let Some(field) = table.expect.as_ref().filter(|_| expect_rcode != 0 && !expect.is_empty()) {
        let fault = Fault::new("`expect` cannot be met, since other codes come without records");
        section.error(field.span(), fault.hint("write `expect_rcode = \"NOERROR\"`"));
    }
    let rtype = u16::from(rtype);
    Some(DnsCheck { port, transport, name: name?, rtype, recursion, expect_rcode, expect })
}

/// The name asked for; unlike a hostname it may hold any octet.
fn name(text: &str) -> Result<Name, Fault> {
    Name::parse(text, &Name::root())
        .map_err(|error| Fault::new(format!("`{text}` is not a name: {error}")))
}

/// A type of record, not one of those that ask for something else.
fn rtype(text: &str) -> Result<RecordType, Fault> {
    let fault = || {
        let fault = Fault::new(format!("`{text}` is not a type of record"));
        fault.hint("such as `A`, `AAAA`, `MX` or `SOA`")
    };
    let read: RecordType = text.parse().map_err(|_| fault())?;
    // RFC 6895 section 3.1: 128 to 255 are types of questions; 41 is OPT.
    let question = (128..=255).contains(&u16::from(read)) || matches!(u16::from(read), 0 | 41);
    if question { Err(fault()) } else { Ok(read) }
}

/// The records that must be in the answer.
fn records(written: &TextOrList, rtype: RecordType) -> Result<Vec<ExpectedRecord>, Fault> {
    let TextOrList::List(list) = written else {
        return Err(Fault::new("`expect` of kind `dns` is a list of records")
            .hint("such as [\"192.0.2.1\"]"));
    };
    if list.len() > RECORDS_MAX {
        let found = list.len();
        let fault = format!("`expect` has {found} records, expected at most {RECORDS_MAX}");
        return Err(Fault::new(fault));
    }
    let mut records: Vec<ExpectedRecord> = Vec::new();
    for text in list {
        let record = RData::try_from_str(rtype, text).ok();
        let rdata = record.as_ref().and_then(ExpectedRecord::wire);
        let rdata = rdata.ok_or_else(|| {
            Fault::new(format!("`{text}` is not the data of a record of type {rtype}"))
        })?;
        if records.iter().any(|other| other.rdata == rdata) {
            return Err(Fault::new(format!("`{text}` is listed twice")));
        }
        records.push(ExpectedRecord { text: text.clone(), rdata });
    }
    Ok(records)
}
