//! A target's query: checked and read, but never rewritten, since it is forwarded byte for byte.

use std::borrow::Cow;

use url::form_urlencoded;

use super::path::InvalidTarget;

/// Refuses bytes that no query may have unencoded, and a token in it.
pub(super) fn check(query: &str) -> Result<(), InvalidTarget> {
    for byte in query.bytes() {
        match byte {
            0..=0x1F | 0x7F => return Err(InvalidTarget::Control),
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                return Err(InvalidTarget::MustBeEncoded);
            }
            _ => {}
        }
    }
    let mut keys = query
        .split('&')
        .filter_map(|pair| pairs(pair.split('=').next()?).next());
    if keys.any(|(key, _)| key == "access_token") {
        return Err(InvalidTarget::TokenInQuery);
    }
    Ok(())
}

/// The pairs of a query, with escapes and `+` decoded as in a form.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_harmless_queries_pass() {
        for query in [
            "",
            "&&",
            "a=%zz&a=&=b",
            "filter[x]=1+2",
            "access_tokens=1",
            "a=access_token",
        ] {
            assert_eq!(check(query), Ok(()), "{query}");
        }
    }

    #[test]
    fn a_token_is_found_however_its_key_is_written() {
        for query in [
            "access_token",
            "a&access_token=x",
            "acces%73%5ftoken=x",
            "access_token=&access_token",
        ] {
            assert_eq!(check(query), Err(InvalidTarget::TokenInQuery), "{query}");
        }
    }

    #[test]
    fn what_must_be_encoded_is_refused() {
        for query in ["é", "a={}", "a=\"", "a=<b>", "a b", "a\\b", "a|b"] {
            assert_eq!(check(query), Err(InvalidTarget::MustBeEncoded), "{query}");
        }
        assert_eq!(check("a\r\nb"), Err(InvalidTarget::Control));
    }
}
