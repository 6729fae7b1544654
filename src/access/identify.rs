//! Who is calling: by key, client certificate, unix peer, or `anonymous` (contract.md section 3.1). Keys are compared by
//! their digests, so that timing says nothing about a key.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::engine::general_purpose::STANDARD;
use base64::{Engine, decoded_len_estimate};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use zeroize::Zeroizing;

use super::PeerFacts;
use super::denial::CallerUnknown;
use crate::model::caller::{Caller, KeyDigest};
use crate::model::snapshot::Callers;

const KEY: HeaderName = HeaderName::from_static("pleo-gateway-key");

/// The digest by which a caller's key is known.
pub fn key_digest(key: &[u8]) -> KeyDigest {
    let mut bytes = KeyDigest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
    bytes
}

/// The one caller that all credentials name. Every peer of a unix socket has a user id, so an id that names nobody is no
/// credential. A certificate is a credential where callers are known by certificates; elsewhere it only opens the door, but
/// its bearer is not `anonymous`.
pub(super) fn caller<'c>(
    callers: &'c Callers,
    headers: &HeaderMap,
    peer: PeerFacts<'_>,
) -> Result<&'c Arc<Caller>, CallerUnknown> {
    let authorization = single(headers, &header::AUTHORIZATION)?
        .map(|value| by_authorization(callers, value.as_bytes()))
        .transpose()?;
    let key = single(headers, &KEY)?
        .map(|value| by_key(callers, value.as_bytes()))
        .transpose()?;
    let certificate = peer.certificate_names.unwrap_or_default();
    let by_names = || (certificate.iter()).filter_map(|name| callers.by_certificate(name));
    let must_name = peer.certificate_names.is_some() && callers.have_certificates();
    if must_name && by_names().next().is_none() {
        return Err(CallerUnknown::Wrong);
    }
    let mut named = authorization
        .into_iter()
        .chain(key)
        .chain(by_names())
        .chain(peer.unix_uid.and_then(|uid| callers.by_uid(uid)));
    let Some(first) = named.next() else {
        return anonymous(callers, peer);
    };
    if named.all(|other| Arc::ptr_eq(first, other)) {
        Ok(first)
    } else {
        Err(CallerUnknown::Disagree)
    }
}

fn anonymous<'c>(
    callers: &'c Callers,
    peer: PeerFacts<'_>,
) -> Result<&'c Arc<Caller>, CallerUnknown> {
    if peer.certificate_names.is_some() {
        return Err(CallerUnknown::Wrong);
    }
    callers
        .anonymous()
        .filter(|_| peer.door.local)
        .ok_or(CallerUnknown::Missing)
}

fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, CallerUnknown> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(CallerUnknown::Repeated),
    }
}

fn by_authorization<'c>(
    callers: &'c Callers,
    value: &[u8],
) -> Result<&'c Arc<Caller>, CallerUnknown> {
    let blank = value.iter().position(|byte| *byte == b' ');
    let (scheme, credential) = value.split_at(blank.ok_or(CallerUnknown::Malformed)?);
    let credential = credential.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        by_key(callers, credential)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        by_basic(callers, credential)
    } else {
        Err(CallerUnknown::Malformed)
    }
}

/// The key is the password, or the user name if the password is empty. How long it is, `max_header_bytes` bounds.
fn by_basic<'c>(callers: &'c Callers, credential: &[u8]) -> Result<&'c Arc<Caller>, CallerUnknown> {
    // Room for all of it: a buffer that grew would leave a copy behind.
    let room = decoded_len_estimate(credential.len());
    let mut pair = Zeroizing::new(Vec::with_capacity(room));
    STANDARD
        .decode_vec(credential, &mut pair)
        .map_err(|_| CallerUnknown::Malformed)?;
    let colon = pair.iter().position(|byte| *byte == b':');
    let (user, password) = pair.split_at(colon.ok_or(CallerUnknown::Malformed)?);
    match &password[1..] {
        [] => by_key(callers, user),
        key => by_key(callers, key),
    }
}

