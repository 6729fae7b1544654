//! A route: which calls it means, what they need, and how they are treated. Matching is not here (`model::route_table`).

use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::caller::Rate;
use super::ids::{CallerName, RouteName};
use super::path;
use super::scope::ScopeSet;

/// One route of the table.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks of one route, not states"
)]
pub struct Route {
    /// Its name: fit for a metric label.
    pub name: RouteName,
    /// The methods it means, by exact bytes; empty is every method.
    pub methods: Vec<Method>,
    /// The paths it means.
    pub template: Template,
    /// All are required.
    pub scopes: ScopeSet,
    /// False if Pleo does not document the scopes: a scope missing from the grant is then observed, not enforced.
    pub scopes_documented: bool,
    /// Where it came from; an explicit route beats the catalogue at equal shape.
    pub origin: RouteOrigin,
    /// Refuses what it matches.
    pub deny: bool,
    /// Only these callers, sorted; empty is every caller.
    pub callers: Vec<CallerName>,
    /// The query key that must name the connection's company: `company = "query:company_id"`.
    pub company_query: Option<String>,
    /// Reports what enforcement would refuse, and lets it pass.
    pub observe: bool,
    /// The whole of a request; `None` is `[limits].request_timeout`.
    pub timeout: Option<Duration>,
    /// `None` is `[limits].max_request_body`.
    pub max_request_body: Option<u64>,
    /// `None` is `[limits].replay_buffer`.
    pub replay_buffer: Option<usize>,
    /// Lets Pleo's `Set-Cookie` pass.
    pub allow_set_cookie: bool,
    /// Calls a time.
    pub rate: Option<Rate>,
    /// Calls at once.
    pub max_in_flight: Option<NonZeroU32>,
}

impl Route {
    /// A route for every method and every caller that needs no scope and has no limits of its own.
    pub fn new(name: RouteName, template: Template, origin: RouteOrigin) -> Self {
        Self {
            name,
            methods: Vec::new(),
            template,
            scopes: ScopeSet::default(),
            scopes_documented: true,
            origin,
            deny: false,
            callers: Vec::new(),
            company_query: None,
            observe: false,
            timeout: None,
            max_request_body: None,
            replay_buffer: None,
            allow_set_cookie: false,
            rate: None,
            max_in_flight: None,
        }
    }

    /// True if the route means this method, by exact bytes.
    pub fn means(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// This route for the callers of another one too.
    pub(super) fn denying_also(&self, other: &Self) -> Self {
        let mut callers = [&self.callers[..], &other.callers].concat();
        if self.callers.is_empty() || other.callers.is_empty() {
            callers.clear();
        }
        callers.sort();
        callers.dedup();
        Self {
            callers,
            ..self.clone()
        }
    }

    /// True if the route means this caller.
    pub fn is_for(&self, caller: &CallerName) -> bool {
        self.callers.is_empty() || self.callers.binary_search(caller).is_ok()
    }
}

/// Where a route came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// Written by the operator.
    Explicit,
    /// Imported from the catalogue.
    Catalogue,
}

/// A path template: `/v1/vendors/{id}:archive`, `/files/{*rest}` (contract.md section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this text; empty for what follows a trailing slash.
    Literal(String),
    /// Any text without a `:`, then this suffix (`""`, or `:archive`).
    Parameter {
        /// The name between the braces.
        name: String,
        /// What follows the closing brace.
        suffix: String,
    },
    /// All that remains, last only.
    Rest {
        /// The name between the braces.
        name: String,
    },
}

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each means")]
pub enum InvalidTemplate {
    #[error("a template begins with '/'")]
    NoSlash,
    #[error(
        "'{{' and '}}' must come in pairs, with a name between them, and nothing before '{{' in its segment"
    )]
    Braces,
    #[error("'{{*name}}' stands alone in the last segment")]
    RestNotLast,
    #[error("the parameter name '{0}' is used twice")]
    NameTwice(String),
    #[error(
        "a template is written as paths are matched: of ASCII letters, digits and -._~:@!$&'()*+,= only; without '//', and without '.' at the end of a segment"
    )]
    NotCanonical,
    #[error("a template has no '%': what is escaped in a path is matched by a parameter only")]
    Escape,
    #[error("a template has no ';': a path with one is always refused")]
    Semicolon,
}

impl Template {
    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments in order; `/` has one empty literal.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True if every path that `self` means, `other` means too.
    pub fn is_within(&self, other: &Self) -> bool {
        let (mut own, mut others) = (self.segments.iter(), other.segments.iter());
        loop {
            match (own.next(), others.next()) {
                (None, None) | (Some(_), Some(Segment::Rest { .. })) => return true,
                (Some(one), Some(other)) if one.is_within(other) => {}
                _ => return false,
            }
        }
    }

    /// Parses the notation of contract.md section 2.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let path = text.strip_prefix('/').ok_or(InvalidTemplate::NoSlash)?;
        let words: Vec<&str> = path.split('/').collect();
        let last = words.len() - 1;
        let mut names: Vec<&str> = Vec::new();
        let mut segments = Vec::with_capacity(words.len());
        for (place, word) in words.iter().enumerate() {
            let segment = Segment::parse(word, place == last)?;
            if let Segment::Parameter { name, .. } | Segment::Rest { name } = &segment {
                if names.contains(&name.as_str()) {
                    return Err(InvalidTemplate::NameTwice(name.clone()));
                }
                names.push(
                    word[1..]
                        .split(['}'])
                        .next()
                        .unwrap_or_default()
                        .trim_start_matches('*'),
                );
            }
            segments.push(segment);
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }
}

