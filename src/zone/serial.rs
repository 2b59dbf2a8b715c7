//! Serial numbers of zones (RFC 1982).

/// Whether `serial` is newer than `other`. Numbers half the circle apart are not comparable
/// (RFC 1982 section 3.2), so neither is newer.
pub fn is_newer(serial: u32, other: u32) -> bool {
    serial != other && serial.wrapping_sub(other) < 1 << 31
}

/// The serial of a zone whose content changed while `last` was given out: what its file says, where
/// that is newer, else the next number. Secondaries would not take up anything that is not newer.
pub fn advance(last: u32, file: u32) -> u32 {
    if is_newer(file, last) { file } else { last.wrapping_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_compared_on_a_circle() {
        for (serial, other, newer) in [
            (1, 0, true),
            (0, 1, false),
            (7, 7, false),
            (0, u32::MAX, true),
            (u32::MAX, 0, false),
            (0x7fff_ffff, 0, true),
            (0x8000_0000, 0, false),
            (0, 0x8000_0000, false),
            (0x8000_0001, 0x8000_0000, true),
            (0x7fff_ffff, 0xffff_ffff, false),
        ] {
            assert_eq!(is_newer(serial, other), newer, "{serial} {other}");
        }
    }

    #[test]
    fn a_changed_zone_always_moves_forward() {
        for (what, last, file, expected) in [
            ("the file moved on", 5, 2_026_010_101, 2_026_010_101),
            ("health alone changed", 5, 5, 6),
            ("the file went back", 2_026_010_105, 2_026_010_101, 2_026_010_106),
            ("round the circle", u32::MAX, u32::MAX, 0),
            ("not comparable", 0, 1 << 31, 1),
        ] {
            assert_eq!(advance(last, file), expected, "{what}");
            assert!(is_newer(advance(last, file), last), "{what}");
        }
    }
}