fn by_key<'c>(callers: &'c Callers, key: &[u8]) -> Result<&'c Arc<Caller>, CallerUnknown> {
    if key.is_empty() {
        return Err(CallerUnknown::Wrong);
    }
    callers
        .by_digest(&key_digest(key))
        .ok_or(CallerUnknown::Wrong)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{anonymous, at, caller as with_key, local_door};
    use super::*;
    use crate::model::snapshot::Door;

    fn callers() -> Callers {
        Callers::new(vec![
            Caller {
                client_certs: vec!["dns:erp.internal".into()],
                unix_uids: vec![1001],
                ..with_key("erp", &["acme"])
            },
            Caller {
                client_certs: vec!["dns:crm.internal".into()],
                ..with_key("crm", &["acme"])
            },
            anonymous(&["acme"]),
        ])
    }

    fn named(
        peer: PeerFacts<'_>,
        fields: &[(&'static str, String)],
    ) -> Result<String, CallerUnknown> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        caller(&callers(), &headers, peer).map(|caller| caller.name.to_string())
    }

    fn by(fields: &[(&'static str, String)]) -> Result<String, CallerUnknown> {
        named(at(&local_door()), fields)
    }

    fn authorization(value: &str) -> (&'static str, String) {
        ("authorization", value.to_owned())
    }

    fn basic(pair: &str) -> (&'static str, String) {
        ("authorization", format!("Basic {}", STANDARD.encode(pair)))
    }

    fn key(key: &str) -> (&'static str, String) {
        ("pleo-gateway-key", key.to_owned())
    }

    #[test]
    fn a_key_is_taken_in_every_form_of_the_contract() {
        for field in [
            authorization("Bearer erp-key"),
            authorization("bearer   erp-key"),
            basic("erp-key:"),
            basic("whoever:erp-key"),
            basic(":erp-key"),
            basic(&format!("{}:erp-key", "x".repeat(40_000))),
            key("erp-key"),
        ] {
            assert_eq!(by(&[field]).as_deref(), Ok("erp"));
        }
    }

    #[test]
    fn a_wrong_credential_is_refused_where_anonymous_would_do() {
        use CallerUnknown as E;
        assert_eq!(by(&[]).as_deref(), Ok("anyone"));
        for (field, error) in [
            (authorization("Bearer x"), E::Wrong),
            (authorization("Bearer"), E::Malformed),
            (authorization("Bearer "), E::Wrong),
            (authorization("Bearer erp-key x"), E::Wrong),
            (authorization("Digest erp-key"), E::Malformed),
            (authorization("erp-key"), E::Malformed),
            (authorization(""), E::Malformed),
            (authorization("Basic !"), E::Malformed),
            (basic("erp-key"), E::Malformed),
            (basic("erp-key:x"), E::Wrong),
            (basic(":"), E::Wrong),
            (basic(&"x".repeat(5000)), E::Malformed),
            (key(""), E::Wrong),
            (key("erp-key,erp-key"), E::Wrong),
        ] {
            let refused = by(std::slice::from_ref(&field));
            assert_eq!(refused, Err(error), "{field:?}");
        }
    }

    #[test]
    fn every_credential_must_be_right_and_name_the_same_caller() {
        use CallerUnknown as E;
        let erp = key("erp-key");
        let right = authorization("Bearer erp-key");
        assert_eq!(by(&[right.clone(), erp.clone()]).as_deref(), Ok("erp"));
        assert_eq!(
            by(&[authorization("Bearer crm-key"), erp.clone()]),
            Err(E::Disagree)
        );
        assert_eq!(by(&[authorization("Bearer x"), erp.clone()]), Err(E::Wrong));
        assert_eq!(by(&[erp.clone(), erp]), Err(E::Repeated));
        assert_eq!(by(&[right.clone(), right]), Err(E::Repeated));
    }

    #[test]
    fn a_certificate_names_its_caller_or_nobody() {
        let door = local_door();
        let with = |names: &[&str], fields: &[(&'static str, String)]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let certificate_names = Some(names.as_slice());
            named(
                PeerFacts {
                    certificate_names,
                    ..at(&door)
                },
                fields,
            )
        };
        let erp = [key("erp-key")];
        assert_eq!(
            with(&["dns:x", "dns:erp.internal"], &[]).as_deref(),
            Ok("erp")
        );
        assert_eq!(with(&["dns:x"], &erp), Err(CallerUnknown::Wrong));
        assert_eq!(with(&["dns:x"], &[]), Err(CallerUnknown::Wrong));
        assert_eq!(with(&[], &[]), Err(CallerUnknown::Wrong));
        assert_eq!(
            with(&["dns:crm.internal"], &erp),
            Err(CallerUnknown::Disagree)
        );
        let both = ["dns:erp.internal", "dns:crm.internal"];
        assert_eq!(with(&both, &[]), Err(CallerUnknown::Disagree));
    }

    #[test]
    fn where_nobody_is_known_by_a_certificate_it_only_opens_the_door() {
        let callers = Callers::new(vec![with_key("erp", &["acme"])]);
        let door = local_door();
        let names = ["dns:anything".to_owned()];
        let peer = PeerFacts {
            certificate_names: Some(&names),
            ..at(&door)
        };
        let mut headers = HeaderMap::new();
        assert_eq!(
            caller(&callers, &headers, peer).unwrap_err(),
            CallerUnknown::Wrong
        );
        headers.insert("pleo-gateway-key", "erp-key".parse().unwrap());
        assert_eq!(
            caller(&callers, &headers, peer).unwrap().name.as_ref(),
            "erp"
        );
    }

    #[test]
    fn a_user_id_names_its_caller_or_nobody() {
        let door = local_door();
        let with = |uid, fields: &[_]| {
            named(
                PeerFacts {
                    unix_uid: Some(uid),
                    ..at(&door)
                },
                fields,
            )
        };
        assert_eq!(with(1001, &[]).as_deref(), Ok("erp"));
        assert_eq!(with(7, &[]).as_deref(), Ok("anyone"));
        assert_eq!(with(7, &[key("crm-key")]).as_deref(), Ok("crm"));
        assert_eq!(with(1001, &[key("crm-key")]), Err(CallerUnknown::Disagree));
    }

    #[test]
    fn nobody_is_anonymous_beyond_local_doors() {
        assert_eq!(
            named(at(&Door::default()), &[]),
            Err(CallerUnknown::Missing)
        );
        assert_eq!(
            named(at(&Door::default()), &[key("erp-key")]).as_deref(),
            Ok("erp")
        );
    }
}
