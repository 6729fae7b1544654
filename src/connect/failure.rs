//! Everything that can go wrong on a browser's journey, and what its page says: what happened, and what to do next. Neither
//! Pleo's words nor anything of another tenant is shown. When each is due is decided where it happens (`start`, `callback`).

use http::StatusCode;

use crate::pleo::failure::ExchangeError;
use crate::tokens::consent::ConsentError;

/// A failure page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    /// Appears on the page and in the log.
    pub(super) reference: &'static str,
    pub(super) title: &'static str,
    pub(super) happened: &'static str,
    pub(super) next: &'static str,
}

const AGAIN: &str = "Open the link you were given once more and start again.";
const NEW_LINK: &str = "Ask the person who gave you the link for a new one.";
const LATER: &str = "Wait a minute, then open the link you were given once more.";
const OPERATOR: &str =
    "Tell the person who gave you the link, with the reference below. Your link stays good.";

impl Failure {
    pub(super) const NOTHING_HERE: &Self = &Self {
        status: StatusCode::NOT_FOUND,
        reference: "nothing-here",
        title: "There is nothing here",
        happened: "This address belongs to the gateway, but to none of its pages.",
        next: "Check that the link you were given was copied whole.",
    };
    pub(super) const METHOD_REFUSED: &Self = &Self {
        status: StatusCode::METHOD_NOT_ALLOWED,
        reference: "method-refused",
        title: "That cannot be done here",
        happened: "Your browser asked for this page in a way that it does not offer.",
        next: AGAIN,
    };
    pub(super) const LINK_UNKNOWN: &Self = &Self {
        status: StatusCode::NOT_FOUND,
        reference: "link-unknown",
        title: "This link is not known",
        happened: "It may have been copied in part, or it has been gone for some time.",
        next: "Check that the link was copied whole. If it was, ask the person who gave it to you for a new one.",
    };
    pub(super) const LINK_EXPIRED: &Self = &Self {
        status: StatusCode::GONE,
        reference: "link-expired",
        title: "This link has expired",
        happened: "Links are good for a limited time, and this one's time is over. Nothing was connected.",
        next: NEW_LINK,
    };
    pub(super) const LINK_USED: &Self = &Self {
        status: StatusCode::GONE,
        reference: "link-used",
        title: "This link has been used",
        happened: "A company was connected with it, and each link is good for one connection.",
        next: "If that was you, there is nothing left to do. To connect again, ask the person who gave you the link for a new one.",
    };
    pub(super) const CROSS_SITE: &Self = &Self {
        status: StatusCode::FORBIDDEN,
        reference: "cross-site",
        title: "This has to begin on the link's own page",
        happened: "Another website tried to start this for you, and that is not allowed.",
        next: "Open the link you were given in your browser and press the button there.",
    };
    pub(super) const ANSWER_UNREADABLE: &Self = &Self {
        status: StatusCode::BAD_REQUEST,
        reference: "answer-unreadable",
        title: "The answer from Pleo could not be read",
        happened: "Your browser came back with an address that is incomplete or was changed. Nothing was connected.",
        next: AGAIN,
    };
    pub(super) const STATE_UNKNOWN: &Self = &Self {
        status: StatusCode::BAD_REQUEST,
        reference: "state-unknown",
        title: "This page is not good any more",
        happened: "Each answer from Pleo counts once and for ten minutes. This one was used already, or is too old.",
        next: "If you have just seen that your company is connected, all is well. Otherwise open the link you were given once more.",
    };
    pub(super) const OTHER_BROWSER: &Self = &Self {
        status: StatusCode::FORBIDDEN,
        reference: "other-browser",
        title: "This was begun in another browser",
        happened: "The answer from Pleo has to come back to the browser that set out, and cookies have to be allowed. Nothing was connected.",
        next: "Open the link you were given once more, and stay in one browser until the end.",
    };
    pub(super) const OTHER_ISSUER: &Self = &Self {
        status: StatusCode::FORBIDDEN,
        reference: "other-issuer",
        title: "The answer did not come from Pleo",
        happened: "It names another sender than the one that was asked. Nothing was connected.",
        next: OPERATOR,
    };
    pub(super) const DECLINED: &Self = &Self {
        status: StatusCode::OK,
        reference: "declined",
        title: "You have declined",
        happened: "Pleo was told not to give access. Nothing was connected.",
        next: "If you change your mind, open the link you were given once more. It stays good until it expires.",
    };
    pub(super) const PLEO_FAILED: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "pleo-failed",
        title: "Pleo could not go on",
        happened: "Pleo sent your browser back with an error. Nothing was connected.",
        next: "Open the link you were given once more. If it happens again, tell the person who gave it to you, with the reference below.",
    };
    const CODE_REFUSED: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "code-refused",
        title: "Pleo did not accept its own answer",
        happened: "It was too old, or had been used before. Nothing was connected.",
        next: AGAIN,
    };
    const CLIENT_REFUSED: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "client-refused",
        title: "Pleo does not know this gateway",
        happened: "The gateway's own registration with Pleo is wrong. Nothing was connected, and nothing you do can change that.",
        next: OPERATOR,
    };
    const PLEO_AWAY: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "pleo-away",
        title: "Pleo cannot be reached right now",
        happened: "Nothing was connected.",
        next: LATER,
    };
    const ANSWER_LOST: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "answer-lost",
        title: "Pleo's answer was lost on the way",
        happened: "It is not known whether Pleo gave access, and what it gave was not received. Nothing was connected.",
        next: AGAIN,
    };
    const WRONG_COMPANY: &Self = &Self {
        status: StatusCode::CONFLICT,
        reference: "wrong-company",
        title: "That was another company",
        happened: "This link is for one particular Pleo company, and you gave access to another. That access was erased here, and nothing was changed.",
        next: "Open the link you were given once more, and choose the right company at Pleo. If it was the right one, tell the person who gave you the link.",
    };
    const COMPANY_TAKEN: &Self = &Self {
        status: StatusCode::CONFLICT,
        reference: "company-taken",
        title: "This company is connected already",
        happened: "Another customer of this gateway is connected to the same Pleo company. The new access was erased here, and nothing was changed.",
        next: OPERATOR,
    };
    const UNVERIFIED: &Self = &Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reference: "unverified",
        title: "Almost done",
        happened: "Pleo gave access and it is kept safe, but Pleo did not say yet whose company it is. It is not in use until then. The gateway keeps asking by itself.",
        next: "You need not do anything now. Tell the person who gave you the link, who can see when it is done.",
    };
    const UNUSABLE: &Self = &Self {
        status: StatusCode::BAD_GATEWAY,
        reference: "unusable",
        title: "Pleo's answer cannot be used",
        happened: "What Pleo gave was refused by Pleo itself, or is incomplete. Nothing was connected.",
        next: AGAIN,
    };
    const OVERTAKEN: &Self = &Self {
        status: StatusCode::CONFLICT,
        reference: "overtaken",
        title: "Something else came first",
        happened: "While you gave access, this connection was ended or replaced, by another consent or by the people who run the gateway. The access that you gave is not in use.",
        next: OPERATOR,
    };
    const BUSY: &Self = &Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reference: "busy",
        title: "The gateway is busy with this connection",
        happened: "Another change of the same connection is under way. Nothing was changed by you.",
        next: LATER,
    };
    pub(super) const STORE_AWAY: &Self = &Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reference: "store-away",
        title: "The gateway cannot store anything right now",
        happened: "Nothing was connected.",
        next: LATER,
    };
    pub(super) const INTERNAL: &Self = &Self {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        reference: "internal",
        title: "Something went wrong in the gateway",
        happened: "This is a fault of the gateway, not yours.",
        next: OPERATOR,
    };
}

/// Why a code did not become tokens.
pub(super) fn of_exchange(error: &ExchangeError) -> &'static Failure {
    match error {
        ExchangeError::NotSent(_) | ExchangeError::RefusedForNow { .. } => Failure::PLEO_AWAY,
        ExchangeError::Rejected(_) => Failure::CODE_REFUSED,
        ExchangeError::ClientRejected(_) => Failure::CLIENT_REFUSED,
        ExchangeError::NoPair(_) => Failure::ANSWER_LOST,
    }
}

/// Why tokens were not put into use.
pub(super) fn of_consent(error: &ConsentError) -> &'static Failure {
    match error {
        ConsentError::WrongCompany { .. } => Failure::WRONG_COMPANY,
        ConsentError::CompanyTaken(_) => Failure::COMPANY_TAKEN,
        ConsentError::Unverified => Failure::UNVERIFIED,
        ConsentError::Unusable => Failure::UNUSABLE,
        ConsentError::Busy => Failure::BUSY,
        ConsentError::Overtaken => Failure::OVERTAKEN,
        ConsentError::Store(_) => Failure::STORE_AWAY,
    }
}
