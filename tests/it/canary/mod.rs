//! Secrets that tests plant, and what the programs of a test may not say: whatever a test is about, all that is said,
//! answered and left behind is searched. Folders are searched by `home`, the words of programs and answers by the harness
//! and the stand. The forms that are looked for are in `forms`; events of this very process are in `heard`.

mod forms;
mod heard;
mod home;

use std::cell::RefCell;
use std::sync::LazyLock;

use pleo_gateway::sandbox::{CLIENT_SECRET, INTEGRATED_KEY, STANDALONE_KEY};

pub(crate) use self::home::Home;

use self::forms::{Form, Net, forms};

/// One of these is in every secret that a test plants or the sandbox makes. What a test sends as a credential and has none of
/// them fails the test (`assert_known`): nobody would notice it where it should not be.
const STEMS: [(&str, &str); 8] = [
    ("a secret of a test", "-canary"),
    ("an access token of the sandbox", "sandbox_access_"),
    ("a refresh token of the sandbox", "sandbox_refresh_"),
    ("a code of the sandbox", "sandbox_code_"),
    ("the client's secret", CLIENT_SECRET),
    ("an API key of the sandbox", INTEGRATED_KEY),
    ("an API key of the sandbox", STANDALONE_KEY),
    ("the key of the demo", "demo-key"),
];

/// Before what programs make up and tell once: a caller's key, a link, the state and the cookie of a consent.
const TOLD_AFTER: [&str; 4] = ["pgw_", "/connect/", "state=", "pleo-connect="];
/// What is made up is at least so long.
const LEAST_MADE_UP: usize = 40;
/// Nothing longer tells what was made up.
const LONGEST_TELLING: usize = 64 * 1024;

/// What this test looks for: the stems, and what it was told.
struct Sought {
    told: Vec<String>,
    forms: Vec<Form>,
    net: Net,
}

thread_local! {
    static SOUGHT: RefCell<Sought> = RefCell::new(Sought::new());
}

/// For those who have nothing to do with one test.
static STEMS_NET: LazyLock<Net> = LazyLock::new(|| Net::of(stems()));

fn stems() -> Vec<Form> {
    let stems = STEMS.iter();
    stems
        .flat_map(|(name, stem)| forms(name, stem.as_bytes()))
        .collect()
}

impl Sought {
    fn new() -> Self {
        let forms = stems();
        Self {
            told: Vec::new(),
            net: Net::of(forms.clone()),
            forms,
        }
    }

    fn tell(&mut self, name: &str, secret: &str) {
        if !self.told.iter().any(|told| told == secret) {
            self.told.push(secret.to_owned());
            self.forms.extend(forms(name, secret.as_bytes()));
            self.net = Net::of(self.forms.clone());
        }
    }
}

/// From now on this secret is looked for as well, in this test.
pub(crate) fn tell(name: &str, secret: &str) {
    SOUGHT.with_borrow_mut(|sought| sought.tell(name, secret));
}

/// Fails if a secret was said. What is told once may be said in this very text, and in none after it.
#[track_caller]
pub(crate) fn search(place: &str, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let found = SOUGHT.with_borrow(|sought| found_in(&sought.net, place, text));
    if let Some(found) = found {
        panic!("{found}");
    }
    if text.len() <= LONGEST_TELLING {
        tell_all_in(text);
    }
}

fn tell_all_in(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for mark in TOLD_AFTER {
        for made_up in made_up_after(mark, &text) {
            tell(mark, made_up);
        }
    }
}

/// The same for a whole answer. A cookie that the browser has already may be set once more.
#[track_caller]
pub(crate) fn search_answer<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
) {
    let (mut cookies, mut others) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        let kept = if name.eq_ignore_ascii_case("set-cookie") {
            &mut cookies
        } else {
            &mut others
        };
        kept.extend_from_slice(&[name.as_bytes(), b": ", value, b"\n"].concat());
    }
    if let Some(found) = found_in(&STEMS_NET, "a cookie", &cookies) {
        panic!("{found}");
    }
    tell_all_in(&cookies);
    search("the head of an answer", others);
    search("the body of an answer", body);
}

/// Fails if nobody would find this credential where it should not be.
#[track_caller]
pub(crate) fn assert_known(credential: &[u8]) {
    let is_known = SOUGHT.with_borrow(|sought| sought.net.first_in(credential).is_some());
    let text = String::from_utf8_lossy(credential);
    let is_made_up = credential.is_empty() || credential.len() >= LEAST_MADE_UP;
    assert!(
        is_known || is_made_up,
        "`{text}` is a secret of no known stem: let it end with `-canary`"
    );
}

/// The first of the secrets, these included, in one of the texts.
fn found_among(own: &[Form], mut texts: impl Iterator<Item = (String, Vec<u8>)>) -> Option<String> {
    let all = SOUGHT.with_borrow(|sought| [&sought.forms[..], own].concat());
    let net = Net::of(all);
    texts.find_map(|(place, text)| found_in(&net, &place, &text))
}

fn found_in(net: &Net, place: &str, text: &[u8]) -> Option<String> {
    let (form, begin) = net.first_in(text)?;
    let around = &text[begin.saturating_sub(200)..text.len().min(begin + 200)];
    let around = String::from_utf8_lossy(around);
    Some(format!("{} in {place}, at {begin}: …{around}…", form.name))
}

/// The long words that follow a mark.
fn made_up_after<'a>(mark: &'a str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let word = |rest: &'a str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        &rest[..end]
    };
    let rests = text.split(mark).skip(1).map(word);
    rests.filter(|word| word.len() >= LEAST_MADE_UP)
}
