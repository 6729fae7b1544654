//! Target: sealed records. Input: which bit to flip, the lengths of tenant and field, then the secret. A record opens in its
//! own place and gives what was sealed; changed, truncated or elsewhere it does not open; and no bytes are a record.

use std::sync::LazyLock;

use pleo_gateway::model::ids::{Epoch, Generation, ProviderId};
use pleo_gateway::secret::Secret;
use pleo_gateway::store::seal::{Label, Sealer};
use pleo_gateway::store::sealing_keys::{KeySource, load};

const KEY: &str = "pleo-gateway-sealing-key-v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

static SEALER: LazyLock<Sealer> = LazyLock::new(|| {
    let key = KeySource::Secret {
        name: "the target's".to_owned(),
        value: Secret::new(KEY),
    };
    Sealer::new(load(&[key]).unwrap()).unwrap()
});

pub(crate) fn target(input: &[u8]) {
    let Some((&[flip, place, tenant, field], secret)) = input.split_first_chunk() else {
        return;
    };
    let provider = ProviderId::new("pleo.invalid");
    let text = String::from_utf8_lossy(secret);
    let (tenant, rest) = split(&text, tenant);
    let (field, _) = split(rest, field);
    let label = Label {
        provider: &provider,
        tenant,
        epoch: Epoch(u64::from(flip)),
        generation: Generation(u64::from(place)),
        field,
    };
    let mut sealed = SEALER.seal(&label, secret).unwrap();
    assert_eq!(&**SEALER.open(&label, &sealed).unwrap(), secret);
    elsewhere(&label, &sealed);

    let at = usize::from(place) * 256 + usize::from(flip);
    let at = at % sealed.len();
    assert!(SEALER.open(&label, &sealed[..at]).is_err());
    sealed[at] ^= 1 << (flip % 8);
    assert!(SEALER.open(&label, &sealed).is_err());

    assert!(SEALER.open(&label, secret).is_err());
    let forged = [&sealed[..5], secret].concat();
    assert!(SEALER.open(&label, &forged).is_err());
}

/// The first so many characters, and the rest.
fn split(text: &str, count: u8) -> (&str, &str) {
    let place = text.char_indices().nth(usize::from(count));
    text.split_at(place.map_or(text.len(), |(place, _)| place))
}

fn elsewhere(label: &Label<'_>, sealed: &[u8]) {
    let joined = format!("{}{}", label.tenant, label.field);
    let longer = format!("{}.", label.field);
    let other = ProviderId::new("other.invalid");
    let mut places = vec![
        Label {
            field: &longer,
            ..*label
        },
        Label {
            provider: &other,
            ..*label
        },
        Label {
            epoch: Epoch(label.epoch.0 + 1),
            ..*label
        },
        Label {
            generation: Generation(label.generation.0 + 1),
            ..*label
        },
    ];
    for (cut, _) in joined.char_indices().take(16) {
        let (tenant, field) = joined.split_at(cut);
        if tenant != label.tenant {
            places.push(Label {
                tenant,
                field,
                ..*label
            });
        }
    }
    for place in &places {
        let opened = SEALER.open(place, sealed);
        assert!(opened.is_err(), "{place:?} opens what is {label:?}'s");
    }
}
