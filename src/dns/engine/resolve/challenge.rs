//! TXT records that certificate authorities ask for, beside what the zone holds.

use super::{Found, Full, QueryName, Resolver, pointer, rtype};

/// Challenges come and go within a minute, so nobody is to keep their answers.
const TTL: u32 = 1;

impl Resolver<'_, '_, '_> {
    /// Answers for a name that an authority asks for (RFC 8555 section 8.4), which then exists,
    /// and whose own text comes before that of a wildcard; `false`: it is for the zone to answer.
    #[inline]
    pub(super) fn challenged(
        &mut self,
        name: &QueryName,
        found: Found<'_>,
        at: usize,
    ) -> Result<bool, Full> {
        match self.challenges.answers() {
            None => Ok(false),
            Some(answers) => self.challenge(answers.texts(name.as_wire()), found, at),
        }
    }

    /// [`Self::challenged`], where an authority asks for something.
    fn challenge(
        &mut self,
        texts: &[Box<[u8]>],
        found: Found<'_>,
        at: usize,
    ) -> Result<bool, Full> {
        // What is delegated, or redirected, is for others to answer.
        if texts.is_empty() || matches!(found, Found::Cut(..) | Found::Dname(..)) {
            return Ok(false);
        }
        if matches!(self.parsed.qtype, rtype::TXT | rtype::ANY) {
            for text in texts {
                self.text(text, at)?;
            }
            return Ok(true);
        }
        let exists = matches!(found, Found::Name(_));
        if !exists {
            self.negative(TTL)?;
        }
        Ok(!exists)
    }

    /// Writes a TXT record of one string (RFC 1035 section 3.3.14).
    fn text(&mut self, text: &[u8], at: usize) -> Result<(), Full> {
        let Ok(length) = u8::try_from(text.len()) else { return Ok(()) };
        let ([o0, o1], [t0, t1]) = (pointer(at).to_be_bytes(), rtype::TXT.to_be_bytes());
        let ([a, b, c, d], [l0, l1]) = (TTL.to_be_bytes(), (u16::from(length) + 1).to_be_bytes());
        self.writer.put(&[o0, o1, t0, t1, 0, 1, a, b, c, d, l0, l1, length])?;
        self.writer.put(text)?;
        self.outcome.answers += 1;
        Ok(())
    }
}
