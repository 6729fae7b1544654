//! Pages of a list: `limit` with `offset`, or with a cursor in `after` or `before` (pleo.md section 11).

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::api::invalid;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;
/// The alphabet of Pleo's cursors, `[A-Z2-7=~]` (RFC 4648 section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const CURSOR_DIGITS: u32 = 7;

/// One page of a list of `total` entities.
#[derive(Debug)]
pub(super) struct Page {
    total: usize,
    limit: usize,
    /// Which entities are on it.
    pub(super) range: Range<usize>,
}

impl Page {
    /// The page that the query asks for.
    pub(super) fn asked(query: &[(String, String)], total: usize) -> Result<Self, Answer> {
        let one = |name: &str| {
            query
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let many = |name: &str| query.iter().filter(|(known, _)| known == name).count();
        let limit = match one("limit") {
            Some(text) => (text.parse().ok())
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| invalid("limit is 1 to 100"))?,
            None => DEFAULT_LIMIT,
        };
        if many("sorting_keys") != many("sorting_order") && many("sorting_order") > 0 {
            return Err(invalid("sorting_keys and sorting_order differ in length"));
        }
        let wrong = || invalid("this is no cursor of ours");
        let start = match (one("offset"), one("after"), one("before")) {
            (None, None, None) => 0,
            (Some(text), None, None) => text.parse().map_err(|_| invalid("offset is a number"))?,
            (None, Some(cursor), None) => place(cursor).ok_or_else(wrong)?.saturating_add(1),
            (None, None, Some(cursor)) => {
                let end = place(cursor).ok_or_else(wrong)?.min(total);
                let range = end.saturating_sub(limit)..end;
                return Ok(Self {
                    total,
                    limit,
                    range,
                });
            }
            _ => return Err(invalid("only one of offset, after and before")),
        };
        let start = start.min(total);
        let range = start..start.saturating_add(limit).min(total);
        Ok(Self {
            total,
            limit,
            range,
        })
    }

    /// The `pagination` object of the answer.
    pub(super) fn shown(&self, query: &[(String, String)]) -> Value {
        let Range { start, end } = self.range;
        let filled = (start < end).then_some(());
        let one = |name: &str| {
            query
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, v)| v)
        };
        json!({
            "hasNextPage": end < self.total,
            "hasPreviousPage": start > 0,
            "startCursor": filled.map(|()| cursor(start)),
            "endCursor": filled.map(|()| cursor(end - 1)),
            "total": self.total,
            "currentRequestPagination": {
                "parameters": repeated(query),
                "after": one("after"),
                "before": one("before"),
                "limit": self.limit,
                "offset": one("offset").and_then(|text| text.parse::<usize>().ok()),
                "sortingKeys": all(query, "sorting_keys"),
                "sortingOrder": all(query, "sorting_order"),
            },
        })
    }
}

fn all<'q>(query: &'q [(String, String)], name: &str) -> Vec<&'q str> {
    (query.iter())
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .collect()
}

fn repeated(query: &[(String, String)]) -> Value {
    (query.iter())
        .map(|(name, _)| (name.clone(), json!(all(query, name))))
        .collect::<Map<_, _>>()
        .into()
}

/// `~` and seven digits, padded: as raw as Pleo's, so that whoever re-encodes a query is found out.
fn cursor(place: usize) -> String {
    let digits = (0..CURSOR_DIGITS)
        .rev()
        .map(|digit| char::from(BASE32[place.checked_shr(5 * digit).unwrap_or(0) & 31]));
    "~".chars().chain(digits).chain("=".chars()).collect()
}

fn place(cursor: &str) -> Option<usize> {
    let digits = cursor.strip_prefix('~')?.strip_suffix('=')?;
    if digits.len() != CURSOR_DIGITS as usize {
        return None;
    }
    digits.bytes().try_fold(0, |place: usize, byte| {
        let digit = BASE32.iter().position(|known| *known == byte)?;
        place.checked_mul(32)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect()
    }

    fn range(text: &str) -> Option<Range<usize>> {
        Page::asked(&query(text), 57).ok().map(|page| page.range)
    }

    #[test]
    fn following_the_cursors_visits_everything_once() {
        let (mut seen, mut asked) = (Vec::new(), "limit=10".to_owned());
        loop {
            let page = Page::asked(&query(&asked), 57).ok().unwrap();
            seen.extend(page.range.clone());
            let shown = page.shown(&query(&asked));
            if shown["hasNextPage"] == false {
                break;
            }
            asked = format!("limit=10&after={}", shown["endCursor"].as_str().unwrap());
        }
        assert_eq!(seen, (0..57).collect::<Vec<_>>());
    }

    #[test]
    fn going_back_ends_where_one_came_from() {
        assert_eq!(
            range(&format!("limit=10&before={}", cursor(20))),
            Some(10..20)
        );
        assert_eq!(range(&format!("limit=10&before={}", cursor(3))), Some(0..3));
        assert_eq!(range("offset=50"), Some(50..57));
        assert_eq!(range("offset=500"), Some(57..57));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "limit=0",
            "limit=101",
            "limit=x",
            "after=A",
            "offset=1&after=~AAAAAAA=",
            "offset=-1",
        ] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
