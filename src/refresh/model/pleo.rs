//! A strict Pleo: every refresh rotates both tokens and kills the old access token at once; a replaced refresh token
//! ends the whole authorisation when it is presented. A consent replaces the pair of the old authorisation, or leaves it
//! alone: both happen.

/// A pair that Pleo gave: of which authorisation, and which of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token {
    pub(super) grant: u8,
    pub(super) pair: u8,
}

/// One authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Grant {
    /// The only pair that is any good.
    current: u8,
    ended: bool,
}

/// All that were given for this tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pleo {
    grants: Vec<Grant>,
}

/// What the token endpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// The next pair.
    Pair(Token),
    /// `invalid_grant`.
    Rejected,
    /// 429.
    TooMany,
}

impl Pleo {
    pub(super) fn new() -> Self {
        let mut pleo = Self { grants: Vec::new() };
        pleo.grant();
        pleo
    }

    /// A new authorisation beside the others.
    pub(super) fn grant(&mut self) -> Token {
        self.grants.push(Grant {
            current: 0,
            ended: false,
        });
        Token {
            grant: self.latest(),
            pair: 0,
        }
    }

    /// The same company consents once more: the pair of its last authorisation is replaced, unless that has ended.
    pub(super) fn consent_again(&mut self) -> Token {
        let grant = self.latest();
        if self.has_ended(grant) {
            return self.grant();
        }
        let of = &mut self.grants[usize::from(grant)];
        of.current += 1;
        Token {
            grant,
            pair: of.current,
        }
    }

    /// The last authorisation that was given.
    pub(super) fn latest(&self) -> u8 {
        u8::try_from(self.grants.len() - 1).unwrap_or(u8::MAX)
    }

    /// The token endpoint.
    pub(super) fn refresh(&mut self, presented: Token) -> Answer {
        let grant = &mut self.grants[usize::from(presented.grant)];
        if grant.ended || presented.pair != grant.current {
            grant.ended = true;
            return Answer::Rejected;
        }
        grant.current += 1;
        Answer::Pair(Token {
            pair: grant.current,
            ..presented
        })
    }

    /// Introspection, but for age.
    pub(super) fn accepts(&self, token: Token) -> bool {
        let grant = self.grants[usize::from(token.grant)];
        !grant.ended && token.pair == grant.current
    }

    pub(super) fn has_ended(&self, grant: u8) -> bool {
        self.grants[usize::from(grant)].ended
    }

    /// The customer ends everything.
    pub(super) fn revoke(&mut self) {
        for grant in &mut self.grants {
            grant.ended = true;
        }
    }
}

impl Token {
    /// As the row keeps it.
    pub(super) fn text(self) -> String {
        format!("{}.{}", self.grant, self.pair)
    }

    /// From the row.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (grant, pair) = text.split_once('.')?;
        Some(Self {
            grant: grant.parse().ok()?,
            pair: pair.parse().ok()?,
        })
    }
}
