//! Files of secrets that sign something, and are rolled over.

use crate::config::value::Fault;

/// Most secrets: each one costs a hash for whatever is not signed by us. A roll-over needs two.
const SECRETS_MAX: usize = 4;

/// Reads secrets divided by white space, without comments; `hint` says how one looks. What is wrong
/// is never shown, since findings end up in logs.
///
/// # Errors
/// When there is none, there are too many, or one is no secret or stands there twice.
pub(super) fn secrets<S: PartialEq>(
    text: &str,
    from: &str,
    hint: &str,
    read: impl Fn(&str) -> Option<S>,
) -> Result<Vec<S>, Fault> {
    let mut all = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for word in line.split('#').next().unwrap_or_default().split_whitespace() {
            let secret = read(word).ok_or_else(|| {
                Fault::new(format!("line {number} of `{from}` is not a secret")).hint(hint)
            })?;
            if all.contains(&secret) {
                return Err(Fault::new(format!("`{from}` holds a secret twice")));
            }
            all.push(secret);
        }
    }
    match all.len() {
        0 => Err(Fault::new(format!("`{from}` holds no secret")).hint(hint)),
        1..=SECRETS_MAX => Ok(all),
        count => Err(Fault::new(format!("`{from}` holds {count} secrets"))
            .hint(format!("{SECRETS_MAX} at most; remove the oldest"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_one_a_line_and_are_never_shown() {
        let read = |word: &str| word.strip_prefix("secret-")?.parse::<u8>().ok();
        let all = |text: &str| secrets(text, "key", "a number", read);
        assert_eq!(all("# now\nsecret-1\n\n  secret-2 # before\n"), Ok(vec![1, 2]));
        assert_eq!(all("secret-1 secret-2"), Ok(vec![1, 2]), "as in a variable");
        let five = "secret-1\nsecret-2\nsecret-3\nsecret-4\nsecret-5";
        for text in ["", "# nothing\n", "public", "secret-1\nsecret-x", "secret-1 secret-1", five] {
            let Fault { what, .. } = all(text).unwrap_err();
            assert!(!what.contains("secret-"), "{what}");
        }
    }
}
