//! The forms in which a secret is still one, and a search for very many forms at once.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What is looked for, by the name under which it is told.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) name: String,
    letters: Vec<u8>,
}

/// A secret as it is, in base64 wherever it begins, in hexadecimal, percent-encoded in whole or but for letters and digits,
/// and as Rust shows bytes.
pub(super) fn forms(name: &str, secret: &[u8]) -> Vec<Form> {
    let written = |letter: fn(&u8) -> String| secret.iter().map(letter).collect::<String>();
    let plain = |byte: &u8, coded: String| {
        if byte.is_ascii_alphanumeric() {
            char::from(*byte).to_string()
        } else {
            coded
        }
    };
    let percent = [
        written(|byte| format!("%{byte:02x}")),
        written(|byte| format!("%{byte:02X}")),
        secret
            .iter()
            .map(|byte| plain(byte, format!("%{byte:02x}")))
            .collect(),
        secret
            .iter()
            .map(|byte| plain(byte, format!("%{byte:02X}")))
            .collect(),
    ];
    let hex = [
        written(|byte| format!("{byte:02x}")),
        written(|byte| format!("{byte:02X}")),
    ];
    let listed = written(|byte| format!("{byte}, "));
    let mut all = vec![secret.to_vec(), listed.trim_end_matches(", ").into()];
    all.extend(percent.into_iter().chain(hex).map(String::into_bytes));
    all.extend((0..3).flat_map(|offset| base64_inside(secret, offset)));
    all.sort();
    all.dedup();
    let form = |letters| Form {
        name: name.to_owned(),
        letters,
    };
    all.into_iter().map(form).collect()
}

/// The letters of base64 that a secret surely brings about, `offset` bytes into what was encoded.
fn base64_inside(secret: &[u8], offset: usize) -> [Vec<u8>; 2] {
    let padded = [&vec![0; offset][..], secret].concat();
    let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    [STANDARD.encode(&padded), URL_SAFE.encode(&padded)]
        .map(|letters| letters.as_bytes()[from..to].to_vec())
}

/// So many bytes decide how far the next form can be.
const BLOCK: usize = 3;

/// Finds any of its forms, reading only a part of the text: where the last bytes of a window stand in no form, none ends
/// before they are left behind (Wu and Manber). Fast in a build that is not optimised.
pub(super) struct Net {
    forms: Vec<Form>,
    /// Bytes of the shortest form; of longer ones as many are fished for.
    least: usize,
    /// How far the window may be moved, by its last block.
    steps: Vec<u8>,
    /// Forms that may begin with the window, by its last block.
    ends: HashMap<usize, Vec<usize>>,
}

impl Net {
    pub(super) fn of(forms: Vec<Form>) -> Self {
        let least = forms.iter().map(|form| form.letters.len()).min().unwrap();
        let farthest = u8::try_from(least - BLOCK + 1).unwrap();
        let mut steps = vec![farthest; 1 << 16];
        let mut ends = HashMap::<usize, Vec<usize>>::new();
        for (place, form) in forms.iter().enumerate() {
            for end in BLOCK..=least {
                let step = &mut steps[slot(&form.letters[end - BLOCK..end])];
                *step = (*step).min(u8::try_from(least - end).unwrap());
            }
            let of_window = slot(&form.letters[least - BLOCK..least]);
            ends.entry(of_window).or_default().push(place);
        }
        Self {
            forms,
            least,
            steps,
            ends,
        }
    }

    /// The first form in a text, and where it begins.
    pub(super) fn first_in(&self, text: &[u8]) -> Option<(&Form, usize)> {
        let mut end = self.least;
        while end <= text.len() {
            let block = slot(&text[end - BLOCK..end]);
            let step = self.steps[block];
            if step > 0 {
                end += usize::from(step);
                continue;
            }
            let begin = end - self.least;
            let here = |place: &&usize| text[begin..].starts_with(&self.forms[**place].letters);
            if let Some(place) = self.ends.get(&block).and_then(|at| at.iter().find(here)) {
                return Some((&self.forms[*place], begin));
            }
            end += 1;
        }
        None
    }
}

/// Where a block has its place in the table of steps.
fn slot(block: &[u8]) -> usize {
    let number = u32::from_le_bytes([block[0], block[1], block[2], 0]);
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize
}