impl Segment {
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one == other,
            (Self::Literal(text), Self::Parameter { suffix, .. }) => is_value(text, suffix),
            (Self::Parameter { suffix, .. }, Self::Parameter { suffix: other, .. }) => suffix
                .strip_suffix(other.as_str())
                .is_some_and(|before| !before.contains(':')),
            _ => false,
        }
    }

    fn parse(word: &str, last: bool) -> Result<Self, InvalidTemplate> {
        let Some(open) = word.strip_prefix('{') else {
            return Self::literal(word, last);
        };
        let (name, suffix) = open.split_once('}').ok_or(InvalidTemplate::Braces)?;
        let (rest, name) = match name.strip_prefix('*') {
            Some(name) => (true, name),
            None => (false, name),
        };
        let named = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !named || suffix.contains(['{', '}']) {
            return Err(InvalidTemplate::Braces);
        }
        check_literal(suffix)?;
        match (rest, last, suffix.is_empty()) {
            (true, true, true) => Ok(Self::Rest {
                name: name.to_owned(),
            }),
            (true, _, _) => Err(InvalidTemplate::RestNotLast),
            (false, _, _) => Ok(Self::Parameter {
                name: name.to_owned(),
                suffix: suffix.to_owned(),
            }),
        }
    }

    fn literal(word: &str, last: bool) -> Result<Self, InvalidTemplate> {
        if word.contains(['{', '}']) {
            return Err(InvalidTemplate::Braces);
        }
        if word.is_empty() && !last {
            return Err(InvalidTemplate::NotCanonical);
        }
        check_literal(word)?;
        Ok(Self::Literal(word.to_owned()))
    }
}

/// True if the text is a value of a parameter, not empty and without `:`, then this suffix.
pub(super) fn is_value(text: &str, suffix: &str) -> bool {
    text.strip_suffix(suffix)
        .is_some_and(|value| !value.is_empty() && !value.contains(':'))
}

/// No path that is matched has anything else (`CanonicalPath`).
fn check_literal(text: &str) -> Result<(), InvalidTemplate> {
    if text.contains('%') {
        return Err(InvalidTemplate::Escape);
    }
    if text.contains(';') {
        return Err(InvalidTemplate::Semicolon);
    }
    if text.bytes().all(path::is_plain) && !text.ends_with('.') {
        Ok(())
    } else {
        Err(InvalidTemplate::NotCanonical)
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::super::path::CanonicalPath;
    use super::*;

    #[test]
    fn templates_of_the_catalogue_parse() {
        let template = Template::parse("/v1/vendors/{id}:archive").unwrap();
        assert_eq!(
            template.segments()[2],
            Segment::Parameter {
                name: "id".into(),
                suffix: ":archive".into()
            }
        );
        assert_eq!(
            Template::parse("/v1/installations/me:activate")
                .unwrap()
                .segments()
                .len(),
            3
        );
        assert_eq!(
            Template::parse("/").unwrap().segments(),
            [Segment::Literal(String::new())]
        );
        assert_eq!(
            Template::parse("/{*rest}").unwrap().segments(),
            [Segment::Rest {
                name: "rest".into()
            }]
        );
    }

    #[test]
    fn what_is_no_template_is_named() {
        use InvalidTemplate as E;
        for (text, error) in [
            ("v1", E::NoSlash),
            ("/{a", E::Braces),
            ("/x{a}", E::Braces),
            ("/{}", E::Braces),
            ("/{*r}/x", E::RestNotLast),
            ("/{a}/{a}", E::NameTwice("a".into())),
            ("/a//b", E::NotCanonical),
            ("/a/../b", E::NotCanonical),
            ("/a?b", E::NotCanonical),
            ("/a[b]", E::NotCanonical),
            ("/a.", E::NotCanonical),
            ("/a./b", E::NotCanonical),
            ("/{a}.", E::NotCanonical),
            ("/a%20b", E::Escape),
            ("/a;b", E::Semicolon),
            ("/{a};b", E::Semicolon),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    /// What no path can be would be a route that means nothing.
    #[test]
    fn what_stands_for_itself_in_a_template_does_so_in_a_path() {
        for byte in 0..=0x7F_u8 {
            let text = format!("/a{}b", char::from(byte));
            let Ok(template) = Template::parse(&text) else {
                continue;
            };
            let target = PathAndQuery::try_from(template.as_str()).unwrap();
            let path = CanonicalPath::parse(&target).unwrap();
            assert_eq!(path.target().as_str(), text);
        }
    }

    #[test]
    fn one_template_is_within_another_if_it_means_no_other_paths() {
        for (one, other, within) in [
            ("/v1/vendors/{id}", "/v1/vendors/{vendorId}", true),
            ("/v1/vendors/me", "/v1/vendors/{id}", true),
            ("/v1/vendors/{id}:archive", "/v1/vendors/{id}:archive", true),
            ("/v1/vendors/{id}:archive", "/v1/vendors/{id}", false),
            ("/v1/vendors/{id}.pdf", "/v1/vendors/{id}", true),
            ("/v1/vendors/{id}", "/v1/vendors/{id}.pdf", false),
            ("/v1/{family}/{id}", "/v1/vendors/{id}", false),
            ("/v1/{*rest}", "/v1/vendors/{id}", false),
            ("/v1/vendors/{id}", "/v1/{*rest}", true),
            ("/v1/{*rest}", "/{*rest}", true),
            ("/v1/vendors", "/v1/vendors/", false),
            ("/v1/vendors/", "/v1/vendors/{id}", false),
        ] {
            let parse = |text| Template::parse(text).unwrap();
            assert_eq!(
                parse(one).is_within(&parse(other)),
                within,
                "{one} in {other}"
            );
        }
    }
}
