//! Any octets where a PROXY header is expected: a header is read as it was written, within a bound,
//! and nothing behind it is taken.

use meridian::proxy_header::{HEADER_MAX, Read, Version, read, write};

/// The input is what comes first over a connection.
pub fn run(input: &[u8]) {
    let whole = read(input);
    let mut taken = 0;
    let pieces = loop {
        match read(&input[..taken]) {
            Ok(Read::Needs(more)) => {
                taken += more;
                assert!(more > 0 && taken <= HEADER_MAX, "{taken} octets are waited for");
                if taken > input.len() {
                    return;
                }
            }
            other => break other,
        }
    };
    assert_eq!(pieces, whole, "in pieces and as a whole");
    let Ok(Read::Whole { length, ends }) = pieces else { return };
    assert_eq!(length, taken, "octets of the client's were taken");
    for version in [Version::V1, Version::V2] {
        let written = write(version, ends);
        let Ok(Read::Whole { length, ends: again }) = read(&written) else {
            panic!("{version:?}: {written:02x?}")
        };
        assert_eq!(length, written.len(), "{version:?}");
        assert_eq!(again.is_some(), ends.is_some(), "{version:?}");
        let (Some(ends), Some(again)) = (ends, again) else { continue };
        for (before, after) in [(ends.source, again.source), (ends.destination, again.destination)]
        {
            let same = before.ip().to_canonical() == after.ip().to_canonical();
            assert!(same && before.port() == after.port(), "{version:?}: {before} as {after}");
        }
    }
}
